//! The wall clock, for what is shown to people and sent to the server, and the server's clock, by which calls are timed.
//! Media runs on `Instant`.
//!
//! The clock of a computer may be minutes off, and may be set at any time. What the server says of a call is therefore
//! never compared with it as it stands: [`Translation`] says it in the terms of this computer's clock first.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bedside_protocol::Timestamp;
use tokio::time::Instant;

/// Below this the clocks are said to go alike, ms: who watches the seconds of a call should not see them jump.
const ALIKE_MS: u64 = 250;

/// Now, by the system's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// When somebody else says that something happened; now, where that time has not come.
#[must_use]
pub(crate) fn past(said: Timestamp) -> Timestamp {
    said.min(now())
}

/// A clock that nobody sets: it starts at some time and goes on from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady {
    from: Timestamp,
    since: Instant,
}

impl Steady {
    /// A clock that shows what the system's shows, for now.
    pub(crate) fn start() -> Self {
        Self { from: now(), since: Instant::now() }
    }

    /// For how long it has gone.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Timestamp {
        self.from.plus_millis(millis(instant.saturating_duration_since(self.since)))
    }
}

/// What the server's clock shows, as far as this device knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerClock(Arc<Mutex<Option<Steady>>>);

impl ServerClock {
    /// The server said what its clock shows, at some time between the question and its answer. What was believed is
    /// kept where it can be true: a slow answer says less than the quick one before it.
    pub(crate) fn heard(&self, said: Timestamp, asked: Instant, answered: Instant) {
        let trip = answered.saturating_duration_since(asked);
        let mut clock = self.lock();
        let believed = clock.map(|clock| clock.at(answered));
        if believed.is_none_or(|believed| believed < said || believed > said.plus_millis(millis(trip))) {
            *clock = Some(Steady { from: said.plus_millis(millis(trip / 2)), since: answered });
        }
    }

    /// Now, by the server's clock; `None` before it has said so.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.lock().map(|clock| clock.now())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Steady>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says the server's times in the terms of this computer's clock: what is ten seconds from now there is so here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Translation {
    /// By how much the server's clock is ahead of this computer's, ms.
    ahead: i64,
}

impl Translation {
    /// What both clocks show now. It changes only with a clock that was set, or an error that was found.
    pub(crate) const fn follow(&mut self, server: Timestamp, here: Timestamp) {
        let ahead = server.0.saturating_sub(here.0);
        if ahead.abs_diff(self.ahead) > ALIKE_MS {
            self.ahead = ahead;
        }
    }

    /// A time of the server, by this computer's clock.
    pub(crate) const fn here(&self, said: Timestamp) -> Timestamp {
        Timestamp(said.0.saturating_sub(self.ahead))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_763_672_400_000);
    const MINUTE: i64 = 60_000;

    const fn after(seconds: i64) -> Timestamp {
        Timestamp(NOON.0 + seconds * 1_000)
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_of_the_server_goes_on_by_itself_from_half_way_between_question_and_answer() {
        let clock = ServerClock::default();
        assert_eq!(clock.now(), None);
        let asked = Instant::now();
        clock.heard(NOON, asked, asked + Duration::from_secs(4));
        tokio::time::advance(Duration::from_secs(64)).await;
        assert_eq!(clock.now(), Some(after(62)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_answer_that_shows_an_error_changes_what_is_believed() {
        let clock = ServerClock::default();
        let asked = Instant::now();
        clock.heard(NOON, asked, asked + Duration::from_secs(4));
        tokio::time::advance(Duration::from_secs(10)).await;
        let asked = Instant::now();
        clock.heard(after(9), asked, asked + Duration::from_secs(5));
        assert_eq!(clock.now(), Some(after(8)), "slow, and nothing is wrong");
        clock.heard(after(9), asked, asked);
        assert_eq!(clock.now(), Some(after(9)), "the first was told late");
        clock.heard(after(3_600), asked, asked);
        assert_eq!(clock.now(), Some(after(3_600)), "the clock of the server was set");
    }

    #[test]
    fn times_of_the_server_are_as_far_from_now_here_as_they_are_there() {
        for wrong in [10 * MINUTE, -10 * MINUTE, 0] {
            let here = Timestamp(NOON.0 + wrong);
            let mut times = Translation::default();
            times.follow(NOON, here);
            assert_eq!(here.millis_since(times.here(after(-90))), 90_000, "{wrong}");
            assert_eq!(times.here(after(272)).millis_since(here), 272_000, "{wrong}");
        }
    }

    #[test]
    fn a_clock_that_is_set_is_followed_and_one_that_trembles_is_not() {
        let mut times = Translation::default();
        times.follow(NOON, Timestamp(NOON.0 + 10 * MINUTE));
        let before = times.here(NOON);
        times.follow(after(1), Timestamp(NOON.0 + 10 * MINUTE + 1_000 + 200));
        assert_eq!(times.here(NOON), before);
        times.follow(after(2), after(2));
        assert_eq!(times.here(NOON), NOON);
    }
}
