//! Sound, from packets to an even stream: how long to wait, what to do about what is missing.
//!
//! Knows nothing of Opus beyond [`FrameDecoder`]: 20 ms frames of mono 48 kHz, `f32` in −1..=1.

use thiserror::Error;

pub mod jitter;
pub mod playout;
pub mod stretcher;

mod expected_loss;
mod queue;
mod regulator;
mod report;

pub use expected_loss::ExpectedLoss;
pub use jitter::DelayEstimator;
pub use playout::Playout;
pub use report::{BlockKind, PlayoutStats};
pub use stretcher::Stretcher;

/// Samples per second.
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples in what a packet holds: 20 ms.
pub const FRAME: usize = 960;
/// Samples in what the sound card is given: 10 ms.
pub const BLOCK: usize = 480;

/// The frame cannot be decoded; it is concealed instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the packet cannot be decoded")]
pub struct DecodeFailed;

/// What [`Playout`] needs of a decoder. The decoder keeps its state from call to call, and is called in playing
/// order.
pub trait FrameDecoder {
    /// Decodes a packet of 20 ms.
    fn decode(&mut self, packet: &[u8], out: &mut [f32; FRAME]) -> Result<(), DecodeFailed>;
    /// Decodes what `next` repeats of the frame before it (Opus LBRR, RFC 6716 §2.1.7). An error says that it
    /// repeats nothing.
    fn decode_fec(&mut self, next: &[u8], out: &mut [f32; FRAME]) -> Result<(), DecodeFailed>;
    /// Makes up 20 ms that continue what was decoded last.
    fn conceal(&mut self, out: &mut [f32; FRAME]);
}

/// Milliseconds of a number of samples.
pub(crate) fn samples_to_ms(samples: usize) -> f64 {
    samples as f64 * 1000.0 / f64::from(SAMPLE_RATE)
}

/// Whole samples of a number of milliseconds; zero if negative.
pub(crate) fn ms_to_samples(ms: f64) -> usize {
    (ms.max(0.0) * f64::from(SAMPLE_RATE) / 1000.0) as usize
}
