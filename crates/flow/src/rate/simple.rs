//! A simple estimator: additive and multiplicative increase, decrease to what was delivered.
//!
//! The queue on the way is the main signal: when it stands for two feedbacks, the target falls below what
//! arrives, so that it drains; then it returns quickly to near the rate that broke and feels its way from
//! there. Heavy loss is the second. Without transport-wide feedback, receiver reports have to do: round trip
//! for queue, reported loss for loss. What the application does not use is hardly raised, and never lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::loss::LossJudge;
use super::queueing::{QueueingDelay, ms_between};
use super::{BandwidthEstimator, TransportFeedback};
use crate::units::{DataRate, DataSize};

/// 720p from the first second.
const START_BPS: f64 = 1_500_000.0;
/// Default bounds.
const BOUNDS_BPS: (f64, f64) = (50_000.0, 2_000_000.0);
/// A standing queue beyond this is congestion, ms.
const CONGESTED_MS: f64 = 35.0;
/// A queue beyond this has to drain quickly, ms.
const DEEP_MS: f64 = 80.0;
/// No increase while the queue is longer than this, ms.
const CLEAR_MS: f64 = 15.0;
/// What is delivered is measured over this, ms.
const DELIVERY_WINDOW_MS: f64 = 300.0;
/// Loss is measured over this, ms, and over so many packets at the least.
const LOSS_WINDOW_MS: f64 = 1000.0;
const LOSS_PACKETS: usize = 20;
/// Growth per second: far from the rate that broke last, near it, and beyond what is used.
const GROWTH: (f64, f64, f64) = (1.20, 1.03, 1.02);
/// "Near" begins at this share of the rate that broke last.
const NEAR: f64 = 0.85;
/// The rate that broke last is forgotten after this, or when the target has passed it by a tenth.
const REMEMBER: Duration = Duration::from_secs(30);
/// Less than this share of the target in use is an application that does not want more.
const IN_USE: f64 = 0.7;
/// Silence of the receiver longer than this halves the target, each time again.
const SILENCE: Duration = Duration::from_secs(1);
/// After this long without transport-wide feedback, receiver reports have to do.
const REPORTS_AFTER: Duration = Duration::from_secs(2);
/// Packets remembered until the receiver speaks of them.
const MAX_IN_FLIGHT: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Sent {
    transport_seq: u16,
    at_ms: f64,
    size: DataSize,
}

#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// When heard of, ms since the origin.
    heard_ms: f64,
    /// When received by the receiver's clock, ms; `None` if lost.
    received_ms: Option<f64>,
    size: DataSize,
}

/// See the module.
#[derive(Debug)]
pub struct SimpleEstimator {
    origin: Option<Instant>,
    least: f64,
    most: f64,
    target: f64,
    in_flight: VecDeque<Sent>,
    /// Sizes of the last second's packets, for use without feedback.
    sent: VecDeque<(f64, DataSize)>,
    outcomes: VecDeque<Outcome>,
    queueing: QueueingDelay,
    loss: LossJudge,
    congested: u32,
    hold_until: Option<Instant>,
    loss_hold_until: Option<Instant>,
    broke_at: Option<(f64, Instant)>,
    grown_at: Option<Instant>,
    feedback_at: Option<Instant>,
    report_at: Option<Instant>,
    least_rtt: Option<(Duration, Instant)>,
}

impl Default for SimpleEstimator {
    fn default() -> Self {
        Self::new()
    }
}

impl SimpleEstimator {
    /// An estimator that starts at 1.5 Mbit/s and stays within 50 kbit/s and 2 Mbit/s.
    pub fn new() -> Self {
        Self {
            origin: None,
            least: BOUNDS_BPS.0,
            most: BOUNDS_BPS.1,
            target: START_BPS,
            in_flight: VecDeque::new(),
            sent: VecDeque::new(),
            outcomes: VecDeque::new(),
            queueing: QueueingDelay::default(),
            loss: LossJudge::default(),
            congested: 0,
            hold_until: None,
            loss_hold_until: None,
            broke_at: None,
            grown_at: None,
            feedback_at: None,
            report_at: None,
            least_rtt: None,
        }
    }

