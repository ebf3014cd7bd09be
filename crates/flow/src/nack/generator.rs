//! The receiver's half: which packets to ask for now, and which to give up.
//!
//! A missing packet is asked for as soon as it is likely lost rather than late, again after each round trip, and
//! given up when its picture would come too late to matter. What is given up goes to the assembler, which skips
//! to the next keyframe.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rtp::{MAX_DROPOUT, SequenceUnwrapper};

/// Packets asked for at most at a time; a larger hole is not repaired but skipped.
const MAX_MISSING: usize = 1000;
/// Requests for one packet at most.
const MAX_TRIES: u32 = 10;
/// A packet is given up this long after it was missed, or after four round trips if that is longer.
const MAX_AGE: Duration = Duration::from_millis(500);
/// … and after this long in any case.
const HARD_MAX_AGE: Duration = Duration::from_millis(1500);
/// How long a hole may be mere reordering, at the least and at the most.
const REORDER_WAIT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(40));
/// This many packets behind the hole prove it without waiting, while the network does not reorder.
const REORDER_PACKETS: i64 = 2;
/// What a retransmission takes besides the round trip: pacing, scheduling.
const TURNAROUND: Duration = Duration::from_millis(10);
/// The shortest time between two requests for one packet.
const MIN_RETRY: Duration = Duration::from_millis(20);
/// Identifiers in one answer at most; the rest follows in the next.
const MAX_BATCH: usize = 128;

/// What became of the missing packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GeneratorStats {
    /// Packets that were missed for a while.
    pub missed: u64,
    /// Requests for single packets, repetitions included.
    pub requested: u64,
    /// Missed packets that came after they had been asked for.
    pub recovered: u64,
    /// Missed packets that came by themselves.
    pub reordered: u64,
    /// Packets given up.
    pub given_up: u64,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Instant,
    asked_at: Option<Instant>,
    tries: u32,
}

/// Tracks one stream's holes. After each [`on_packet`](Self::on_packet), and when
/// [`poll_timeout`](Self::poll_timeout) falls due, call [`poll`](Self::poll) and send what it says, then hand
/// [`take_given_up`](Self::take_given_up) to the assembler.
#[derive(Debug, Default)]
pub struct Generator {
    unwrapper: SequenceUnwrapper,
    missing: BTreeMap<i64, Missing>,
    given_up: Vec<u16>,
    /// Lateness of recent reordering; zero on a network that keeps order.
    reorder_wait: Duration,
    stats: GeneratorStats,
}

impl Generator {
    /// A generator that has seen no packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a packet that arrived, retransmitted ones included.
    pub fn on_packet(&mut self, now: Instant, seq: u16) {
        let highest = self.unwrapper.highest();
        let (Some(index), Some(highest)) = (self.unwrapper.unwrap(seq), highest) else { return };
        if let Some(missing) = self.missing.remove(&index) {
            self.on_filled(now, missing);
        }
        if index - highest > MAX_DROPOUT {
            self.missing.clear();
            return;
        }
        if index - highest - 1 > MAX_MISSING as i64 {
            self.give_up_before(i64::MAX);
            self.given_up.push((index - 1) as u16);
            self.stats.given_up += 1;
            return;
        }
        for hole in highest + 1..index {
            self.stats.missed += 1;
            self.missing.insert(hole, Missing { since: now, asked_at: None, tries: 0 });
        }
        if self.missing.len() > MAX_MISSING {
            let surplus = self.missing.len() - MAX_MISSING;
            if let Some((&keep_from, _)) = self.missing.iter().nth(surplus) {
                self.give_up_before(keep_from);
            }
        }
    }

    /// The packets to ask for now (at most 128), given the round-trip time.
    pub fn poll(&mut self, now: Instant, rtt: Duration) -> Vec<u16> {
        let max_age = MAX_AGE.max(rtt * 4).min(HARD_MAX_AGE);
        let hopeless = |missing: &Missing| {
            let exhausted = missing.tries >= MAX_TRIES
                && missing.asked_at.is_some_and(|at| now >= at + retry_after(rtt, missing.tries));
            exhausted || now >= missing.since + max_age
        };
        if let Some(last) =
            self.missing.iter().rev().find(|(_, missing)| hopeless(missing)).map(|(seq, _)| *seq)
        {
            // Pictures follow one another: with this one gone, all holes before it have lost their use.
            self.give_up_before(last + 1);
        }
        let highest = self.unwrapper.highest().unwrap_or_default();
        let wait = self.reorder_wait.clamp(REORDER_WAIT.0, REORDER_WAIT.1);
        let ordered = self.reorder_wait.is_zero();
        let mut due = Vec::new();
        for (seq, missing) in &mut self.missing {
            let ask = match missing.asked_at {
                Some(at) => missing.tries < MAX_TRIES && now >= at + retry_after(rtt, missing.tries),
                None => now >= missing.since + wait || (ordered && highest - seq >= REORDER_PACKETS),
            };
            if ask && due.len() < MAX_BATCH {
                missing.asked_at = Some(now);
                missing.tries += 1;
                due.push(*seq as u16);
            }
        }
        self.stats.requested += due.len() as u64;
        due
    }

    /// When [`poll`](Self::poll) has to be asked again, if no packet comes before.
    pub fn poll_timeout(&self, rtt: Duration) -> Option<Instant> {
        let wait = self.reorder_wait.clamp(REORDER_WAIT.0, REORDER_WAIT.1);
        let due = |missing: &Missing| match missing.asked_at {
            Some(at) => at + retry_after(rtt, missing.tries),
            None => missing.since + wait,
        };
        self.missing.values().map(due).min()
    }

