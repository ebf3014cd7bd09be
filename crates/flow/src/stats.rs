//! Figures over the last second or so, and over a whole call.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtp::SequenceUnwrapper;
use crate::units::{DataRate, DataSize};

/// Events and bytes of the last second.
#[derive(Debug)]
pub struct RateMeter {
    window: Duration,
    events: VecDeque<(Instant, DataSize)>,
    size: DataSize,
    began: Option<Instant>,
}

/// Events kept at most; beyond it the window is shorter.
const MAX_EVENTS: usize = 20_000;

impl Default for RateMeter {
    fn default() -> Self {
        Self { window: Duration::from_secs(1), events: VecDeque::new(), size: DataSize::ZERO, began: None }
    }
}

impl RateMeter {
    /// A meter over one second.
    pub fn new() -> Self {
        Self::default()
    }

    /// Something of `size` happened.
    pub fn add(&mut self, now: Instant, size: DataSize) {
        self.began.get_or_insert(now);
        if self.events.len() >= MAX_EVENTS {
            self.pop();
        }
        self.events.push_back((now, size));
        self.size += size;
        self.forget(now);
    }

    /// Bits per second.
    pub fn rate(&mut self, now: Instant) -> DataRate {
        self.forget(now);
        self.size.per(self.covered(now))
    }

    /// Events per second.
    pub fn per_second(&mut self, now: Instant) -> f64 {
        self.forget(now);
        let seconds = self.covered(now).as_secs_f64();
        if seconds > 0.0 { self.events.len() as f64 / seconds } else { 0.0 }
    }

    /// The window, or what has passed of the first one (a quarter at the least).
    fn covered(&self, now: Instant) -> Duration {
        let age = self.began.map_or(self.window, |began| now.saturating_duration_since(began));
        age.clamp(self.window / 4, self.window)
    }

    fn forget(&mut self, now: Instant) {
        while self.events.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= self.window) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, size)) = self.events.pop_front() {
            self.size -= size;
        }
    }
}

/// Loss as the receiver sees it (RFC 3550 §A.3): expected by the numbers, less what came.
#[derive(Debug, Default)]
pub struct LossMeter {
    sequence: SequenceUnwrapper,
    first: Option<i64>,
    received: u64,
    /// Expected and received at the last interval's end.
    before: (u64, u64),
}

impl LossMeter {
    /// A meter that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet arrived.
    pub fn on_packet(&mut self, seq: u16) {
        if let Some(index) = self.sequence.unwrap(seq) {
            self.first.get_or_insert(index);
            self.received += 1;
        }
    }

    /// Packets received, repeats included.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that should have come.
    pub fn expected(&self) -> u64 {
        match (self.first, self.sequence.highest()) {
            (Some(first), Some(highest)) => (highest - first + 1).max(0).unsigned_abs(),
            _ => 0,
        }
    }

    /// The share lost since the last call, 0..=1; repeats can hide loss but never make it negative.
    pub fn take_fraction(&mut self) -> f32 {
        let now = (self.expected(), self.received);
        let expected = now.0.saturating_sub(self.before.0);
        let received = now.1.saturating_sub(self.before.1);
        self.before = now;
        if expected == 0 { 0.0 } else { expected.saturating_sub(received) as f32 / expected as f32 }
    }
}

/// Samples kept for percentiles over a whole call; beyond it every second one is dropped, evenly.
const MAX_SAMPLES: usize = 4096;

/// Mean of the last interval, percentiles of all.
#[derive(Debug)]
pub struct Summary {
    samples: Vec<f32>,
    /// Only every so many-th sample is kept.
    stride: u32,
    skipped: u32,
    sum: f64,
    count: u32,
}

impl Default for Summary {
    fn default() -> Self {
        Self { samples: Vec::new(), stride: 1, skipped: 0, sum: 0.0, count: 0 }
    }
}

impl Summary {
    /// A summary of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a sample; what is not finite is passed over.
    pub fn add(&mut self, sample: f32) {
        if !sample.is_finite() {
            return;
        }
        self.sum += f64::from(sample);
        self.count += 1;
        self.skipped += 1;
        if self.skipped < self.stride {
            return;
        }
        self.skipped = 0;
        self.samples.push(sample);
        if self.samples.len() >= MAX_SAMPLES {
            let mut odd = false;
            self.samples.retain(|_| {
                odd = !odd;
                odd
            });
            self.stride *= 2;
        }
    }

    /// The mean since the last call; `None` without samples.
    pub fn take_mean(&mut self) -> Option<f32> {
        let mean = (self.count > 0).then(|| (self.sum / f64::from(self.count)) as f32);
        (self.sum, self.count) = (0.0, 0);
        mean
    }

    /// The sample below which `share` (0..=1) of all samples lie; `None` without samples.
    pub fn percentile(&self, share: f32) -> Option<f32> {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let rank = (sorted.len() as f32 * share.clamp(0.0, 1.0)).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_rate_is_of_the_last_second_and_fades_to_nothing() {
        let start = testing::start();
        let mut meter = RateMeter::new();
        for ms in (0..3000).step_by(20) {
            meter.add(start + Duration::from_millis(ms), DataSize::from_bytes(100));
        }
        let now = start + Duration::from_millis(2999);
        assert_eq!(meter.rate(now), DataRate::from_kbps(40));
        assert_eq!(meter.per_second(now), 50.0);
        assert_eq!(meter.rate(start + Duration::from_secs(5)), DataRate::ZERO);
    }

    #[test]
    fn the_first_second_is_not_underrated() {
        let start = testing::start();
        let mut meter = RateMeter::new();
        for ms in (0..500).step_by(20) {
            meter.add(start + Duration::from_millis(ms), DataSize::from_bytes(100));
        }
        let rate = meter.rate(start + Duration::from_millis(500));
        assert_eq!(rate, DataRate::from_kbps(40));
    }

    #[test]
    fn loss_is_counted_by_the_interval_across_the_wrap() {
        let mut meter = LossMeter::new();
        for seq in [65_530, 65_531, 65_534, 65_535, 0, 1] {
            meter.on_packet(seq);
        }
        assert_eq!(meter.take_fraction(), 0.25);
        meter.on_packet(2);
        meter.on_packet(2);
        assert_eq!(meter.take_fraction(), 0.0);
        assert_eq!(meter.take_fraction(), 0.0);
    }

    #[test]
    fn percentiles_survive_a_long_call() {
        let mut summary = Summary::new();
        for index in 0..100_000 {
            summary.add((index % 100) as f32);
        }
        assert!((summary.percentile(0.5).unwrap() - 50.0).abs() <= 3.0);
        assert!((summary.percentile(0.95).unwrap() - 95.0).abs() <= 3.0);
        assert!(summary.samples.len() < MAX_SAMPLES);
        assert!((summary.take_mean().unwrap() - 49.5).abs() < 0.1);
        assert_eq!(summary.take_mean(), None);
        assert_eq!(Summary::new().percentile(0.5), None);
    }
}
