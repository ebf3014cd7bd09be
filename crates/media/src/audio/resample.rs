//! Brings a device's samples to the engine's clock and back.
//!
//! Two devices never run at exactly the same rate. A 48 kHz device only needs
//! a sample slipped in or out now and then, hidden by a crossfade (rubato's
//! `Slip`: no delay, hardly any work); any other rate goes through a windowed
//! sinc filter whose ratio is nudged (under 1 ms of delay). Both are steered
//! by the fill of the ring behind them.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, SincInterpolationParameters, SincInterpolationType, Slip, WindowFunction,
};

use super::{AudioTrouble, BLOCK, SAMPLE_RATE};

/// Taps of the sinc filter: flat to 17 kHz, aliases below -80 dB.
const SINC_LENGTH: usize = 96;

/// The steepest correction: three times any crystal's error, and little enough that the echo
/// canceller, which sees it as a moving room, keeps up.
const MOST_CORRECTION: f64 = 0.0003;

/// Correction per second of fill error: 100 ppm of drift settle at an error of 2 ms.
const GAIN: f64 = 0.05;

/// Turns samples of one rate into samples of another, steerably.
pub(crate) struct RateMatcher {
    inner: Box<dyn Adjustable<f32>>,
    device_rate: f64,
}

impl RateMatcher {
    /// From a device's rate to blocks of exactly [`BLOCK`] samples.
    pub(crate) fn to_engine(device_rate: u32) -> Result<Self, AudioTrouble> {
        let ratio = f64::from(SAMPLE_RATE) / f64::from(device_rate);
        Self::new(ratio, device_rate, FixedAsync::Output)
    }

    /// From blocks of exactly [`BLOCK`] samples to a device's rate.
    pub(crate) fn to_device(device_rate: u32) -> Result<Self, AudioTrouble> {
        let ratio = f64::from(device_rate) / f64::from(SAMPLE_RATE);
        Self::new(ratio, device_rate, FixedAsync::Input)
    }

    fn new(ratio: f64, device_rate: u32, fixed: FixedAsync) -> Result<Self, AudioTrouble> {
        let built: Result<Box<dyn Adjustable<f32>>, _> = if device_rate == SAMPLE_RATE {
            Slip::new(BLOCK, 1, fixed).map(|slip| Box::new(slip) as _)
        } else {
            let parameters = SincInterpolationParameters::new(SINC_LENGTH, WindowFunction::BlackmanHarris2)
                .interpolation(SincInterpolationType::Linear);
            Async::new_sinc(ratio, 1.01, &parameters, BLOCK, 1, fixed).map(|sinc| Box::new(sinc) as _)
        };
        let inner = built.map_err(|error| {
            tracing::warn!(%error, device_rate, "no resampler for this device");
            AudioTrouble::Failed
        })?;
        Ok(Self { inner, device_rate: f64::from(device_rate) })
    }

    /// Samples that the next [`RateMatcher::process`] takes.
    pub(crate) fn input_needed(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// The most samples [`RateMatcher::process`] ever takes.
    pub(crate) fn input_most(&self) -> usize {
        self.inner.input_frames_max()
    }

    /// The most samples [`RateMatcher::process`] ever gives.
    pub(crate) fn output_most(&self) -> usize {
        self.inner.output_frames_max()
    }

    /// The filter's delay in seconds.
    pub(crate) fn delay(&self) -> f64 {
        self.inner.output_delay() as f64 / (self.device_rate * self.inner.resample_ratio())
    }

    /// Converts `input` (as long as asked for) and says how many samples of `output` it filled.
    pub(crate) fn process(&mut self, input: &[f32], output: &mut [f32]) -> usize {
        let frames = output.len();
        let source = InterleavedSlice::new(input, 1, input.len());
        let target = InterleavedSlice::new_mut(&mut *output, 1, frames);
        let (Ok(source), Ok(mut target)) = (source, target) else {
            return 0;
        };
        match self.inner.process_into_buffer(&source, &mut target, None) {
            Ok((_, filled)) => filled,
            Err(error) => {
                tracing::error!(%error, "the resampler refused a block");
                output.fill(0.0);
                frames.min(self.inner.output_frames_next())
            }
        }
    }

    /// Follows the fill error of the ring beside the device, in device samples.
    ///
    /// Too much waiting: take more of it (towards the engine) or make less (towards the device),
    /// which is a lower ratio both ways.
    pub(crate) fn steer(&mut self, fill_error: i32) {
        let seconds = f64::from(fill_error) / self.device_rate;
        let correction = (-GAIN * seconds).clamp(-MOST_CORRECTION, MOST_CORRECTION);
        // Within the range given at construction; Slip applies the nearest limit.
        let _ = self.inner.set_resample_ratio_relative(1.0 + correction, true);
    }
}
