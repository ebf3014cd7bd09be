//! The beat of sources without hardware: frame `n` is due at exactly `start + n/rate`, so that nothing drifts
//! however late a single frame was. Beats that were missed are left out, never made up in a burst.

use std::time::{Duration, Instant};

use super::source::Stop;

/// Counts beats of an exact rational rate.
pub(super) struct Pacer {
    numerator: u64,
    denominator: u64,
    start: Option<Instant>,
    next: u64,
}

impl Pacer {
    /// A beat of `numerator / denominator` frames per second, both made at least 1.
    pub(super) fn new(numerator: u32, denominator: u32) -> Self {
        let (numerator, denominator) = (u64::from(numerator.max(1)), u64::from(denominator.max(1)));
        Self { numerator, denominator, start: None, next: 0 }
    }

    /// Waits for the next beat and answers its number, the first one being 0 and now. `None` when stopped.
    pub(super) fn wait(&mut self, stop: &Stop) -> Option<u64> {
        let now = Instant::now();
        let start = *self.start.get_or_insert(now);
        let beat = self.due(now.saturating_duration_since(start));
        let stopped = stop.wait_until(start + self.offset(beat));
        self.next = beat + 1;
        (!stopped).then_some(beat)
    }

    /// The beat to wait for after `elapsed`: the next one, or the one under way when beats were missed.
    fn due(&self, elapsed: Duration) -> u64 {
        let beats = elapsed.as_nanos() * u128::from(self.numerator) / self.second();
        self.next.max(u64::try_from(beats).unwrap_or(u64::MAX))
    }

    fn offset(&self, beat: u64) -> Duration {
        let nanos = u128::from(beat) * self.second() / u128::from(self.numerator);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn second(&self) -> u128 {
        1_000_000_000 * u128::from(self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_do_not_drift_over_a_day() {
        let pacer = Pacer::new(30_000, 1001);
        let frames_a_day = 30_000 * 86_400 / 1001;
        let error = Duration::from_secs(86_400).as_secs_f64() - pacer.offset(frames_a_day).as_secs_f64();
        assert!(error.abs() < 0.034, "a day of 29.97 fps is off by {error} s");
        assert_eq!(Pacer::new(30, 1).offset(30), Duration::from_secs(1));
    }

    #[test]
    fn missed_beats_are_left_out() {
        let mut pacer = Pacer::new(25, 1);
        pacer.next = 3;
        assert_eq!(pacer.due(Duration::from_millis(100)), 3, "in time");
        assert_eq!(pacer.due(Duration::from_millis(130)), 3, "a little late: still the same one");
        assert_eq!(pacer.due(Duration::from_millis(1010)), 25, "a second late: twenty-two are gone");
    }

    #[test]
    fn a_stopped_pacer_gives_no_beat() {
        let stop = Stop::default();
        let mut pacer = Pacer::new(1, 3600);
        assert_eq!(pacer.wait(&stop), Some(0));
        stop.set();
        assert_eq!(pacer.wait(&stop), None);
    }
}
