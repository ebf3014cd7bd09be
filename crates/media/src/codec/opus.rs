//! Opus speech coding: 20 ms, mono, 48 kHz (RFC 6716, RFC 7587).
//!
//! Encoding goes through the safe `opus` crate; decoding through our own thin
//! layer on libopus, because deep packet-loss concealment is only switched on
//! by the decoder's complexity, which that crate cannot set.
//!
//! This module never keeps a jitter buffer and never decides which of
//! [`Decoder::decode`], [`Decoder::decode_fec`] and [`Decoder::conceal`] a
//! missing packet needs: `bedside_flow` does.

mod raw;

use thiserror::Error;

/// Samples in one Opus frame: 20 ms of mono audio at 48 kHz.
pub const FRAME: usize = 960;

/// Bytes that libopus may need for one frame (RFC 6716 section 3.2.1, 1275) with room to spare.
const MAX_PACKET_BYTES: usize = 1500;

/// libopus switches deep concealment on from here (its neural model runs on lost frames only).
const DECODER_COMPLEXITY: i32 = 5;

/// Encoder effort, 0..=10. Speech of 32 kbit/s is no worse for it than at libopus's own 9, for a tenth less work; below 7
/// nothing tells noise from speech, and DTX sends a noisy room as if somebody spoke (`examples/voice_cost.rs`).
const ENCODER_COMPLEXITY: i32 = 7;

/// Why a frame could not be coded.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OpusError {
    /// libopus refused; the frame is lost, the codec can go on.
    #[error("opus could not {operation}: {reason}")]
    Codec {
        /// What was being done: "encode", "decode", …
        operation: &'static str,
        /// libopus's own words.
        reason: String,
    },
    /// The packet does not carry the frame before its own.
    #[error("an opus packet carries no copy of the one before")]
    NoCopy,
    /// The packet holds another duration than 20 ms; treat it as lost.
    #[error("an opus packet holds {samples} samples where 960 were expected")]
    Duration {
        /// Samples per channel that the packet decodes to.
        samples: usize,
    },
}

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusConfig {
    /// Target rate in bit/s, 6 000..=128 000.
    pub bitrate_bps: u32,
    /// In-band forward error correction: each packet also carries a coarse copy of the one before.
    pub fec: bool,
    /// Discontinuous transmission: silence becomes packets of at most 2 bytes.
    pub dtx: bool,
    /// Expected loss, 0..=100: how much of the rate FEC may take. At 0 FEC stays idle; up to 5 libopus drops the copies where
    /// they would cost the highest tones.
    pub expected_loss_percent: u8,
}

impl Default for OpusConfig {
    fn default() -> Self {
        Self { bitrate_bps: 32_000, fec: true, dtx: false, expected_loss_percent: 10 }
    }
}

/// Encodes speech, one 20 ms frame at a time.
pub struct Encoder {
    inner: opus::Encoder,
}

impl Encoder {
    /// An encoder tuned for voice (`OPUS_APPLICATION_VOIP`).
    pub fn new(config: OpusConfig) -> Result<Self, OpusError> {
        let inner = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)
            .map_err(failed("create an encoder"))?;
        let mut encoder = Self { inner };
        encoder.inner.set_complexity(ENCODER_COMPLEXITY).map_err(failed("set the complexity"))?;
        encoder.inner.set_inband_fec(config.fec).map_err(failed("set FEC"))?;
        encoder.inner.set_dtx(config.dtx).map_err(failed("set DTX"))?;
        encoder.set_bitrate(config.bitrate_bps)?;
        encoder.set_expected_loss(config.expected_loss_percent)?;
        Ok(encoder)
    }

    /// Encodes one frame into `out`, replacing what it held, and says how many bytes it got.
    ///
    /// Samples are in -1.0..=1.0. With DTX a result of at most 2 bytes need not be sent.
    pub fn encode(&mut self, frame: &[f32; FRAME], out: &mut Vec<u8>) -> Result<usize, OpusError> {
        out.resize(MAX_PACKET_BYTES, 0);
        let encoded = self.inner.encode_float(frame, out);
        let length = *encoded.as_ref().unwrap_or(&0);
        out.truncate(length);
        encoded.map_err(failed("encode"))
    }

    /// Changes the target rate in bit/s from the next frame on.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), OpusError> {
        let bits = i32::try_from(bitrate_bps).unwrap_or(i32::MAX);
        self.inner.set_bitrate(opus::Bitrate::Bits(bits)).map_err(failed("set the bitrate"))
    }

    /// Tells the encoder how much of what it sends gets lost, 0..=100.
    pub fn set_expected_loss(&mut self, percent: u8) -> Result<(), OpusError> {
        self.inner.set_packet_loss_perc(i32::from(percent.min(100))).map_err(failed("set the expected loss"))
    }
}

fn failed(operation: &'static str) -> impl Fn(opus::Error) -> OpusError {
    move |error| OpusError::Codec { operation, reason: error.description().to_owned() }
}

/// Decodes speech and fills in for packets that never came.
pub struct Decoder {
    inner: raw::RawDecoder,
}

impl Decoder {
    /// A decoder with deep packet-loss concealment.
    pub fn new() -> Result<Self, OpusError> {
        let mut inner = raw::RawDecoder::new()?;
        inner.set_complexity(DECODER_COMPLEXITY)?;
        Ok(Self { inner })
    }

    /// Decodes a packet of 20 ms into `out`.
    pub fn decode(&mut self, packet: &[u8], out: &mut [f32; FRAME]) -> Result<(), OpusError> {
        self.inner.decode(packet, out, false)
    }

    /// Rebuilds the frame *before* `next_packet` from the copy inside it. Where there is none, libopus would conceal without
    /// saying so; here that is [`OpusError::NoCopy`].
    pub fn decode_fec(&mut self, next_packet: &[u8], out: &mut [f32; FRAME]) -> Result<(), OpusError> {
        if !raw::carries_a_copy(next_packet) {
            return Err(OpusError::NoCopy);
        }
        self.inner.decode(next_packet, out, true)
    }

    /// Invents 20 ms from what was heard before, fading to silence over a long gap.
    pub fn conceal(&mut self, out: &mut [f32; FRAME]) -> Result<(), OpusError> {
        self.inner.conceal(out)
    }
}
