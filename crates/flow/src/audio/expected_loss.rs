//! How much loss the voice encoder prepares for: its copies of the frame before cost the voice itself a part of its bits, so
//! they are sent where packets get lost, and for a while after.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a loss is remembered.
const MEMORY: Duration = Duration::from_secs(20);
/// Up to 5 % libopus gives up the copies rather than the highest tones, and then carries none at 32 kbit/s.
const LEAST: f64 = 6.0;
/// Beyond, most of the voice would be copies.
const MOST: f64 = 40.0;

/// The worst that was reported lately.
#[derive(Debug)]
pub struct ExpectedLoss {
    /// The worst first; of what came after it, again the worst, and so on.
    worst: VecDeque<(Instant, u8)>,
}

impl ExpectedLoss {
    /// Expected of a line of which nothing is known yet, per cent.
    pub const UNKNOWN: u8 = 10;

    /// Of a line that is used from `now` on.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { worst: VecDeque::from([(now, Self::UNKNOWN)]) }
    }

    /// The other side missed this share of the packets since its last report.
    pub fn on_report(&mut self, now: Instant, fraction: f64) {
        let percent = if fraction > 0.0 { (fraction * 100.0).round().clamp(LEAST, MOST) as u8 } else { 0 };
        while self.worst.back().is_some_and(|(_, other)| *other <= percent) {
            self.worst.pop_back();
        }
        self.worst.push_back((now, percent));
        while self.worst.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > MEMORY) {
            self.worst.pop_front();
        }
    }

    /// Per cent; at zero the encoder makes no copies.
    #[must_use]
    pub fn percent(&self) -> u8 {
        self.worst.front().map_or(Self::UNKNOWN, |(_, percent)| *percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Instants so many seconds after the line began.
    fn clock() -> impl Fn(u64) -> Instant {
        let start = testing::start();
        move |seconds| start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_unknown_line_is_prepared_for_and_a_clean_one_is_not() {
        let after = clock();
        let mut expected = ExpectedLoss::new(after(0));
        assert_eq!(expected.percent(), ExpectedLoss::UNKNOWN);
        for second in 1..=20 {
            expected.on_report(after(second), 0.0);
            assert_eq!(expected.percent(), ExpectedLoss::UNKNOWN, "after {second} s");
        }
        expected.on_report(after(21), 0.0);
        assert_eq!(expected.percent(), 0);
    }

    #[test]
    fn a_loss_is_prepared_for_at_once_and_remembered_for_a_while() {
        let after = clock();
        let mut expected = ExpectedLoss::new(after(0));
        expected.on_report(after(30), 0.0);
        expected.on_report(after(31), 0.18);
        assert_eq!(expected.percent(), 18);
        expected.on_report(after(40), 0.08);
        expected.on_report(after(51), 0.0);
        assert_eq!(expected.percent(), 18);
        expected.on_report(after(52), 0.0);
        assert_eq!(expected.percent(), 8, "the worst of the last 20 s");
        expected.on_report(after(61), 0.0);
        assert_eq!(expected.percent(), 0);
    }

    #[test]
    fn the_least_loss_calls_for_copies_and_the_worst_leaves_a_voice() {
        let after = clock();
        let mut expected = ExpectedLoss::new(after(0));
        expected.on_report(after(30), 0.001);
        assert_eq!(expected.percent(), 6);
        expected.on_report(after(31), 0.9);
        assert_eq!(expected.percent(), 40);
    }
}
