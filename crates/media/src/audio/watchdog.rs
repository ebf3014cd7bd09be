//! Notices a device that stopped calling back. Pure: it is told the time.

use std::time::{Duration, Instant};

/// Silence of the callbacks that counts as stalled.
const LIMIT: Duration = Duration::from_millis(500);

/// A device may take this long to call back for the first time.
const START_LIMIT: Duration = Duration::from_millis(2000);

/// Watches one device's callback counter.
pub(crate) struct Watchdog {
    seen: u64,
    since: Instant,
}

impl Watchdog {
    /// Starts watching a device that was just opened.
    pub(crate) fn new(now: Instant) -> Self {
        Self { seen: 0, since: now }
    }

    /// Takes the counter in; true when the device has stalled.
    pub(crate) fn stalled(&mut self, now: Instant, count: u64) -> bool {
        if count != self.seen {
            self.seen = count;
            self.since = now;
        }
        let limit = if self.seen == 0 { START_LIMIT } else { LIMIT };
        now.saturating_duration_since(self.since) >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_without_a_callback_is_a_stall() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut dog = Watchdog::new(start);
        assert!(!dog.stalled(at(1900), 0), "a slow start is no stall");
        assert!(!dog.stalled(at(1950), 1));
        assert!(!dog.stalled(at(2400), 1));
        assert!(dog.stalled(at(2450), 1));
        assert!(!dog.stalled(at(2460), 2), "it came back");
    }

    #[test]
    fn a_device_that_never_starts_is_stalled() {
        let start = Instant::now();
        let mut dog = Watchdog::new(start);
        assert!(dog.stalled(start + START_LIMIT, 0));
    }
}
