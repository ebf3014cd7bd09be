//! Echo cancellation, noise suppression, automatic gain and high-pass on the microphone.
//!
//! The work is `sonora`'s, a port of WebRTC's audio processing. It is guarded:
//! should it panic on some signal, the block passes unprocessed, the panic is
//! logged and a fresh instance takes over. With everything off the signal is
//! not touched at all.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate, NoiseSuppression,
    NoiseSuppressionLevel, Pipeline,
};

use super::{BLOCK, Block, SAMPLE_RATE};

/// The gain starts gently: WebRTC's 15 dB overdrives a microphone that is set well.
const FIRST_GAIN_DB: f32 = 6.0;

/// The most the automatic gain adds; WebRTC's 50 dB lifts the noise of a quiet room.
const MOST_GAIN_DB: f32 = 30.0;

/// What is done to the microphone signal; each can be switched during a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessingConfig {
    /// Removes the speaker's sound from the microphone.
    pub echo_cancellation: bool,
    /// Removes steady noise, by about 13 dB.
    pub noise_suppression: bool,
    /// Brings quiet and loud voices to one level, and limits peaks.
    pub auto_gain: bool,
    /// Removes rumble below 100 Hz. Echo cancellation includes it.
    pub high_pass: bool,
}

impl ProcessingConfig {
    /// Everything on: right for a microphone in a room.
    pub const ALL: Self =
        Self { echo_cancellation: true, noise_suppression: true, auto_gain: true, high_pass: true };

    /// Everything off: samples pass bit for bit.
    pub const NONE: Self =
        Self { echo_cancellation: false, noise_suppression: false, auto_gain: false, high_pass: false };
}

impl Default for ProcessingConfig {
    fn default() -> Self {
        Self::ALL
    }
}

/// Something that processes; the guard around it does not care what.
trait Stage: Send {
    fn configure(&mut self, config: ProcessingConfig);
    fn render(&mut self, block: &Block);
    fn capture(&mut self, block: &mut Block);
}

/// The guarded processing of one microphone against one speaker.
pub struct Processor {
    stage: Box<dyn Stage>,
    build: fn() -> Box<dyn Stage>,
    config: ProcessingConfig,
}

impl Processor {
    /// Processing as `config` says.
    pub fn new(config: ProcessingConfig) -> Self {
        Self::with_stage(config, || Box::new(Sonora::new()))
    }

    fn with_stage(config: ProcessingConfig, build: fn() -> Box<dyn Stage>) -> Self {
        let mut stage = build();
        stage.configure(config);
        Self { stage, build, config }
    }

    /// Switches parts on or off from the next block on.
    pub fn configure(&mut self, config: ProcessingConfig) {
        if config != self.config {
            self.config = config;
            self.guarded(|stage| stage.configure(config));
        }
    }

    /// Tells what the speaker is about to play: the very samples, before [`Processor::capture`].
    pub fn render(&mut self, block: &Block) {
        if self.config.echo_cancellation {
            let block = block.map(finite);
            self.guarded(|stage| stage.render(&block));
        }
    }

    /// Processes 10 ms of microphone in place.
    pub fn capture(&mut self, block: &mut Block) {
        if self.config == ProcessingConfig::NONE {
            return;
        }
        for sample in block.iter_mut() {
            *sample = finite(*sample);
        }
        let mut processed = *block;
        if !self.guarded(|stage| stage.capture(&mut processed)) {
            return;
        }
        if processed.iter().all(|sample| sample.is_finite()) {
            *block = processed;
        } else {
            tracing::error!("audio processing lost its footing and was started afresh");
            self.restart();
        }
    }

    /// Runs `work`; false when it panicked, in which case a fresh stage is in place.
    fn guarded(&mut self, work: impl FnOnce(&mut dyn Stage)) -> bool {
        let whole = catch_unwind(AssertUnwindSafe(|| work(self.stage.as_mut()))).is_ok();
        if !whole {
            tracing::error!("audio processing panicked and was started afresh");
            self.restart();
        }
        whole
    }

