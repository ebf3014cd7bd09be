//! Makes speech a little shorter or longer without changing its pitch (WSOLA).
//!
//! One pitch period, found where the signal is most like itself, is cross-faded away or doubled. Where nothing
//! repeats well enough, nothing is done: a moment later it will.

/// Look this far at most: 30 ms, enough for two periods of 66 Hz.
const SPAN: usize = 1440;
/// The shortest piece that is taken out or put in: 2.5 ms, a period of 400 Hz.
const MIN_LAG: usize = 120;
/// The search runs at a sixth of the rate, 8 kHz.
const DECIMATION: usize = 6;
/// Quieter than this (mean square, −50 dB) nobody hears the joint.
const QUIET: f32 = 1e-5;

/// How alike two pieces have to be (normalised correlation) before they are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Only where it cannot be heard.
    Relaxed,
    /// Delay has grown so far that a rough joint is the lesser evil.
    Pressing,
}

impl Urgency {
    fn threshold(self) -> f32 {
        match self {
            Self::Relaxed => 0.85,
            Self::Pressing => 0.5,
        }
    }
}

/// Shortens and lengthens decoded samples (mono, 48 kHz). Keeps nothing but scratch space.
#[derive(Debug, Default)]
pub struct Stretcher {
    decimated: Vec<f32>,
}

impl Stretcher {
    /// Samples that [`accelerate`](Self::accelerate) looks at; with fewer it finds only shorter periods.
    pub const SPAN: usize = SPAN;

    /// A stretcher.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one period, at most `most` samples, out of the beginning of `samples`. Says how many samples went.
    pub fn accelerate(&mut self, samples: &mut Vec<f32>, most: usize, urgency: Urgency) -> usize {
        let Some(lag) = self.period(samples, most, urgency) else { return 0 };
        for at in 0..lag {
            let fade = (at as f32 + 0.5) / lag as f32;
            samples[at + lag] = samples[at] * (1.0 - fade) + samples[at + lag] * fade;
        }
        samples.drain(..lag);
        lag
    }

    /// Doubles one period, at most `most` samples, at the beginning of `samples`. Says how many samples came.
    pub fn expand(&mut self, samples: &mut Vec<f32>, most: usize, urgency: Urgency) -> usize {
        let Some(lag) = self.period(samples, most, urgency) else { return 0 };
        let joint: Vec<f32> = (0..lag)
            .map(|at| {
                let fade = (at as f32 + 0.5) / lag as f32;
                samples[at + lag] * (1.0 - fade) + samples[at] * fade
            })
            .collect();
        samples.splice(lag..lag, joint);
        lag
    }

    /// The lag, `MIN_LAG..=most`, at which the beginning of `samples` repeats itself.
    fn period(&mut self, samples: &[f32], most: usize, urgency: Urgency) -> Option<usize> {
        let span = &samples[..samples.len().min(SPAN)];
        let longest = (span.len() / 2).min(most);
        if longest < MIN_LAG {
            return None;
        }
        if energy(span) / (span.len() as f32) < QUIET {
            return Some(longest);
        }
        let chunks = span.chunks_exact(DECIMATION);
        self.decimated.clear();
        self.decimated.extend(chunks.map(|chunk| chunk.iter().sum::<f32>() / DECIMATION as f32));
        let coarse_window = self.decimated.len() - self.decimated.len() / 2;
        let coarse_lags = MIN_LAG / DECIMATION..=longest / DECIMATION;
        let (coarse, _) = best_lag(&self.decimated, coarse_window, coarse_lags)?;
        let around = coarse * DECIMATION;
        let fine_lags = around.saturating_sub(DECIMATION).max(MIN_LAG)..=(around + DECIMATION).min(longest);
        let (lag, likeness) = best_lag(span, span.len() - span.len() / 2, fine_lags)?;
        (likeness >= urgency.threshold()).then_some(lag)
    }
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum()
}

/// The lag with the highest normalised correlation between the first `window` samples and those `lag` later.
fn best_lag(samples: &[f32], window: usize, lags: impl Iterator<Item = usize>) -> Option<(usize, f32)> {
    let lags = lags.filter(|lag| lag + window <= samples.len());
    let likeness = lags.map(|lag| {
        let (here, there) = (&samples[..window], &samples[lag..lag + window]);
        let product: f32 = here.iter().zip(there).map(|(a, b)| a * b).sum();
        (lag, product / (energy(here) * energy(there)).sqrt().max(f32::MIN_POSITIVE))
    });
    likeness.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    /// A voice-like tone: a fundamental and falling harmonics.
    fn voice(pitch: f32, count: usize) -> Vec<f32> {
        let tone = |at: usize| {
            (1..6).map(|n| (TAU * pitch * n as f32 * at as f32 / 48_000.0).sin() * 0.3 / n as f32).sum()
        };
        (0..count).map(tone).collect()
    }

    fn steepest(samples: &[f32]) -> f32 {
        samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_voice_loses_and_gains_whole_periods_without_a_click() {
        for pitch in [85.0, 120.0, 210.0, 330.0] {
            let original = voice(pitch, 1440);
            let period = (48_000.0 / pitch) as usize;
            for shorten in [true, false] {
                let mut samples = original.clone();
                let mut stretcher = Stretcher::new();
                let change = if shorten {
                    stretcher.accelerate(&mut samples, 720, Urgency::Relaxed)
                } else {
                    stretcher.expand(&mut samples, 720, Urgency::Relaxed)
                };
                let off = (change as f32 / period as f32).round() * period as f32 - change as f32;
                assert!(change > 0 && off.abs() < 8.0, "{pitch} Hz: {change} is not a multiple of {period}");
                let length = if shorten { 1440 - change } else { 1440 + change };
                assert_eq!(samples.len(), length);
                assert!((samples[0] - original[0]).abs() < 0.05);
                assert_eq!(samples[length - 1], original[1439]);
                assert!(steepest(&samples) < 1.3 * steepest(&original), "{pitch} Hz clicks");
            }
        }
    }

    #[test]
    fn noise_is_left_alone_unless_it_presses() {
        let mut state = 1u32;
        let noise: Vec<f32> = (0..1440)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        assert_eq!(Stretcher::new().accelerate(&mut noise.clone(), 720, Urgency::Relaxed), 0);
    }

    #[test]
    fn silence_is_cut_as_far_as_asked() {
        assert_eq!(Stretcher::new().accelerate(&mut vec![0.0; 1440], 500, Urgency::Relaxed), 500);
        assert_eq!(Stretcher::new().expand(&mut vec![0.0; 960], 720, Urgency::Relaxed), 480);
    }

    proptest! {
        #[test]
        fn any_samples_are_survived(
            samples in proptest::collection::vec(-1.0f32..1.0, 0..2000), most in 0usize..3000,
        ) {
            let mut shorter = samples.clone();
            let gone = Stretcher::new().accelerate(&mut shorter, most, Urgency::Pressing);
            prop_assert_eq!(shorter.len() + gone, samples.len());
            let mut longer = samples.clone();
            let came = Stretcher::new().expand(&mut longer, most, Urgency::Pressing);
            prop_assert_eq!(longer.len(), samples.len() + came);
            prop_assert!(gone <= most && came <= most);
        }
    }
}
