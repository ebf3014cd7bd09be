//! The estimator against a simulated bottleneck: what a caller's picture would have gone through.

use std::time::{Duration, Instant};

use bedside_flow::rate::{BandwidthEstimator, PacketResult, SimpleEstimator, TransportFeedback};
use bedside_flow::units::DataSize;
use bedside_netem::{Link, Loss, Shape};

/// A call's sender: 50 sound packets a second and pictures at 30 a second that fill the target as an encoder would.
struct Call {
    start: Instant,
    estimator: SimpleEstimator,
    link: Link,
    now_ms: u64,
    seq: u16,
    /// (transport_seq, arrival), in sending order, not yet reported.
    unreported: Vec<(u16, Option<f64>)>,
    /// Feedback on its way back.
    feedback: Vec<(u64, TransportFeedback)>,
    reports: bool,
    expected: u32,
    lost: u32,
    rtt_ms: f64,
    /// What the application wants at most, bit/s.
    wanted_bps: f64,
    /// A keyframe of so many bytes every five seconds, the first at the very beginning, sent at once.
    keyframe_bytes: usize,
    /// (ms, target bit/s), every 100 ms.
    history: Vec<(u64, f64)>,
}

const BACK_MS: u64 = 20;

impl Call {
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; the test only adds to it")]
    fn new(shape: Shape, seed: u64) -> Self {
        Self {
            start: Instant::now(),
            estimator: SimpleEstimator::new(),
            link: Link::new(shape, seed),
            now_ms: 0,
            seq: 65_000,
            unreported: Vec::new(),
            feedback: Vec::new(),
            reports: false,
            expected: 0,
            lost: 0,
            rtt_ms: 0.0,
            wanted_bps: f64::INFINITY,
            keyframe_bytes: 0,
            history: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.now_ms)
    }

    fn send(&mut self, bytes: usize) {
        self.estimator.on_sent(self.now(), self.seq, DataSize::from(bytes));
        let arrival = self.link.send(self.now_ms as f64, bytes).map(|arrival| arrival.at_ms);
        self.expected += 1;
        self.lost += u32::from(arrival.is_none());
        if let Some(arrival) = arrival {
            self.rtt_ms = arrival - self.now_ms as f64 + BACK_MS as f64;
        }
        self.unreported.push((self.seq, arrival));
        self.seq = self.seq.wrapping_add(1);
    }

    fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            let target = self.estimator.target(self.now()).as_bps() as f64;
            if self.now_ms.is_multiple_of(20) {
                self.send(120);
            }
            if self.now_ms.is_multiple_of(33) {
                let mut bytes = ((target - 48e3).max(0.0).min(self.wanted_bps) / 8.0 / 30.3) as usize;
                if self.now_ms.is_multiple_of(33 * 150) {
                    bytes = bytes.max(self.keyframe_bytes);
                }
                while bytes > 0 {
                    self.send(bytes.min(1200));
                    bytes = bytes.saturating_sub(1200);
                }
            }
            self.answer();
            if self.now_ms.is_multiple_of(100) {
                self.history.push((self.now_ms, target));
            }
            self.now_ms += 1;
        }
    }

    /// The receiver: transport-wide feedback every 50 ms, or a report every second.
    fn answer(&mut self) {
        let now_ms = self.now_ms as f64;
        if self.reports {
            if self.now_ms.is_multiple_of(1000) && self.expected > 0 {
                let loss = self.lost as f32 / self.expected as f32;
                (self.lost, self.expected) = (0, 0);
                let rtt = Duration::from_secs_f64(self.rtt_ms / 1e3);
                self.estimator.on_receiver_report(self.now(), loss, Some(rtt));
            }
            return;
        }
        if self.now_ms.is_multiple_of(50) {
            let arrived = |arrival: &Option<f64>| arrival.is_some_and(|at| at <= now_ms);
            let heard = self.unreported.iter().rposition(|(_, arrival)| arrived(arrival));
            if let Some(last) = heard {
                let packets = self.unreported.drain(..=last).map(|(transport_seq, arrival)| PacketResult {
                    transport_seq,
                    // The receiver's clock is far from the sender's.
                    received_at: arrival.map(|at| Duration::from_secs_f64(at / 1e3 + 7777.0)),
                });
                let feedback = TransportFeedback { packets: packets.collect() };
                self.feedback.push((self.now_ms + BACK_MS, feedback));
            }
        }
        let due = self.feedback.iter().take_while(|(at, _)| *at <= self.now_ms).count();
        for (_, feedback) in self.feedback.drain(..due).collect::<Vec<_>>() {
            self.estimator.on_feedback(self.now(), &feedback);
        }
    }

    fn targets(&self, from_ms: u64, to_ms: u64) -> Vec<f64> {
        let range = self.history.iter().filter(|(at, _)| (from_ms..to_ms).contains(at));
        range.map(|(_, target)| *target).collect()
    }

    fn mean(&self, from_ms: u64, to_ms: u64) -> f64 {
        let targets = self.targets(from_ms, to_ms);
        targets.iter().sum::<f64>() / targets.len() as f64
    }

    fn least(&self, from_ms: u64, to_ms: u64) -> f64 {
        self.targets(from_ms, to_ms).into_iter().fold(f64::INFINITY, f64::min)
    }

    fn most(&self, from_ms: u64, to_ms: u64) -> f64 {
        self.targets(from_ms, to_ms).into_iter().fold(0.0, f64::max)
    }

    fn trace(&self) {
        for (at, target) in self.history.iter().step_by(5) {
            print!("{:.1}s:{:.0} ", *at as f64 / 1e3, target / 1e3);
        }
        println!("worst queue {:.0} ms", self.link.worst_queue_ms());
    }
}

