//! Spreads a picture's packets over time.
//!
//! A keyframe is forty packets at once; sent at once they fill the narrowest queue on the way and sound waits
//! behind them. Sound and repeats of packets pass by the pacer and never wait; what they take is owed by the picture.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::units::{DataRate, DataSize};

/// The picture waits no longer than this for what it owes: who asks for many repeats must not stop it.
const MOST_OWED: Duration = Duration::from_millis(250);

/// What leaves within this leaves together: each departure wakes this machine and the other one.
const TOGETHER: Duration = Duration::from_millis(5);

/// How fast a pacer lets go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PacerConfig {
    /// Times the target rate: 2.5 lets a picture out well before the next one.
    pub factor: f64,
    /// Never slower than this.
    pub least: DataRate,
    /// What may leave at once after a rest.
    pub burst: Duration,
    /// What may leave at once at the very beginning, so that the first picture does not wait.
    pub first_burst: DataSize,
    /// Picture that would wait longer than this is thrown away as a whole.
    pub longest_wait: Duration,
}

impl Default for PacerConfig {
    fn default() -> Self {
        Self {
            factor: 2.5,
            least: DataRate::from_kbps(500),
            burst: Duration::from_millis(10),
            first_burst: DataSize::from_bytes(96 * 1024),
            longest_wait: Duration::from_secs(1),
        }
    }
}

/// A queue with a budget. [`push`](Self::push), then [`poll`](Self::poll) until it gives nothing, then
/// again at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Pacer<T> {
    config: PacerConfig,
    rate: DataRate,
    queue: VecDeque<(DataSize, T)>,
    waiting: DataSize,
    /// Bytes that may leave; negative when owed.
    budget: f64,
    filled_at: Option<Instant>,
    overflowed: bool,
}

impl<T> Pacer<T> {
    /// A pacer for `target`.
    pub fn new(config: PacerConfig, target: DataRate) -> Self {
        let mut pacer = Self {
            config,
            rate: DataRate::ZERO,
            queue: VecDeque::new(),
            waiting: DataSize::ZERO,
            budget: config.first_burst.as_bytes() as f64,
            filled_at: None,
            overflowed: false,
        };
        pacer.set_target(target);
        pacer
    }

    /// The estimator's target; what leaves is a multiple of it.
    pub fn set_target(&mut self, target: DataRate) {
        self.rate = target.scaled(self.config.factor).max(self.config.least);
    }

    /// Queues a packet. Where the queue is full, all of it is dropped, this packet included: its pictures
    /// are worthless without one another (see [`take_overflowed`](Self::take_overflowed)).
    pub fn push(&mut self, size: DataSize, packet: T) {
        if self.rate.time_for(self.waiting + size) > self.config.longest_wait {
            self.queue.clear();
            self.waiting = DataSize::ZERO;
            self.overflowed = true;
            return;
        }
        self.waiting += size;
        self.queue.push_back((size, packet));
    }

    /// So much left without waiting.
    pub fn charge(&mut self, size: DataSize) {
        let least = -(self.rate.during(MOST_OWED).as_bytes() as f64);
        self.budget = (self.budget - size.as_bytes() as f64).max(least.min(self.budget));
    }

