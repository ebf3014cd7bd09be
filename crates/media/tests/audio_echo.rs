//! The echo canceller on a synthetic room, fed directly: no devices, no clock.

use bedside_media::audio::{BLOCK, Block, ProcessingConfig, Processor};

/// Noise with the ups and downs of speech; the same for the same seed.
struct Talker {
    state: u64,
    low: f32,
    at: usize,
}

impl Talker {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self { state: seed, low: 0.0, at: 0 }
    }

    fn sample(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let white = (self.state >> 33) as f32 / (1u64 << 30) as f32 - 1.0;
        self.low += 0.2 * (white - self.low);
        self.at += 1;
        let t = self.at as f32 / 48_000.0;
        let syllables = (std::f32::consts::TAU * 3.1 * t).sin().max(0.0);
        0.5 * self.low * syllables
    }

    fn block(&mut self) -> Block {
        std::array::from_fn(|_| self.sample())
    }
}

/// A room: 63 ms to the microphone, then decaying reflections.
struct Room {
    played: Vec<f32>,
}

impl Room {
    const PATH: [(usize, f32); 5] =
        [(3_024, 0.35), (3_170, -0.2), (3_511, 0.12), (4_096, -0.08), (5_003, 0.04)];

    fn echo(&mut self, block: &Block) -> Block {
        let start = self.played.len();
        self.played.extend_from_slice(block);
        std::array::from_fn(|n| {
            Self::PATH
                .iter()
                .filter_map(|(delay, gain)| Some(self.played[(start + n).checked_sub(*delay)?] * gain))
                .sum()
        })
    }
}

fn power(block: &[f32]) -> f64 {
    block.iter().map(|s| f64::from(*s) * f64::from(*s)).sum()
}

const ECHO_ONLY: ProcessingConfig = ProcessingConfig { echo_cancellation: true, ..ProcessingConfig::NONE };

#[test]
fn the_far_end_does_not_hear_itself() {
    let mut processor = Processor::new(ECHO_ONLY);
    let mut far = Talker::new(7);
    let mut room = Room { played: Vec::new() };
    let (mut echo, mut left) = (0.0, 0.0);
    for n in 0..1_500 {
        let speaker = far.block();
        processor.render(&speaker);
        let mut microphone = room.echo(&speaker);
        let before = power(&microphone);
        processor.capture(&mut microphone);
        if n >= 1_000 {
            echo += before;
            left += power(&microphone);
        }
    }
    let erle = 10.0 * (echo / left.max(1e-12)).log10();
    println!("ERLE {erle:.1} dB");
    assert!(erle > 15.0, "the echo is only {erle:.1} dB quieter");
}

#[test]
fn switched_off_the_echo_stays_and_switched_on_it_goes() {
    let mut processor = Processor::new(ProcessingConfig::NONE);
    let mut far = Talker::new(11);
    let mut room = Room { played: Vec::new() };
    let mut run = |processor: &mut Processor, blocks: usize| {
        let (mut echo, mut left) = (0.0, 0.0);
        for n in 0..blocks {
            let speaker = far.block();
            processor.render(&speaker);
            let mut microphone = room.echo(&speaker);
            let before = power(&microphone);
            processor.capture(&mut microphone);
            if n >= blocks - 300 {
                echo += before;
                left += power(&microphone);
            }
        }
        10.0 * (echo / left.max(1e-12)).log10()
    };
    assert!(run(&mut processor, 300).abs() < 0.01);
    processor.configure(ECHO_ONLY);
    let erle = run(&mut processor, 1_300);
    assert!(erle > 15.0, "{erle:.1} dB");
}

#[test]
fn who_talks_here_is_still_heard_without_an_echo() {
    let mut processor = Processor::new(ECHO_ONLY);
    let mut near = Talker::new(13);
    let (mut spoken, mut heard) = (0.0, 0.0);
    for _ in 0..600 {
        processor.render(&[0.0; BLOCK]);
        let mut microphone = near.block();
        spoken += power(&microphone);
        processor.capture(&mut microphone);
        heard += power(&microphone);
    }
    let loss = 10.0 * (spoken / heard).log10();
    assert!(loss.abs() < 3.0, "the voice lost {loss:.1} dB");
}

#[test]
fn steady_noise_is_suppressed_and_only_when_asked() {
    let hiss = |processor: &mut Processor| {
        let mut state = 1u64;
        let (mut before, mut after) = (0.0, 0.0);
        for n in 0..800 {
            let mut block: Block = std::array::from_fn(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                0.02 * ((state >> 33) as f32 / (1u64 << 30) as f32 - 1.0)
            });
            if n >= 400 {
                before += power(&block);
            }
            processor.capture(&mut block);
            if n >= 400 {
                after += power(&block);
            }
        }
        10.0 * (before / after).log10()
    };
    let on = ProcessingConfig { noise_suppression: true, ..ProcessingConfig::NONE };
    let quieter = hiss(&mut Processor::new(on));
    assert!(quieter > 8.0, "noise is only {quieter:.1} dB quieter");
    assert_eq!(hiss(&mut Processor::new(ProcessingConfig::NONE)), 0.0);
}

#[test]
fn a_quiet_voice_is_raised_by_the_automatic_gain() {
    let on = ProcessingConfig { auto_gain: true, ..ProcessingConfig::NONE };
    let mut processor = Processor::new(on);
    let mut near = Talker::new(17);
    let mut gain = 0.0;
    let mut peak = 0f32;
    for n in 0..1_500 {
        let mut block = near.block().map(|sample| sample * 0.1);
        let before = power(&block);
        processor.capture(&mut block);
        peak = block.iter().fold(peak, |peak, s| peak.max(s.abs()));
        if n == 1_400 {
            gain = 10.0 * (power(&block) / before.max(1e-12)).log10();
        }
    }
    assert!(gain > 3.0, "{gain:.1} dB");
    assert!(peak <= 1.0);
}