#[test]
fn on_a_wide_link_the_cap_is_reached_in_seconds_and_kept() {
    let mut call = Call::new(Shape { rate_bps: 3e6, ..Shape::PERFECT }, 1);
    call.run(60_000);
    call.trace();
    assert_eq!(call.least(0, 1000), 1.5e6);
    assert_eq!(call.least(4000, 60_000), 2e6);
}

#[test]
fn on_800_kbit_the_target_fits_within_two_seconds_without_seconds_of_queue() {
    let mut call = Call::new(Shape { rate_bps: 800e3, queue_ms: 5000.0, ..Shape::PERFECT }, 2);
    call.run(60_000);
    call.trace();
    assert!(call.most(2000, 60_000) < 1.15 * 800e3, "{}", call.most(2000, 60_000));
    assert!(call.link.worst_queue_ms() < 700.0, "queue of {} ms", call.link.worst_queue_ms());
    let (mean, least) = (call.mean(10_000, 60_000), call.least(10_000, 60_000));
    assert!(mean > 0.75 * 800e3, "uses {mean}");
    assert!(least > 0.55 * 800e3, "swings down to {least}");
}

#[test]
fn a_link_that_becomes_narrow_is_followed_down_and_up_again() {
    let mut call = Call::new(Shape { rate_bps: 3e6, queue_ms: 3000.0, ..Shape::PERFECT }, 3);
    call.run(15_000);
    call.link.shape.rate_bps = 500e3;
    call.run(2_500);
    let after = call.history.last().map_or(0.0, |(_, target)| *target);
    assert!(after < 1.1 * 500e3, "still {after} after 2.5 s");
    call.run(12_500);
    assert!(call.link.worst_queue_ms() < 1500.0, "queue of {} ms", call.link.worst_queue_ms());
    assert!(call.mean(20_000, 30_000) > 0.65 * 500e3);
    call.link.shape.rate_bps = 3e6;
    call.run(20_000);
    call.trace();
    assert!(call.least(48_000, 50_000) > 1.8e6, "has not come back: {}", call.least(48_000, 50_000));
}

#[test]
fn random_loss_of_two_per_cent_costs_nothing() {
    for seed in 0..10 {
        let mut call =
            Call::new(Shape { rate_bps: 5e6, loss: Loss::independent(0.02), ..Shape::PERFECT }, seed);
        call.run(30_000);
        assert!(call.least(0, 30_000) >= 1.5e6, "fell to {}", call.least(0, 30_000));
        assert_eq!(call.least(5_000, 30_000), 2e6);
    }
}

#[test]
fn bursty_loss_of_eight_per_cent_and_jitter_do_not_starve_the_picture() {
    for seed in 0..10 {
        let shape = Shape {
            rate_bps: 5e6,
            loss: Loss::bursts(0.08, 3.0),
            jitter_ms: 60.0,
            reorder: true,
            ..Shape::PERFECT
        };
        let mut call = Call::new(shape, seed);
        call.run(60_000);
        call.trace();
        assert!(call.mean(10_000, 60_000) > 0.9e6, "{}", call.mean(10_000, 60_000));
    }
}

#[test]
fn a_shallow_queue_that_drops_is_found_too() {
    let mut call = Call::new(Shape { rate_bps: 800e3, queue_ms: 30.0, ..Shape::PERFECT }, 5);
    call.run(40_000);
    call.trace();
    assert!(call.mean(3_000, 40_000) < 1.1 * 800e3, "{}", call.mean(3_000, 40_000));
    assert!(call.mean(3_000, 40_000) > 0.6 * 800e3, "{}", call.mean(3_000, 40_000));
}

#[test]
fn receiver_reports_alone_will_do() {
    let mut call = Call::new(Shape { rate_bps: 800e3, queue_ms: 2000.0, ..Shape::PERFECT }, 6);
    call.reports = true;
    call.run(60_000);
    call.trace();
    assert!(call.most(4_000, 60_000) < 1.3 * 800e3, "{}", call.most(4_000, 60_000));
    assert!(call.mean(10_000, 60_000) > 0.55 * 800e3, "{}", call.mean(10_000, 60_000));
    let mut wide = Call::new(Shape { rate_bps: 5e6, loss: Loss::independent(0.02), ..Shape::PERFECT }, 7);
    wide.reports = true;
    wide.run(20_000);
    assert!(wide.least(0, 20_000) >= 1.5e6);
}

#[test]
fn a_still_picture_does_not_cost_the_target() {
    let mut call = Call::new(Shape { rate_bps: 3e6, ..Shape::PERFECT }, 8);
    call.wanted_bps = 100e3;
    call.run(30_000);
    assert!(call.least(0, 30_000) >= 1.5e6, "{}", call.least(0, 30_000));
    assert!(call.most(0, 5_000) < 1.7e6, "what was never tried is raised gently");
}

#[test]
fn a_keyframe_sent_at_once_is_not_taken_for_a_narrow_link() {
    let mut call = Call::new(Shape { rate_bps: 3e6, ..Shape::PERFECT }, 9);
    call.keyframe_bytes = 60_000;
    call.run(40_000);
    call.trace();
    assert!(call.least(0, 40_000) > 1.2e6, "{}", call.least(0, 40_000));
}

#[test]
fn a_long_way_is_not_a_narrow_one() {
    let mut call = Call::new(Shape { rate_bps: 3e6, delay_ms: 300.0, jitter_ms: 20.0, ..Shape::PERFECT }, 10);
    call.run(30_000);
    call.trace();
    assert!(call.least(0, 30_000) >= 1.5e6);
    assert_eq!(call.least(8_000, 30_000), 2e6);
}
