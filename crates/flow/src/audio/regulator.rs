//! Keeps the playout delay at its target: when to stretch, which way, and how boldly.

use std::collections::VecDeque;

use super::stretcher::Urgency;

/// The delay may stray from its target by this before sound is stretched, ms.
const SLACK_MS: f64 = 5.0;
/// Once begun, stretching goes on until the delay is this near its target: the shortest period there is, ms.
const SLACK_ON_MS: f64 = 2.5;
/// Beyond this excess joints may be heard, ms.
const PRESSING_MS: f64 = 100.0;
/// Beyond this excess what is late is not worth hearing: live speech comes first, ms.
const HOPELESS_MS: f64 = 300.0;
/// Blocks between two stretches.
const COOLDOWN: u32 = 3;
/// The delay is the least of this many blocks, because a sound card may ask for several at once.
const WINDOW: usize = 10;

/// What to do about the delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing now.
    Keep,
    /// Take out at most so many milliseconds.
    Shorten(f64, Urgency),
    /// Put in at most so many milliseconds.
    Lengthen(f64, Urgency),
    /// Start over with the newest.
    Skip,
}

/// Watches the delay block by block.
#[derive(Debug, Default)]
pub(super) struct Regulator {
    delays: VecDeque<f64>,
    stretching: bool,
    cooldown: u32,
}

impl Regulator {
    /// Judges a block that is to be handed out with this delay, both in ms.
    pub(super) fn judge(&mut self, delay: f64, target: f64) -> Verdict {
        if self.delays.len() >= WINDOW {
            self.delays.pop_front();
        }
        self.delays.push_back(delay);
        self.cooldown = self.cooldown.saturating_sub(1);
        let excess = self.delay_ms() - target;
        if excess > HOPELESS_MS {
            return Verdict::Skip;
        }
        self.stretching = excess.abs() > if self.stretching { SLACK_ON_MS } else { SLACK_MS };
        if !self.stretching || self.cooldown > 0 || self.delays.len() < WINDOW {
            return Verdict::Keep;
        }
        let urgency = if excess.abs() > PRESSING_MS { Urgency::Pressing } else { Urgency::Relaxed };
        if excess > 0.0 {
            Verdict::Shorten(excess, urgency)
        } else {
            // A little too much does no harm; it spares the next stretch.
            Verdict::Lengthen(5.0 - excess, urgency)
        }
    }

    /// The delay was changed by so much, ms.
    pub(super) fn stretched(&mut self, change: f64) {
        self.cooldown = COOLDOWN;
        self.delays.iter_mut().for_each(|delay| *delay += change);
    }

    /// The delay now, ms.
    pub(super) fn delay_ms(&self) -> f64 {
        self.delays.iter().copied().reduce(f64::min).unwrap_or_default()
    }

    /// What was seen no longer holds.
    pub(super) fn reset(&mut self) {
        self.delays.clear();
        self.stretching = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(regulator: &mut Regulator, delay: f64) -> Verdict {
        (0..WINDOW).map(|_| regulator.judge(delay, 40.0)).last().unwrap()
    }

    #[test]
    fn small_deviations_are_left_and_larger_ones_are_brought_nearer_than_that() {
        let mut regulator = Regulator::default();
        assert_eq!(settle(&mut regulator, 44.0), Verdict::Keep);
        assert_eq!(settle(&mut regulator, 50.0), Verdict::Shorten(10.0, Urgency::Relaxed));
        regulator.stretched(-6.0);
        assert_eq!(settle(&mut regulator, 44.0), Verdict::Shorten(4.0, Urgency::Relaxed));
        regulator.stretched(-3.0);
        assert_eq!(settle(&mut regulator, 41.0), Verdict::Keep);
    }

    #[test]
    fn a_sound_card_that_asks_for_two_blocks_at_once_is_not_a_longer_delay() {
        let mut regulator = Regulator::default();
        let verdicts = (0..100).map(|at| regulator.judge(if at % 2 == 0 { 50.0 } else { 40.0 }, 40.0));
        assert!(verdicts.into_iter().all(|verdict| verdict == Verdict::Keep));
    }

    #[test]
    fn what_is_far_too_late_is_skipped() {
        assert_eq!(settle(&mut Regulator::default(), 400.0), Verdict::Skip);
        assert_eq!(settle(&mut Regulator::default(), 20.0), Verdict::Lengthen(25.0, Urgency::Relaxed));
    }
}
