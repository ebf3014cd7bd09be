//! How late packets come, and so how long to wait for them.
//!
//! A packet's transit time is compared with the quickest of the last two seconds. The delay to keep is what 97 %
//! of the packets of the last ten seconds stay within; because that is recomputed from the transit times
//! themselves, a route that becomes longer as a whole is forgotten with the two seconds, and only what varies
//! counts. A second look at the last second alone makes the delay rise fast; it falls slowly. Of packets that come
//! in a bunch after being held up, the first alone counts: a hold-up is one event, however many packets it held.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::SAMPLE_RATE;

/// Packets looked back on: ten seconds.
const LONG_WINDOW: usize = 500;
/// Packets of the second look, of which the second latest counts: one second.
const SHORT_WINDOW: usize = 50;
/// The quickest packet is sought this far back, ms.
const BASE_WINDOW_MS: f64 = 2000.0;
/// The share of packets that are to be in time.
const QUANTILE: f64 = 0.97;
/// The delay until enough packets have been seen, ms.
const INITIAL_MS: f64 = 30.0;
/// Packets that make the first judgement.
const WARM_UP: usize = 25;
/// Added to what was measured, ms: the sound card's own unevenness.
const MARGIN_MS: f64 = 4.0;
/// The delay falls by at most this per second, ms.
const FALL_MS_PER_S: f64 = 15.0;
/// A step of the transit time beyond this is another stream, not a late packet, ms.
const DISCONTINUITY_MS: f64 = 10_000.0;
/// With more of the packets lost than this, waiting for the next packet (which repeats the lost one) pays off.
const FEC_WORTHWHILE: f64 = 0.01;
/// The next packet comes 20 ms later, and is needed up to half a block before its time, ms.
const NEXT_PACKET_MS: f64 = 27.0;
/// Weight of one packet in the running loss.
const LOSS_WEIGHT: f64 = 1.0 / 128.0;

/// Packets that come closer together than this, each less late than the one before, were held up together, ms.
const BUNCH_MS: f64 = 5.0;

/// One packet's journey.
#[derive(Clone, Copy, Debug)]
struct Transit {
    /// Arrival since the epoch, ms.
    at: f64,
    /// Transit time relative to the first packet's, ms.
    took: f64,
    /// Held up together with the packet before.
    bunched: bool,
}

/// The bounds of the delay, ms.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    least: f64,
    most: f64,
}

/// Watches one stream's arrivals.
#[derive(Debug)]
pub struct DelayEstimator {
    epoch: Option<(Instant, i64)>,
    transits: VecDeque<Transit>,
    base: f64,
    target: f64,
    bounds: Bounds,
    /// On top of the target, for the picture's sake, ms.
    extra: f64,
    loss: f64,
    jitter: f64,
    last: Option<(f64, f64)>,
    scratch: Vec<f64>,
}

impl DelayEstimator {
    /// An estimator that keeps its target within `least..=most`.
    pub fn new(least: Duration, most: Duration) -> Self {
        let bounds = Bounds { least: least.as_secs_f64() * 1e3, most: most.as_secs_f64() * 1e3 };
        Self {
            epoch: None,
            transits: VecDeque::with_capacity(LONG_WINDOW),
            base: 0.0,
            target: INITIAL_MS.clamp(bounds.least, bounds.most),
            bounds,
            extra: 0.0,
            loss: 0.0,
            jitter: 0.0,
            last: None,
            scratch: Vec::with_capacity(LONG_WINDOW),
        }
    }

    /// Takes note of a packet; `timestamp` is extended and in samples. False if its time stamp does not belong to
    /// the stream seen so far: everything learnt is then forgotten.
    pub fn on_packet(&mut self, now: Instant, timestamp: i64) -> bool {
        let (arrival, transit) = self.measure(now, timestamp);
        if self.last.is_some_and(|(_, last)| (transit - last).abs() > DISCONTINUITY_MS) {
            self.reset();
            self.on_packet(now, timestamp);
            return false;
        }
        let mut bunched = false;
        let mut elapsed = 0.0;
        if let Some((last_at, last)) = self.last {
            self.jitter += ((transit - last).abs() - self.jitter) / 16.0;
            elapsed = (arrival - last_at).max(0.0);
            bunched = elapsed < BUNCH_MS && transit < last;
        }
        self.last = Some((arrival, transit));
        if self.transits.len() >= LONG_WINDOW {
            self.transits.pop_front();
        }
        self.transits.push_back(Transit { at: arrival, took: transit, bunched });
        let recent = self.transits.iter().rev().take_while(|past| arrival - past.at <= BASE_WINDOW_MS);
        self.base = recent.fold(transit, |least, past| least.min(past.took));
        let wanted = self.wanted();
        let fallen = self.target - FALL_MS_PER_S * elapsed / 1e3;
        self.target = wanted.max(fallen).clamp(self.bounds.least, self.bounds.most);
        true
    }

    /// Takes note of a frame that did (`true`) or did not come when it was to be played.
    pub fn on_played(&mut self, lost: bool) {
        self.loss += (f64::from(u8::from(lost)) - self.loss) * LOSS_WEIGHT;
    }

    /// How long after the quickest possible arrival sound is to be played, ms.
    pub fn target_ms(&self) -> f64 {
        self.target + self.extra
    }

    /// Interarrival jitter (RFC 3550 §6.4.1), ms.
    pub fn jitter_ms(&self) -> f64 {
        self.jitter
    }