    /// The same, but starting at another rate within these bounds.
    pub fn starting_at(start: DataRate) -> Self {
        let target = (start.as_bps() as f64).clamp(BOUNDS_BPS.0, BOUNDS_BPS.1);
        Self { target, ..Self::new() }
    }

    fn ms(&mut self, now: Instant) -> f64 {
        ms_between(*self.origin.get_or_insert(now), now)
    }

    fn record(&mut self, now_ms: f64, feedback: &TransportFeedback) {
        for result in &feedback.packets {
            // Feedback follows the order of sending: what lies before the packet was answered or never will be.
            let Some(at) = self.in_flight.iter().position(|sent| sent.transport_seq == result.transport_seq)
            else {
                continue;
            };
            let Some(sent) = self.in_flight.remove(at) else { continue };
            let received_ms = result.received_at.map(|at| at.as_secs_f64() * 1e3);
            if let Some(received_ms) = received_ms {
                self.queueing.on_packet(now_ms, received_ms - sent.at_ms);
            }
            self.outcomes.push_back(Outcome { heard_ms: now_ms, received_ms, size: sent.size });
        }
        while self.outcomes.front().is_some_and(|outcome| now_ms - outcome.heard_ms > LOSS_WINDOW_MS) {
            self.outcomes.pop_front();
        }
        while self.in_flight.front().is_some_and(|sent| now_ms - sent.at_ms > 5_000.0) {
            self.in_flight.pop_front();
        }
    }

    /// What arrived lately, bit/s.
    fn delivered(&self) -> Option<f64> {
        let arrivals =
            || self.outcomes.iter().filter_map(|outcome| Some((outcome.received_ms?, outcome.size)));
        let last = arrivals().map(|(at, _)| at).reduce(f64::max)?;
        let first =
            arrivals().map(|(at, _)| at).filter(|at| last - at <= DELIVERY_WINDOW_MS).reduce(f64::min)?;
        // The first packet of the window only says when it began.
        let size: DataSize = arrivals().filter(|(at, _)| *at > first).map(|(_, size)| size).sum();
        (last - first > DELIVERY_WINDOW_MS / 4.0).then(|| size.as_bits() as f64 * 1e3 / (last - first))
    }

    fn recent_loss(&self) -> Option<f64> {
        let lost = self.outcomes.iter().filter(|outcome| outcome.received_ms.is_none()).count();
        let all = self.outcomes.len();
        (all >= LOSS_PACKETS).then(|| lost as f64 / all as f64)
    }

    /// What the application sent lately, as far as the receiver has spoken of it, bit/s.
    fn used(&self) -> f64 {
        let Some(first) = self.outcomes.front().map(|outcome| outcome.heard_ms) else { return 0.0 };
        let span = self.outcomes.back().map_or(0.0, |last| last.heard_ms - first);
        let later = self.outcomes.iter().filter(|outcome| outcome.heard_ms > first);
        let bits: f64 = later.map(|outcome| outcome.size.as_bits() as f64).sum();
        if span > 0.0 { bits * 1e3 / span } else { 0.0 }
    }

    /// The same without transport-wide feedback: what left in the last second; the target where even that is not
    /// known.
    fn sent_rate(&mut self, now: Instant) -> f64 {
        let now_ms = self.ms(now);
        while self.sent.front().is_some_and(|(at, _)| now_ms - at > 1000.0) {
            self.sent.pop_front();
        }
        if self.sent.is_empty() {
            return self.target;
        }
        self.sent.iter().map(|(_, size)| size.as_bits() as f64).sum()
    }

    /// Less: to a share of what arrives; but where little was sent, little arrives, and half must do.
    fn decrease(&mut self, now: Instant, delivered: f64, used: f64, queue_ms: f64) {
        let share = if queue_ms > DEEP_MS { 0.7 } else { 0.9 };
        let idle = used < self.target * IN_USE;
        let floor = if idle { self.target * 0.5 } else { 0.0 };
        if !idle {
            self.broke_at = Some((delivered, now));
        }
        self.target = (delivered * share).max(floor).min(self.target);
        // Until the queue has drained at the spare rate, further decreases would hit what is already cured.
        let drain_ms = (queue_ms * share / (1.0 - share)).clamp(200.0, 800.0);
        self.hold_until = Some(now + Duration::from_secs_f64(drain_ms / 1e3));
        self.congested = 0;
    }