    /// Packets that will not come any more; everything missing before each of them is given up too.
    pub fn take_given_up(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.given_up)
    }

    /// Says that nothing before `seq` is needed any more (see `Assembler::needed_from`).
    pub fn forget_before(&mut self, seq: u16) {
        let Some(highest) = self.unwrapper.highest() else { return };
        let index = highest + i64::from(seq.wrapping_sub(highest as u16) as i16);
        self.missing = self.missing.split_off(&index);
    }

    /// Packets missing now.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Counters since the beginning.
    pub fn stats(&self) -> GeneratorStats {
        self.stats
    }

    fn on_filled(&mut self, now: Instant, missing: Missing) {
        if missing.asked_at.is_some() {
            self.stats.recovered += 1;
            self.reorder_wait = self.reorder_wait.saturating_sub(Duration::from_micros(100));
        } else {
            self.stats.reordered += 1;
            let late = now.saturating_duration_since(missing.since) * 3 / 2;
            self.reorder_wait = self.reorder_wait.max(late).min(REORDER_WAIT.1);
        }
    }

    fn give_up_before(&mut self, end: i64) {
        let keep = self.missing.split_off(&end);
        let lost = std::mem::replace(&mut self.missing, keep);
        self.stats.given_up += lost.len() as u64;
        if let Some((last, _)) = lost.last_key_value() {
            self.given_up.push(*last as u16);
        }
    }
}

/// After three requests each waits half a round trip longer than the one before, so that a full queue can drain.
fn retry_after(rtt: Duration, tries: u32) -> Duration {
    (rtt + TURNAROUND + rtt / 2 * tries.saturating_sub(3).min(4)).max(MIN_RETRY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    const RTT: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_lost_packet_is_asked_for_once_two_later_ones_are_there_and_then_once_per_round_trip() {
        let start = testing::start();
        let mut generator = Generator::new();
        generator.on_packet(start, 65_535);
        generator.on_packet(start, 1);
        assert!(generator.poll(start, RTT).is_empty(), "it may be out of order");
        generator.on_packet(start, 2);
        assert_eq!(generator.poll(start, RTT), [0]);
        let asked: Vec<u64> =
            (1..500).filter(|at| !generator.poll(start + ms(*at), RTT).is_empty()).collect();
        assert_eq!(asked, [110, 220, 330, 490]);
        generator.on_packet(start + ms(499), 0);
        assert_eq!((generator.missing(), generator.stats().recovered), (0, 1));
    }

    #[test]
    fn the_last_packet_of_a_picture_is_asked_for_after_a_short_wait() {
        let start = testing::start();
        let mut generator = Generator::new();
        generator.on_packet(start, 0);
        generator.on_packet(start, 2);
        assert_eq!(generator.poll_timeout(RTT), Some(start + ms(5)));
        assert!(generator.poll(start + ms(4), RTT).is_empty());
        assert_eq!(generator.poll(start + ms(5), RTT), [1]);
    }

    #[test]
    fn a_network_that_reorders_gets_more_patience() {
        let start = testing::start();
        let mut generator = Generator::new();
        for (at, seq) in [(0, 0), (0, 2), (4, 1)] {
            generator.on_packet(start + ms(at), seq);
        }
        for seq in [4, 5, 6, 7] {
            generator.on_packet(start + ms(10), seq);
        }
        assert!(generator.poll(start + ms(15), RTT).is_empty());
        assert_eq!(generator.poll(start + ms(16), RTT), [3]);
    }

    #[test]
    fn what_does_not_come_in_time_is_given_up_with_everything_before_it() {
        let start = testing::start();
        let mut generator = Generator::new();
        for seq in [0, 2, 4, 5, 6] {
            generator.on_packet(start, seq);
        }
        generator.poll(start + ms(499), RTT);
        assert!(generator.take_given_up().is_empty());
        generator.poll(start + ms(500), RTT);
        assert_eq!(generator.take_given_up(), [3]);
        assert_eq!((generator.missing(), generator.stats().given_up), (0, 2));
    }

    #[test]
    fn a_hole_too_large_to_repair_is_given_up_at_once() {
        let start = testing::start();
        let mut generator = Generator::new();
        generator.on_packet(start, 0);
        generator.on_packet(start, 2000);
        assert!(generator.poll(start, RTT).is_empty());
        assert_eq!(generator.take_given_up(), [1999]);
    }

    #[test]
    fn what_is_not_needed_any_more_is_not_asked_for() {
        let start = testing::start();
        let mut generator = Generator::new();
        for seq in [0, 2, 4, 5, 6] {
            generator.on_packet(start, seq);
        }
        generator.forget_before(2);
        assert_eq!(generator.poll(start, RTT), [3]);
    }

    proptest! {
        #[test]
        fn any_arrivals_are_survived_within_bounds(
            packets in proptest::collection::vec((any::<u16>(), 0u64..50), 0..300), rtt in 0u64..2000,
        ) {
            let mut now = testing::start();
            let mut generator = Generator::new();
            for (seq, wait) in packets {
                now += ms(wait);
                generator.on_packet(now, seq);
                prop_assert!(generator.poll(now, ms(rtt)).len() <= MAX_BATCH);
                prop_assert!(generator.missing() <= MAX_MISSING);
                generator.poll_timeout(ms(rtt));
                if seq % 7 == 0 {
                    generator.forget_before(seq);
                }
                generator.take_given_up();
            }
        }
    }
}
