//! Level meters: the loudness of a block as a number a bar can show.
//!
//! RMS in dBFS, -60 dB as 0 and 0 dB as 1, which is near how loud it seems;
//! rises at once and falls over about 300 ms so that a bar is steady.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Block;

/// The level shown as 0.
const FLOOR_DB: f32 = -60.0;

/// What remains of a level after 10 ms of silence.
const RELEASE: f32 = 0.92;

/// A meter written by the engine's thread and read by anybody.
#[derive(Default)]
pub(crate) struct Meter(AtomicU32);

impl Meter {
    /// Takes a block in.
    pub(crate) fn observe(&self, block: &Block) {
        let held = self.read() * RELEASE;
        self.0.store(loudness(block).max(held).to_bits(), Ordering::Relaxed);
    }

    /// The level now, 0..=1.
    pub(crate) fn read(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// A block's loudness on the meter's scale, 0..=1.
fn loudness(block: &Block) -> f32 {
    let power = block.iter().map(|sample| sample * sample).sum::<f32>() / block.len() as f32;
    if power <= 0.0 || !power.is_finite() {
        return 0.0;
    }
    (1.0 - 10.0 * power.log10() / FLOOR_DB).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::BLOCK;

    #[test]
    fn silence_is_zero_and_full_scale_is_one() {
        assert_eq!(loudness(&[0.0; BLOCK]), 0.0);
        assert_eq!(loudness(&[1.0; BLOCK]), 1.0);
    }

    #[test]
    fn half_the_decibels_is_half_the_bar() {
        let block = [10f32.powf(-30.0 / 20.0); BLOCK];
        assert!((loudness(&block) - 0.5).abs() < 0.01);
    }

    #[test]
    fn a_broken_sample_does_not_stick() {
        let meter = Meter::default();
        meter.observe(&[f32::NAN; BLOCK]);
        assert_eq!(meter.read(), 0.0);
    }

    #[test]
    fn the_bar_rises_at_once_and_falls_slowly() {
        let meter = Meter::default();
        meter.observe(&[1.0; BLOCK]);
        assert_eq!(meter.read(), 1.0);
        meter.observe(&[0.0; BLOCK]);
        assert!(meter.read() > 0.9);
        for _ in 0..60 {
            meter.observe(&[0.0; BLOCK]);
        }
        assert!(meter.read() < 0.01);
    }
}