    fn increase(&mut self, now: Instant, used: f64) {
        let elapsed = self.grown_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let seconds = elapsed.as_secs_f64().min(1.0);
        let forgotten = |(rate, at): &(f64, Instant)| now >= *at + REMEMBER || self.target > *rate * 1.1;
        if self.broke_at.as_ref().is_some_and(forgotten) {
            self.broke_at = None;
        }
        let near = self.broke_at.is_some_and(|(rate, _)| self.target > rate * NEAR);
        let idle = used < self.target * IN_USE;
        let growth = if idle {
            GROWTH.2
        } else if near {
            GROWTH.1
        } else {
            GROWTH.0
        };
        self.target *= growth.powf(seconds);
    }

    fn bound(&mut self, now: Instant) {
        self.target = self.target.clamp(self.least, self.most);
        self.grown_at = Some(now);
    }

    /// What the target has shrunk to after a silence of the receiver.
    fn after_silence(&self, now: Instant) -> f64 {
        let heard = self.feedback_at.max(self.report_at);
        let silence = heard.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let patience = if self.feedback_at.is_some() { SILENCE } else { SILENCE * 4 };
        if silence <= patience || self.sent.is_empty() {
            return self.target;
        }
        let halvings = (silence - patience).as_secs_f64() / patience.as_secs_f64();
        (self.target * 0.5f64.powf(halvings)).max(self.least)
    }

    fn on_loss(&mut self, now: Instant, loss: f64, rate: f64) -> bool {
        if self.loss_hold_until.is_some_and(|until| now < until) {
            return true;
        }
        let Some(factor) = self.loss.judge(now, loss, rate) else { return false };
        self.target *= factor;
        self.loss_hold_until = Some(now + Duration::from_millis(300));
        true
    }
}

