//! Spreads packets over time, the important ones first: sound, then repairs, then picture.
//!
//! A keyframe is forty packets at once; sent at once they fill the narrowest queue on the way and sound waits
//! behind them. Sound is never held back, but what it takes is owed by the rest.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::units::{DataRate, DataSize};

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Never waits.
    Audio,
    /// Somebody waits for it already.
    Retransmission,
    /// The rest.
    Video,
}

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

/// A priority queue with a budget. [`push`](Self::push), then [`poll`](Self::poll) until it gives nothing, then
/// again at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Pacer<T> {
    config: PacerConfig,
    rate: DataRate,
    queues: [VecDeque<(DataSize, T)>; 3],
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
            queues: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
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

    /// Queues a packet. Where the picture queue is full, all of it is dropped, this packet included: its pictures
    /// are worthless without one another (see [`take_overflowed`](Self::take_overflowed)).
    pub fn push(&mut self, priority: Priority, size: DataSize, packet: T) {
        let full = self.rate.time_for(self.waiting + size) > self.config.longest_wait;
        if full && priority != Priority::Audio {
            for queue in &mut self.queues[1..] {
                self.waiting -= queue.drain(..).map(|(size, _)| size).sum();
            }
            self.overflowed = true;
            return;
        }
        self.waiting += size;
        self.queues[priority as usize].push_back((size, packet));
    }

    /// The next packet to send now.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        self.fill(now);
        let queue = if self.budget > 0.0 {
            self.queues.iter_mut().find(|queue| !queue.is_empty())?
        } else {
            &mut self.queues[Priority::Audio as usize]
        };
        let (size, packet) = queue.pop_front()?;
        self.waiting -= size;
        self.budget -= size.as_bytes() as f64;
        Some(packet)
    }

    /// When the next packet may leave; `None` when nothing waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.waiting == DataSize::ZERO {
            return None;
        }
        let owed = DataSize::from_bytes((1.0 - self.budget).max(0.0) as u64);
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
        (0..10).for_each(|at| pacer.push(Priority::Video, PACKET, at));
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
    fn sound_overtakes_everything_and_never_waits() {
        let now = testing::start();
        let mut pacer = pacer();
        (0..5).for_each(|at| pacer.push(Priority::Video, PACKET, at));
        pacer.push(Priority::Retransmission, PACKET, 10);
        pacer.push(Priority::Audio, PACKET, 20);
        pacer.push(Priority::Audio, PACKET, 21);
        assert_eq!(drain(&mut pacer, now), [20, 21]);
        assert_eq!(drain(&mut pacer, now + Duration::from_millis(21)), [10]);
    }

    #[test]
    fn the_first_picture_leaves_at_once() {
        let now = testing::start();
        let mut pacer = Pacer::new(PacerConfig::default(), DataRate::from_kbps(1500));
        (0..80).for_each(|at| pacer.push(Priority::Video, PACKET, at));
        assert_eq!(drain(&mut pacer, now).len(), 80);
    }

    #[test]
    fn more_than_can_leave_in_time_is_dropped_and_said() {
        let now = testing::start();
        let mut pacer = pacer();
        (0..150).for_each(|at| pacer.push(Priority::Video, PACKET, at));
        assert!(pacer.take_overflowed());
        assert!(!pacer.take_overflowed());
        assert!(pacer.queue_time() <= Duration::from_secs(1));
        pacer.push(Priority::Audio, PACKET, 999);
        assert_eq!(pacer.poll(now), Some(999));
    }
}
