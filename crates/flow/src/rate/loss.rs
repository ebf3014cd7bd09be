//! When loss is a reason to send less.
//!
//! A little loss is normal on a radio link, and sending less does not cure it. More than a tenth is congestion
//! until proven otherwise: if sending clearly less changes nothing, the loss belongs to the link and is borne.

use std::time::{Duration, Instant};

/// Loss up to this is never a reason.
const TOLERATED: f64 = 0.10;
/// The rate has to have fallen to this share of where it was …
const PROOF_RATE: f64 = 0.7;
/// … with at least this share of the loss remaining, to prove the loss innocent.
const PROOF_LOSS: f64 = 0.7;
/// However innocent, more than this on top is congestion again.
const EXCESS: f64 = 0.08;
/// The largest loss that may be called innocent.
const MOST_INNOCENT: f64 = 0.3;
/// Innocence lasts this long.
const INNOCENT_FOR: Duration = Duration::from_secs(60);

/// Judges loss.
#[derive(Debug, Default)]
pub(super) struct LossJudge {
    /// Rate and loss when the present series of reductions began.
    began: Option<(f64, f64)>,
    innocent: Option<(f64, Instant)>,
}

impl LossJudge {
    /// The factor (0..1) to multiply the target with, or `None` to leave it. `rate_bps` is what is sent now.
    pub(super) fn judge(&mut self, now: Instant, loss: f64, rate_bps: f64) -> Option<f64> {
        if self.innocent.is_some_and(|(usual, at)| now >= at + INNOCENT_FOR || loss < usual / 2.0) {
            self.innocent = None;
        }
        let usual = self.innocent.map_or(0.0, |(usual, _)| usual + EXCESS);
        if loss <= TOLERATED.max(usual) {
            if loss < TOLERATED / 2.0 {
                self.began = None;
            }
            return None;
        }
        let (rate_then, loss_then) = *self.began.get_or_insert((rate_bps, loss));
        if rate_bps <= rate_then * PROOF_RATE && loss >= loss_then * PROOF_LOSS && loss <= MOST_INNOCENT {
            self.innocent = Some((loss, now));
            self.began = None;
            return None;
        }
        Some(1.0 - 0.5 * loss.min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_little_loss_is_borne_and_much_is_not() {
        let now = testing::start();
        let mut judge = LossJudge::default();
        assert_eq!(judge.judge(now, 0.02, 1e6), None);
        assert_eq!(judge.judge(now, 0.10, 1e6), None);
        assert_eq!(judge.judge(now, 0.40, 1e6), Some(0.8));
    }

    #[test]
    fn loss_that_sending_less_does_not_cure_is_borne() {
        let now = testing::start();
        let mut judge = LossJudge::default();
        let mut rate = 1e6;
        for _ in 0..100 {
            rate *= judge.judge(now, 0.15, rate).unwrap_or(1.0);
        }
        assert!((600e3..=700e3).contains(&rate), "{rate}");
        assert!(judge.judge(now, 0.4, rate).is_some(), "more than that is congestion");
    }
}