impl BandwidthEstimator for SimpleEstimator {
    fn on_sent(&mut self, now: Instant, transport_seq: u16, size: DataSize) {
        let at_ms = self.ms(now);
        self.in_flight.push_back(Sent { transport_seq, at_ms, size });
        self.sent.push_back((at_ms, size));
        if self.in_flight.len() > MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
        if self.sent.len() > MAX_IN_FLIGHT {
            self.sent.pop_front();
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &TransportFeedback) {
        self.target = self.after_silence(now);
        self.feedback_at = Some(now);
        let now_ms = self.ms(now);
        self.record(now_ms, feedback);
        let used = self.used();
        let queue_ms = self.queueing.queue_ms();
        self.congested = if queue_ms > CONGESTED_MS { self.congested + 1 } else { 0 };
        let holding = self.hold_until.is_some_and(|until| now < until);
        let lossy = self.recent_loss().is_some_and(|loss| self.on_loss(now, loss, used));
        if self.congested >= 2 && !holding {
            if let Some(delivered) = self.delivered() {
                self.decrease(now, delivered, used, queue_ms);
            }
        } else if !lossy && !holding && queue_ms < CLEAR_MS {
            self.increase(now, used);
        }
        self.bound(now);
    }

    fn on_receiver_report(&mut self, now: Instant, loss_fraction: f32, rtt: Option<Duration>) {
        let loss = f64::from(loss_fraction);
        let feedback_rules = self.feedback_at.is_some_and(|at| now < at + REPORTS_AFTER);
        if feedback_rules || !(0.0..=1.0).contains(&loss) {
            return;
        }
        self.target = self.after_silence(now);
        self.report_at = Some(now);
        let mut queue = Duration::ZERO;
        if let Some(rtt) = rtt {
            let (least, since) = self.least_rtt.filter(|(_, at)| now < *at + REMEMBER).unwrap_or((rtt, now));
            self.least_rtt = Some(if rtt < least { (rtt, now) } else { (least, since) });
            queue = rtt.saturating_sub(least);
        }
        let used = self.sent_rate(now);
        let lossy = self.on_loss(now, loss, used);
        let waited = self.hold_until.is_none_or(|until| now >= until);
        if queue > Duration::from_millis(100) && waited {
            let share = if queue > Duration::from_millis(400) { 0.5 } else { 0.75 };
            self.broke_at = Some((self.target, now));
            self.target *= share;
            // The next report still tells of the time before.
            self.hold_until = Some(now + queue.min(Duration::from_millis(900)));
        } else if !lossy && queue < Duration::from_millis(40) {
            self.increase(now, used);
        }
        self.bound(now);
    }

    fn on_path_changed(&mut self, now: Instant) {
        let (least, most) = (self.least, self.most);
        let target = self.target.min(START_BPS);
        *self = Self { least, most, target, ..Self::new() };
        self.bound(now);
    }

    fn set_bounds(&mut self, least: DataRate, most: DataRate) {
        self.least = least.as_bps() as f64;
        self.most = (most.as_bps() as f64).max(self.least);
        self.target = self.target.clamp(self.least, self.most);
    }

    fn target(&mut self, now: Instant) -> DataRate {
        DataRate::from_bps(self.after_silence(now).clamp(self.least, self.most) as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PacketResult;
    use super::*;
    use crate::testing;

    #[test]
    fn the_first_second_has_room_for_720p() {
        assert_eq!(SimpleEstimator::new().target(testing::start()), DataRate::from_bps(1_500_000));
    }

    #[test]
    fn bounds_hold_at_once() {
        let mut estimator = SimpleEstimator::new();
        estimator.set_bounds(DataRate::from_kbps(50), DataRate::from_kbps(600));
        assert_eq!(estimator.target(testing::start()), DataRate::from_kbps(600));
    }

    #[test]
    fn without_an_answer_the_target_shrinks_and_comes_back() {
        let start = testing::start();
        let mut estimator = SimpleEstimator::new();
        estimator.on_sent(start, 0, DataSize::from_bytes(1000));
        let heard = |seq: u16, ms: u64| TransportFeedback {
            packets: vec![PacketResult { transport_seq: seq, received_at: Some(Duration::from_millis(ms)) }],
        };
        estimator.on_feedback(start, &heard(0, 0));
        estimator.on_sent(start, 1, DataSize::from_bytes(1000));
        let later = start + Duration::from_secs(3);
        assert_eq!(estimator.target(later).as_bps() / 1000, 375);
        estimator.on_feedback(later, &heard(1, 3000));
        assert!(estimator.target(later + Duration::from_millis(100)).as_bps() >= 375_000);
    }

    #[test]
    fn nonsense_in_reports_changes_nothing() {
        let start = testing::start();
        let mut estimator = SimpleEstimator::new();
        for loss in [f32::NAN, -1.0, 7.0] {
            estimator.on_receiver_report(start, loss, None);
        }
        assert_eq!(estimator.target(start), DataRate::from_bps(1_500_000));
    }

    proptest! {
        #[test]
        fn whatever_the_receiver_says_the_target_stays_in_bounds(
            steps in proptest::collection::vec(
                (any::<u16>(), prop_oneof![Just(None), (0u64..u64::MAX).prop_map(Some)], 0u64..700, any::<f32>()),
                0..200),
        ) {
            let mut now = testing::start();
            let mut estimator = SimpleEstimator::new();
            for (seq, received, wait, loss) in steps {
                now += Duration::from_millis(wait);
                for transport_seq in 0..20 {
                    estimator.on_sent(now, transport_seq, DataSize::from_bytes(u64::from(seq)));
                }
                let received_at = received.map(Duration::from_micros);
                let results = (0..40).map(|offset| PacketResult {
                    transport_seq: (seq % 8).wrapping_add(offset),
                    received_at: received_at.map(|at| at.saturating_add(Duration::from_millis(u64::from(offset)))),
                });
                estimator.on_feedback(now, &TransportFeedback { packets: results.collect() });
                estimator.on_receiver_report(now, loss, received_at);
                let target = estimator.target(now);
                prop_assert!((50_000..=2_000_000).contains(&target.as_bps()), "{}", target);
            }
        }
    }
}
