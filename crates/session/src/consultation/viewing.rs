//! The other side's picture as this side should see it: whether there should be one, and whether it stands still.

use std::time::{Duration, Instant};

use bedside_flow::freeze::FreezeDetector;

/// A picture that was just turned on is judged after this long: the first one takes a moment.
const WARM_UP: Duration = Duration::from_secs(2);

/// What the other side says of its picture.
#[derive(Debug, Default)]
pub(super) struct Viewing {
    on_since: Option<Instant>,
    /// It is on, and sent.
    live: bool,
}

impl Viewing {
    /// The other side says how its picture stands: its camera is on, and nothing is sent of it for lack of room.
    pub(super) fn says(&mut self, now: Instant, camera_on: bool, paused: bool) {
        self.on_since = if camera_on { self.on_since.or(Some(now)) } else { None };
        self.live = camera_on && !paused;
    }

    /// Looks whether the picture stands still. What nobody sends did not freeze.
    pub(super) fn look(&self, now: Instant, freezes: &mut FreezeDetector) {
        if self.live {
            freezes.look(now);
        } else {
            freezes.pause();
        }
    }

    /// Whether there should have been a picture for the whole last second: then its absence counts against it.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.on_since.is_some_and(|since| now >= since + WARM_UP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often and for how long a picture froze, ms, that came every 40 ms for two seconds and then stopped.
    fn stopped(then: impl FnOnce(&mut Viewing, Instant)) -> (u64, u128) {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut viewing, mut freezes) = (Viewing::default(), FreezeDetector::new());
        viewing.says(at(0), true, false);
        for picture in 0..=50 {
            freezes.on_frame(at(picture * 40));
        }
        then(&mut viewing, at(2_100));
        for ms in (2_100..=12_000).step_by(100) {
            viewing.look(at(ms), &mut freezes);
        }
        viewing.says(at(12_050), true, false);
        for picture in 301..=310 {
            freezes.on_frame(at(picture * 40));
        }
        (freezes.stats().count, freezes.stats().total.as_millis())
    }

    #[test]
    fn a_picture_that_stops_while_it_is_said_to_be_on_is_one_freeze() {
        assert_eq!(stopped(|_, _| {}), (1, 10_040));
    }

    #[test]
    fn a_camera_that_is_off_and_a_picture_that_is_paused_do_not_freeze() {
        assert_eq!(stopped(|viewing, now| viewing.says(now, false, false)), (0, 0));
        assert_eq!(stopped(|viewing, now| viewing.says(now, true, true)), (0, 0));
    }

    #[test]
    fn a_picture_is_missed_once_it_has_had_time_to_come_and_not_after_it_is_off() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut viewing = Viewing::default();
        assert!(!viewing.is_due(at(9_000)));
        viewing.says(at(9_000), true, false);
        viewing.says(at(10_900), true, true);
        assert!(!viewing.is_due(at(10_990)));
        assert!(viewing.is_due(at(11_000)), "paused, and nobody sees anything");
        viewing.says(at(12_000), false, false);
        assert!(!viewing.is_due(at(15_000)));
    }
}