    /// Waits this much longer than the network makes necessary.
    pub fn set_extra(&mut self, extra: Duration) {
        self.extra = (extra.as_secs_f64() * 1e3).min(self.bounds.most);
    }

    /// How long after the quickest possible arrival the sample `timestamp` would be played if it were played at
    /// `now`, ms.
    pub fn delay_at(&self, now: Instant, timestamp: i64) -> f64 {
        let Some((epoch, first)) = self.epoch else { return 0.0 };
        transit(epoch, first, now, timestamp).1 - self.base
    }

    fn reset(&mut self) {
        self.epoch = None;
        self.last = None;
        self.transits.clear();
        self.base = 0.0;
    }

    fn measure(&mut self, now: Instant, timestamp: i64) -> (f64, f64) {
        let (epoch, first) = *self.epoch.get_or_insert((now, timestamp));
        transit(epoch, first, now, timestamp)
    }

    fn wanted(&mut self) -> f64 {
        let base = self.base;
        let lateness = |past: &Transit| if past.bunched { 0.0 } else { (past.took - base).max(0.0) };
        let short = self.transits.iter().rev().take(SHORT_WINDOW).map(lateness);
        let second_latest =
            short
                .fold((0.0_f64, 0.0_f64), |(first, second), late| {
                    if late > first { (late, first) } else { (first, second.max(late)) }
                })
                .1;
        self.scratch.clear();
        self.scratch.extend(self.transits.iter().map(lateness));
        let rank = ((self.scratch.len() - 1) as f64 * QUANTILE) as usize;
        let usual = *self.scratch.select_nth_unstable_by(rank, f64::total_cmp).1;
        let mut wanted = usual.max(second_latest);
        if self.loss > FEC_WORTHWHILE {
            let middle = self.scratch.len() / 2;
            let median = *self.scratch.select_nth_unstable_by(middle, f64::total_cmp).1;
            wanted = wanted.max(NEXT_PACKET_MS + median);
        }
        if self.transits.len() < WARM_UP {
            wanted = wanted.max(INITIAL_MS - MARGIN_MS);
        }
        wanted + MARGIN_MS
    }
}

/// (`now` since the epoch, transit time relative to the first packet's), ms.
fn transit(epoch: Instant, first: i64, now: Instant, timestamp: i64) -> (f64, f64) {
    let arrival = match now.checked_duration_since(epoch) {
        Some(after) => after.as_secs_f64() * 1e3,
        None => -(epoch.saturating_duration_since(now).as_secs_f64() * 1e3),
    };
    (arrival, arrival - (timestamp - first) as f64 * 1e3 / f64::from(SAMPLE_RATE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    struct Arrivals {
        start: Instant,
        estimator: DelayEstimator,
        sent: i64,
    }

    impl Arrivals {
        fn new() -> Self {
            let estimator = DelayEstimator::new(Duration::from_millis(20), Duration::from_millis(500));
            Self { start: testing::start(), estimator, sent: 0 }
        }

        fn packet(&mut self, late_ms: u64) {
            let at = Duration::from_millis(self.sent as u64 * 20 + late_ms);
            self.estimator.on_packet(self.start + at, self.sent * 960);
            self.sent += 1;
        }
    }

    #[test]
    fn an_even_stream_is_played_after_the_least_delay() {
        let mut arrivals = Arrivals::new();
        for _ in 0..200 {
            arrivals.packet(3);
        }
        assert_eq!(arrivals.estimator.target_ms(), 20.0);
        assert!(arrivals.estimator.jitter_ms() < 1e-9);
    }

    #[test]
    fn the_delay_rises_within_a_second_and_falls_over_many() {
        let mut arrivals = Arrivals::new();
        for _ in 0..100 {
            arrivals.packet(0);
        }
        for index in 0..50 {
            arrivals.packet(if index % 5 == 0 { 80 } else { 0 });
        }
        let high = arrivals.estimator.target_ms();
        assert!((80.0..90.0).contains(&high), "{high}");
        for _ in 0..50 {
            arrivals.packet(0);
        }
        assert!(arrivals.estimator.target_ms() > high - 20.0);
        for _ in 0..600 {
            arrivals.packet(0);
        }
        assert_eq!(arrivals.estimator.target_ms(), 20.0);
    }

    #[test]
    fn a_single_late_packet_is_no_reason_to_wait_for_all() {
        let mut arrivals = Arrivals::new();
        for index in 0..300 {
            arrivals.packet(if index == 250 { 200 } else { 0 });
        }
        assert_eq!(arrivals.estimator.target_ms(), 20.0);
    }

    #[test]
    fn a_longer_route_is_not_taken_for_jitter_for_long() {
        let mut arrivals = Arrivals::new();
        for _ in 0..200 {
            arrivals.packet(0);
        }
        for _ in 0..150 {
            arrivals.packet(100);
        }
        for _ in 0..500 {
            arrivals.packet(100);
        }
        assert_eq!(arrivals.estimator.target_ms(), 20.0);
    }

    #[test]
    fn another_stream_starts_afresh() {
        let mut arrivals = Arrivals::new();
        for _ in 0..100 {
            arrivals.packet(0);
        }
        assert!(!arrivals.estimator.on_packet(arrivals.start + Duration::from_secs(2), 90_000_000));
        assert!(
            arrivals.estimator.delay_at(arrivals.start + Duration::from_secs(2), 90_000_000).abs() < 1e-6
        );
    }
}
