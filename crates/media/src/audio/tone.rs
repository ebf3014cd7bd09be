//! Signals we make ourselves: the test tone and the "can you hear this?" chime.

use std::f32::consts::TAU;

use super::{BLOCK, Block, SAMPLE_RATE};

/// Samples in one period of the tone: a second.
const PERIOD: u64 = SAMPLE_RATE as u64;

/// The sweep goes from here …
const LOW_HZ: f32 = 250.0;
/// … to here, where any speech codec is at its best.
const HIGH_HZ: f32 = 2_500.0;

/// The `index`-th sample of the test tone, a 48 kHz signal with a period of one second.
///
/// A linear sweep from 250 to 2 500 Hz whose loudness swings at 4 Hz like syllables, so that
/// noise suppression takes it for speech rather than hum, and so that it lines up with a
/// delayed copy of itself in one place only. Peaks at 0.4.
pub fn tone_sample(index: u64) -> f32 {
    let t = (index % PERIOD) as f32 / SAMPLE_RATE as f32;
    let phase = LOW_HZ * t + (HIGH_HZ - LOW_HZ) * t * t / 2.0;
    let loudness = 0.5 - 0.5 * (TAU * 4.0 * t).cos();
    0.4 * loudness * (TAU * phase.fract()).sin()
}

/// The notes of the chime: C5, E5, G5.
const CHIME_HZ: [f32; 3] = [523.25, 659.25, 783.99];

/// Samples between two notes of the chime.
const NOTE: usize = SAMPLE_RATE as usize / 4;

/// The chime that tests a speaker: three rising notes, 1.25 s.
pub(crate) struct Chime {
    at: usize,
}

impl Chime {
    /// From its first note.
    pub(crate) fn new() -> Self {
        Self { at: 0 }
    }

    /// Adds the next 10 ms to `block`; false when the chime is over.
    pub(crate) fn mix(&mut self, block: &mut Block) -> bool {
        for (offset, sample) in block.iter_mut().enumerate() {
            *sample = (*sample + chime_sample(self.at + offset)).clamp(-1.0, 1.0);
        }
        self.at += BLOCK;
        self.at < NOTE * (CHIME_HZ.len() + 2)
    }
}

fn chime_sample(at: usize) -> f32 {
    CHIME_HZ
        .iter()
        .enumerate()
        .filter(|(note, _)| at >= note * NOTE)
        .map(|(note, hz)| {
            let t = (at - note * NOTE) as f32 / SAMPLE_RATE as f32;
            let attack = (t / 0.01).min(1.0);
            let decay = (-6.0 * t).exp();
            0.2 * attack * decay * (TAU * (hz * t).fract()).sin()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_repeats_every_second_and_stays_in_range() {
        for index in (0..PERIOD).step_by(97) {
            assert_eq!(tone_sample(index), tone_sample(index + 3 * PERIOD));
            assert!(tone_sample(index).abs() <= 0.4);
        }
    }

    #[test]
    fn the_chime_is_audible_ends_and_never_clips() {
        let mut chime = Chime::new();
        let mut blocks = 0;
        let mut loudest = 0f32;
        loop {
            let mut block = [0.0; BLOCK];
            let more = chime.mix(&mut block);
            loudest = block.iter().fold(loudest, |peak, s| peak.max(s.abs()));
            blocks += 1;
            if !more {
                break;
            }
        }
        assert_eq!(blocks, 125);
        assert!((0.1..0.6).contains(&loudest), "{loudest}");
    }
}
