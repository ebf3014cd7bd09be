//! The engine's 10 ms schedule: absolute, so that lateness never adds up.

use std::time::{Duration, Instant};

/// One block.
pub(crate) const PERIOD: Duration = Duration::from_millis(10);

/// Lateness that is caught up by working faster; more (a suspended machine) is skipped.
const MAX_CATCH_UP: Duration = Duration::from_millis(200);

/// Hands out the schedule; the caller does the waiting.
pub(crate) struct Ticker {
    next: Instant,
}

impl Ticker {
    /// The first tick is one period from `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self { next: now + PERIOD }
    }

    /// How long to sleep until the next tick; zero when it is due.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Takes the tick that is due and returns its scheduled time.
    pub(crate) fn take(&mut self, now: Instant) -> Instant {
        if now.saturating_duration_since(self.next) > MAX_CATCH_UP {
            self.next = now;
        }
        let tick = self.next;
        self.next += PERIOD;
        tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_caught_up_without_drift() {
        let start = Instant::now();
        let mut ticker = Ticker::new(start);
        let late = start + Duration::from_millis(35);
        let ticks: Vec<_> =
            std::iter::from_fn(|| (ticker.wait(late) == Duration::ZERO).then(|| ticker.take(late))).collect();
        assert_eq!(ticks, [1, 2, 3].map(|n| start + PERIOD * n));
        assert_eq!(ticker.wait(late), Duration::from_millis(5));
    }

    #[test]
    fn a_suspended_machine_does_not_play_what_it_slept_through() {
        let start = Instant::now();
        let mut ticker = Ticker::new(start);
        let awake = start + Duration::from_secs(3600);
        assert_eq!(ticker.take(awake), awake);
        assert_eq!(ticker.wait(awake), PERIOD);
    }
}
