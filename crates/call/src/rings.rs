//! How often a device rings: whatever its server says, not so often that its person has no rest.
//!
//! A server, or somebody at it, can invent callers, so that there is a limit for all together beside the one for each. A
//! call that is answered was wanted and costs nothing.

use std::time::{Duration, Instant};

use bedside_protocol::UserId;

use crate::rate::{KeyedBuckets, TokenBucket};

/// Unanswered calls of one person that ring in a row.
pub const FROM_ONE: u32 = 5;
/// Then one more rings every so often.
pub const FROM_ONE_EVERY: Duration = Duration::from_secs(180);
/// Unanswered calls of all people that ring in a row.
pub const FROM_ALL: u32 = 10;
/// Then one more rings every so often.
pub const FROM_ALL_EVERY: Duration = Duration::from_secs(60);

/// Counts the calls that rang on one device.
#[derive(Debug)]
pub struct Rings {
    callers: KeyedBuckets<UserId>,
    all: TokenBucket,
}

impl Rings {
    /// None so far.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            callers: KeyedBuckets::slow(FROM_ONE_EVERY, FROM_ONE),
            all: TokenBucket::slow(FROM_ALL_EVERY, FROM_ALL, now),
        }
    }

    /// Somebody calls. Whether it rings; counted if so.
    pub fn rings(&mut self, caller: UserId, now: Instant) -> bool {
        self.callers.sweep(now);
        if self.all.take(now).is_err() {
            return false;
        }
        if self.callers.take(caller, now).is_err() {
            // Whoever calls too often must not keep others from ringing.
            self.all.give_back();
            return false;
        }
        true
    }

    /// A call that rang was answered here.
    pub fn answered(&mut self, caller: UserId) {
        self.callers.give_back(&caller);
        self.all.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "some moment, from which on the tests count")]
    fn beginning() -> Instant {
        Instant::now()
    }

    /// How many calls of this person would ring now.
    fn ringing(rings: &mut Rings, caller: UserId, now: Instant) -> u32 {
        let mut count = 0;
        while rings.rings(caller, now) {
            count += 1;
        }
        count
    }

    #[test]
    fn who_calls_without_end_rings_a_few_times_and_then_seldom() {
        let (caller, start) = (UserId::random(), beginning());
        let mut rings = Rings::new(start);
        assert_eq!(ringing(&mut rings, caller, start), FROM_ONE);
        assert_eq!(ringing(&mut rings, caller, start + FROM_ONE_EVERY - Duration::from_secs(1)), 0);
        assert_eq!(ringing(&mut rings, caller, start + FROM_ONE_EVERY + Duration::from_secs(1)), 1);
        let day = Duration::from_secs(24 * 3600);
        let called_every_second = (0..day.as_secs())
            .filter(|second| rings.rings(caller, start + day + Duration::from_secs(*second)))
            .count();
        let steadily = usize::try_from(day.as_secs() / FROM_ONE_EVERY.as_secs()).expect("few");
        assert!(
            called_every_second.abs_diff(steadily) <= FROM_ONE as usize,
            "{called_every_second} in a day"
        );
    }

    #[test]
    fn who_calls_without_end_does_not_keep_others_from_ringing() {
        let start = beginning();
        let mut rings = Rings::new(start);
        let pest = UserId::random();
        for _ in 0..1000 {
            rings.rings(pest, start);
        }
        assert_eq!(ringing(&mut rings, UserId::random(), start), FROM_ALL - FROM_ONE);
    }

    #[test]
    fn callers_who_are_invented_share_one_limit() {
        let start = beginning();
        let mut rings = Rings::new(start);
        let rung = (0..1000).filter(|_| rings.rings(UserId::random(), start)).count();
        assert_eq!(rung, FROM_ALL as usize);
        assert!(rings.rings(UserId::random(), start + FROM_ALL_EVERY + Duration::from_secs(1)));
    }

    #[test]
    fn calls_that_are_answered_ring_again_and_again() {
        let (caller, start) = (UserId::random(), beginning());
        let mut rings = Rings::new(start);
        for call in 0..1000 {
            assert!(rings.rings(caller, start), "call {call}");
            rings.answered(caller);
        }
    }
}
