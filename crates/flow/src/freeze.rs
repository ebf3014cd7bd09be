//! When a picture stood still: libwebrtc's rule (`VideoQualityObserver`; W3C webrtc-stats `freezeCount`).
//!
//! An interval between two shown pictures is a freeze if it is at least three times the mean of the last 30, or
//! the mean plus 150 ms, whichever is more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Intervals that make the mean.
const WINDOW: usize = 30;
/// Fewer intervals than this judge nobody.
const ENOUGH: usize = 5;
/// At least this much above the mean.
const MARGIN: Duration = Duration::from_millis(150);

/// Counters since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreezeStats {
    /// Freezes.
    pub count: u64,
    /// How long the pictures stood still, in all.
    pub total: Duration,
}

/// Watches one picture stream as it is shown.
#[derive(Debug, Default)]
pub struct FreezeDetector {
    last: Option<Instant>,
    intervals: VecDeque<Duration>,
    /// How much of the present interval has been counted as a freeze.
    counted: Duration,
    stats: FreezeStats,
}

impl FreezeDetector {
    /// A detector that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A picture is shown now. The length of the freeze that it ended, if it did.
    pub fn on_frame(&mut self, now: Instant) -> Option<Duration> {
        let freeze = self.look(now);
        self.counted = Duration::ZERO;
        let interval = now.saturating_duration_since(self.last.replace(now)?);
        if self.intervals.len() >= WINDOW {
            self.intervals.pop_front();
        }
        self.intervals.push_back(interval);
        freeze
    }

    /// Counts what stands still by now: a freeze that no picture ends is one all the same. How long it has lasted, if
    /// the picture stands still.
    pub fn look(&mut self, now: Instant) -> Option<Duration> {
        let standing = now.saturating_duration_since(self.last?);
        if standing < self.limit()? {
            return None;
        }
        self.stats.count += u64::from(self.counted.is_zero());
        self.stats.total += standing.saturating_sub(self.counted);
        self.counted = self.counted.max(standing);
        Some(standing)
    }

    /// The sender turned its camera off or changed its source: the interval to come is nobody's fault.
    pub fn pause(&mut self) {
        self.last = None;
        self.counted = Duration::ZERO;
    }

    /// Counters since the beginning.
    pub fn stats(&self) -> FreezeStats {
        self.stats
    }

    fn limit(&self) -> Option<Duration> {
        if self.intervals.len() < ENOUGH {
            return None;
        }
        let mean = self.intervals.iter().sum::<Duration>() / self.intervals.len() as u32;
        Some((mean * 3).max(mean + MARGIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_even_stream_and_a_skipped_picture_are_no_freeze() {
        let mut now = testing::start();
        let mut detector = FreezeDetector::new();
        for index in 0..300 {
            now += ms(if index % 50 == 0 { 100 } else { 33 });
            detector.on_frame(now);
        }
        assert_eq!(detector.stats(), FreezeStats::default());
    }

    #[test]
    fn a_stall_of_mean_plus_150_ms_is_one() {
        let mut now = testing::start();
        let mut detector = FreezeDetector::new();
        for _ in 0..40 {
            now += ms(30);
            detector.on_frame(now);
        }
        assert_eq!(detector.look(now + ms(179)), None);
        assert_eq!(detector.look(now + ms(180)), Some(ms(180)));
        assert_eq!(detector.on_frame(now + ms(180)), Some(ms(180)));
        assert_eq!(detector.stats(), FreezeStats { count: 1, total: ms(180) });
    }

    #[test]
    fn at_ten_pictures_a_second_three_intervals_are_one() {
        let mut now = testing::start();
        let mut detector = FreezeDetector::new();
        for _ in 0..40 {
            now += ms(100);
            detector.on_frame(now);
        }
        assert_eq!(detector.on_frame(now + ms(299)), None);
        let mut detector = FreezeDetector::new();
        for step in 0..40 {
            detector.on_frame(now + ms(step * 100));
        }
        assert_eq!(detector.on_frame(now + ms(3900 + 300)), Some(ms(300)));
    }

    #[test]
    fn a_freeze_that_no_picture_ends_is_counted_as_it_goes_on_and_once() {
        let mut now = testing::start();
        let mut detector = FreezeDetector::new();
        for _ in 0..40 {
            now += ms(30);
            detector.on_frame(now);
        }
        for standing in (100..=5000).step_by(100) {
            detector.look(now + ms(standing));
        }
        assert_eq!(detector.stats(), FreezeStats { count: 1, total: ms(5000) });
        detector.on_frame(now + ms(5020));
        assert_eq!(detector.stats(), FreezeStats { count: 1, total: ms(5020) });
    }

    #[test]
    fn a_camera_that_was_off_did_not_freeze() {
        let mut now = testing::start();
        let mut detector = FreezeDetector::new();
        for _ in 0..40 {
            now += ms(33);
            detector.on_frame(now);
        }
        detector.pause();
        assert_eq!(detector.on_frame(now + ms(9000)), None);
        assert_eq!(detector.stats().count, 0);
    }
}
