//! Finds a known signal in what was received: how alike, and how late.
//!
//! For reports and tests. Normalised cross-correlation over a range of lags,
//! first coarsely on a decimated copy, then to the sample.

/// How a received signal relates to its source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// 1.0 for the same waveform at any loudness, 0.0 for unrelated ones.
    pub correlation: f32,
    /// Samples by which `received` is later than `reference`.
    pub lag: usize,
}

/// Samples averaged into one for the coarse search: good to 2 kHz at 48 kHz.
const COARSE: usize = 8;

/// Where in `received` the samples of `reference` are found best, at most `most_lag` samples late.
///
/// Both at one rate. `None` when `received` is shorter than `reference` or either is silent.
pub fn find(reference: &[f32], received: &[f32], most_lag: usize) -> Option<Match> {
    let most_lag = most_lag.min(received.len().checked_sub(reference.len())?);
    let coarse_reference = decimate(reference);
    let coarse_received = decimate(received);
    let coarse_lags = (most_lag / COARSE).min(coarse_received.len().checked_sub(coarse_reference.len())?);
    let coarse = best(&coarse_reference, &coarse_received, 0..=coarse_lags)?;
    let around = coarse.lag * COARSE;
    let fine = around.saturating_sub(2 * COARSE)..=(around + 2 * COARSE).min(most_lag);
    best(reference, received, fine)
}

fn decimate(samples: &[f32]) -> Vec<f32> {
    samples.chunks_exact(COARSE).map(|chunk| chunk.iter().sum()).collect()
}

fn best(reference: &[f32], received: &[f32], lags: std::ops::RangeInclusive<usize>) -> Option<Match> {
    lags.filter_map(|lag| {
        let part = received.get(lag..lag + reference.len())?;
        correlation(reference, part).map(|correlation| Match { correlation, lag })
    })
    .max_by(|a, b| a.correlation.total_cmp(&b.correlation))
}

/// The normalised correlation of two signals of one length, -1.0..=1.0; `None` for silence.
pub fn correlation(a: &[f32], b: &[f32]) -> Option<f32> {
    // Eight sums side by side, so that the compiler can keep them in one vector register.
    let mut dot = [0f32; 8];
    let mut a_power = [0f32; 8];
    let mut b_power = [0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            dot[lane] += a[lane] * b[lane];
            a_power[lane] += a[lane] * a[lane];
            b_power[lane] += b[lane] * b[lane];
        }
    }
    let power = a_power.iter().sum::<f32>() * b_power.iter().sum::<f32>();
    (power > f32::EPSILON * f32::EPSILON).then(|| dot.iter().sum::<f32>() / power.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sweep from 250 to 2 500 Hz in a second: like itself in one place only.
    fn sweep(count: u16) -> Vec<f32> {
        let sample = |n: u16| {
            let t = f32::from(n) / 48_000.0;
            0.4 * (std::f32::consts::TAU * (250.0 * t + 1_125.0 * t * t)).sin()
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn a_delayed_quieter_copy_is_found_to_the_sample() {
        let reference = sweep(24_000);
        for lag in [0, 1, 479, 7_201] {
            let mut received = vec![0.0; lag];
            received.extend(reference.iter().map(|sample| sample * 0.3));
            received.resize(40_000, 0.0);
            let found = find(&reference, &received, 16_000).expect("found");
            assert_eq!(found.lag, lag);
            assert!(found.correlation > 0.999, "{found:?}");
        }
    }

    #[test]
    fn unrelated_sounds_do_not_correlate() {
        let reference = sweep(24_000);
        let hum: Vec<f32> = (0..48_000).map(|n| (n as f32 * 0.0065).sin()).collect();
        let found = find(&reference, &hum, 24_000).expect("found");
        assert!(found.correlation < 0.3, "{found:?}");
    }

    #[test]
    fn silence_matches_nothing() {
        assert_eq!(find(&[0.0; 800], &[0.0; 1600], 800), None);
        assert_eq!(find(&[0.1; 800], &[0.1; 400], 800), None);
    }
}