    /// The next packet to send now.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        self.fill(now);
        if self.budget <= 0.0 {
            return None;
        }
        let (size, packet) = self.queue.pop_front()?;
        self.waiting -= size;
        self.budget -= size.as_bytes() as f64;
        Some(packet)
    }

    /// When the next packet may leave; `None` when nothing waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // The last packet leaves when it would have left alone, so that nothing comes later for those before it.
        let (last, _) = self.queue.back()?;
        let together = (self.waiting - *last).min(self.rate.during(TOGETHER)).as_bytes();
        let owed = DataSize::from_bytes((1.0 + together as f64 - self.budget).max(0.0) as u64);
        self.filled_at.map(|at| at + self.rate.time_for(owed))
    }

    /// How long the last packet in the queue will wait. An encoder that sees more than a few pictures' worth
    /// skips one.
    pub fn queue_time(&self) -> Duration {
        self.rate.time_for(self.waiting)
    }

    /// True once after pictures were dropped: the encoder has to make a keyframe.
    pub fn take_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    fn fill(&mut self, now: Instant) {
        let last = self.filled_at.replace(now).unwrap_or(now);
        let elapsed = now.saturating_duration_since(last);
        let most = self.rate.during(self.config.burst).as_bytes() as f64;
        let earned = self.rate.as_bps() as f64 / 8.0 * elapsed.as_secs_f64();
        // A first burst larger than the ordinary one is not lost by waiting.
        if self.budget < most {
            self.budget = (self.budget + earned).min(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const PACKET: DataSize = DataSize::from_bytes(1000);

    fn pacer() -> Pacer<u32> {
        let config = PacerConfig { factor: 1.0, first_burst: DataSize::ZERO, ..PacerConfig::default() };
        Pacer::new(config, DataRate::from_kbps(800))
    }

    fn drain(pacer: &mut Pacer<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| pacer.poll(now)).collect()
    }

    #[test]
    fn a_picture_is_spread_at_the_rate() {
        let start = testing::start();
        let mut pacer = pacer();
        drain(&mut pacer, start);
        (0..10).for_each(|at| pacer.push(PACKET, at));
        let mut now = start;
        let mut sent = Vec::new();
        while let Some(at) = pacer.poll_timeout() {
            now = now.max(at);
            sent.extend(drain(&mut pacer, now));
        }
        assert_eq!(sent, (0..10).collect::<Vec<_>>());
        let took = now.duration_since(start).as_millis();
        assert!((85..=95).contains(&took), "10 × 10 ms less one: {took}");
    }

    #[test]
    fn packets_of_five_milliseconds_leave_together_and_the_last_as_if_it_were_alone() {
        let start = testing::start();
        let config = PacerConfig { factor: 1.0, first_burst: DataSize::ZERO, ..PacerConfig::default() };
        let mut pacer = Pacer::new(config, DataRate::from_kbps(8_000));
        drain(&mut pacer, start);
        // A millisecond each: the first at once, the last forty later.
        (0..41).for_each(|at| pacer.push(PACKET, at));
        let mut now = start;
        let mut departures = Vec::new();
        while let Some(at) = pacer.poll_timeout() {
            now = now.max(at);
            departures.push(drain(&mut pacer, now).len());
        }
        assert!(departures.iter().all(|count| (1..=6).contains(count)), "{departures:?}");
        assert!(departures.len() <= 9, "{departures:?}");
        let took = now.duration_since(start).as_micros();
        assert!((40_000..40_010).contains(&took), "{took}");
    }

    #[test]
    fn the_picture_owes_what_left_without_waiting_but_no_more_than_a_quarter_of_a_second() {
        let now = testing::start();
        let first_to_leave = |unpaced: u64| {
            let mut pacer = pacer();
            drain(&mut pacer, now);
            pacer.charge(DataSize::from_bytes(unpaced));
            pacer.push(PACKET, 1);
            let mut waited = Duration::ZERO;
            while pacer.poll(now + waited).is_none() {
                waited += Duration::from_millis(1);
            }
            waited.as_millis()
        };
        assert_eq!(first_to_leave(0), 1);
        assert_eq!(first_to_leave(2_000), 21);
        assert_eq!(first_to_leave(1_000_000), 251);
    }

    #[test]
    fn the_first_picture_leaves_at_once() {
        let now = testing::start();
        let mut pacer = Pacer::new(PacerConfig::default(), DataRate::from_kbps(1500));
        (0..80).for_each(|at| pacer.push(PACKET, at));
        assert_eq!(drain(&mut pacer, now).len(), 80);
    }

    #[test]
    fn more_than_can_leave_in_time_is_dropped_and_said() {
        let mut pacer = pacer();
        (0..150).for_each(|at| pacer.push(PACKET, at));
        assert!(pacer.take_overflowed());
        assert!(!pacer.take_overflowed());
        assert!(pacer.queue_time() <= Duration::from_secs(1));
    }
}