    fn restart(&mut self) {
        self.stage = (self.build)();
        self.stage.configure(self.config);
    }
}

/// A sample that arithmetic can go on with.
fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}

/// WebRTC's audio processing, 48 kHz throughout.
struct Sonora {
    inner: sonora::AudioProcessing,
    scratch: Block,
}

impl Sonora {
    fn new() -> Self {
        let format = sonora::StreamConfig::new(SAMPLE_RATE, 1);
        let inner = sonora::AudioProcessing::builder().capture_config(format).render_config(format).build();
        Self { inner, scratch: [0.0; BLOCK] }
    }
}

impl Stage for Sonora {
    fn configure(&mut self, config: ProcessingConfig) {
        self.inner.apply_config(sonora::Config {
            pipeline: Pipeline {
                maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
                ..Pipeline::default()
            },
            echo_canceller: config.echo_cancellation.then(EchoCanceller::default),
            noise_suppression: config.noise_suppression.then(|| NoiseSuppression {
                level: NoiseSuppressionLevel::Moderate,
                ..NoiseSuppression::default()
            }),
            gain_controller2: config.auto_gain.then(|| GainController2 {
                adaptive_digital: Some(AdaptiveDigital {
                    initial_gain_db: FIRST_GAIN_DB,
                    max_gain_db: MOST_GAIN_DB,
                    ..AdaptiveDigital::default()
                }),
                ..GainController2::default()
            }),
            high_pass_filter: config.high_pass.then(HighPassFilter::default),
            ..sonora::Config::default()
        });
    }

    fn render(&mut self, block: &Block) {
        // Formats were fixed at construction, so a refusal cannot happen; it would cost echo only.
        let _ = self.inner.process_render_f32(&[block], &mut [&mut self.scratch]);
    }

    fn capture(&mut self, block: &mut Block) {
        if self.inner.process_capture_f32(&[&*block], &mut [&mut self.scratch]).is_ok() {
            *block = self.scratch;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fragile;

    impl Stage for Fragile {
        fn configure(&mut self, _: ProcessingConfig) {}
        fn render(&mut self, _: &Block) {}
        fn capture(&mut self, block: &mut Block) {
            assert!(block[0] < 0.9, "too loud for me");
            block.fill(0.25);
        }
    }

    #[test]
    fn a_panic_costs_one_unprocessed_block() {
        let mut processor = Processor::with_stage(ProcessingConfig::ALL, || Box::new(Fragile));
        let mut loud = [1.0; BLOCK];
        processor.capture(&mut loud);
        assert_eq!(loud, [1.0; BLOCK]);
        let mut quiet = [0.5; BLOCK];
        processor.capture(&mut quiet);
        assert_eq!(quiet, [0.25; BLOCK]);
    }

    #[test]
    fn with_everything_off_samples_pass_bit_for_bit() {
        let mut processor = Processor::new(ProcessingConfig::NONE);
        let block: Block = std::array::from_fn(|n| (n as f32 * 0.01).sin());
        let mut passed = block;
        processor.render(&block);
        processor.capture(&mut passed);
        assert_eq!(passed, block);
    }

    #[test]
    fn garbage_in_is_not_garbage_out_for_ever() {
        let mut processor = Processor::new(ProcessingConfig::ALL);
        for value in [f32::NAN, f32::INFINITY, -1e30] {
            processor.render(&[value; BLOCK]);
            processor.capture(&mut [value; BLOCK]);
        }
        let mut worst = 0f32;
        for n in 0..300 {
            let mut block: Block = std::array::from_fn(|i| 0.1 * ((n * BLOCK + i) as f32 * 0.05).sin());
            processor.render(&[0.0; BLOCK]);
            processor.capture(&mut block);
            worst = block.iter().fold(worst, |peak, s| peak.max(s.abs()));
        }
        assert!(worst.is_finite() && worst <= 1.0, "{worst}");
    }
}
