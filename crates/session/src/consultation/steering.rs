//! How much to send: bandwidth estimate, quality ladder and pacing, brought together into a plan.

use std::time::{Duration, Instant};

use bedside_flow::{
    ladder::{Allocation, Ladder, Rung},
    pacer::{Pacer, PacerConfig},
    rate::{self, BandwidthEstimator, SimpleEstimator},
    units::{DataRate, DataSize},
};

use super::video_out::Plan;
use crate::peer::{OutgoingRtp, TransportFeedback};

/// The highest rung that is sent: 720p30, of which a face in a consultation gains most.
const HIGHEST: Rung = Rung::P720;

/// What a camera that is off would send; only its shape matters.
const NOTHING: Plan = Plan { paused: true, width: 320, height: 180, fps: 10, bitrate_bps: 50_000 };

pub(super) struct Steering {
    estimator: Box<dyn BandwidthEstimator>,
    ladder: Ladder,
    pacer: Pacer<OutgoingRtp>,
    estimate_bps: u32,
    /// What the path carried when it was lost.
    before_loss: Option<DataRate>,
    /// What was sent before this says nothing of the present path.
    path_since: Instant,
}

impl Steering {
    pub(super) fn new(now: Instant) -> Self {
        let mut estimator = SimpleEstimator::new();
        let target = estimator.target(now);
        Self {
            estimator: Box::new(estimator),
            ladder: Ladder::new(target, HIGHEST),
            pacer: Pacer::new(PacerConfig::default(), target),
            estimate_bps: target.as_bps_u32(),
            before_loss: None,
            path_since: now,
        }
    }

    /// What became of packets that were sent.
    pub(super) fn feedback(&mut self, now: Instant, feedback: &TransportFeedback) {
        let mut packets = Vec::with_capacity(feedback.packets.len());
        for packet in feedback.packets.iter().filter(|packet| packet.sent >= self.path_since) {
            self.estimator.on_sent(
                packet.sent,
                packet.transport_seq,
                DataSize::from_bytes(packet.size as u64),
            );
            packets.push(rate::PacketResult {
                transport_seq: packet.transport_seq,
                received_at: packet.arrived,
            });
        }
        self.estimator.on_feedback(now, &rate::TransportFeedback { packets });
    }

    /// How the other side receives us.
    pub(super) fn receiver_report(&mut self, now: Instant, loss: f32, rtt: Duration) {
        self.estimator.on_receiver_report(now, loss, Some(rtt));
    }

    /// Another path: what was learnt of the old one is forgotten.
    pub(super) fn path_changed(&mut self, now: Instant) {
        self.estimator.on_path_changed(now);
    }

    /// Nothing comes from the other side any more. Without its word the target shrinks from now on.
    pub(super) fn path_lost(&mut self, now: Instant) {
        self.before_loss = Some(self.estimator.target(now));
    }

    /// The other side is heard again: the picture is back where it was, and need not climb for half a minute.
    pub(super) fn path_found(&mut self, now: Instant) {
        if let Some(target) = self.before_loss.take() {
            self.estimator = Box::new(SimpleEstimator::starting_at(target));
            self.ladder = Ladder::new(target, HIGHEST);
            self.path_since = now;
        }
    }

    /// Asks the estimator anew.
    pub(super) fn update(&mut self, now: Instant) {
        let target = self.estimator.target(now);
        self.estimate_bps = target.as_bps_u32();
        self.ladder.update(now, target);
        self.pacer.set_target(target);
    }

    /// Bits per second towards the other side.
    pub(super) const fn estimate(&self) -> u32 {
        self.estimate_bps
    }

    /// Whether there is room for a picture beside the sound.
    pub(super) fn has_room_for_video(&self) -> bool {
        self.ladder.rung().video().is_some()
    }

    fn allocation(&self) -> Allocation {
        self.ladder.allocate(DataRate::from_bps(u64::from(self.estimate_bps)))
    }

    /// What the voice may take, bit/s.
    pub(super) fn voice_bps(&self) -> u32 {
        self.allocation().audio.as_bps_u32()
    }

    /// What to send.
    pub(super) fn plan(&self, paused: bool) -> Plan {
        let Some(shape) = self.ladder.rung().video().filter(|_| !paused) else { return NOTHING };
        let allocation = self.allocation();
        Plan {
            paused: false,
            width: shape.width,
            height: shape.height,
            fps: shape.fps,
            bitrate_bps: allocation.video.as_bps_u32(),
        }
    }

    /// Queues a packet of our picture. False when the queue had to be emptied: a keyframe is needed then.
    pub(super) fn enqueue(&mut self, packet: OutgoingRtp) -> bool {
        let size = DataSize::from_bytes(packet.payload.len() as u64);
        self.pacer.push(size, packet);
        !self.pacer.take_overflowed()
    }

    /// Sound and repeats of packets left without waiting: the picture owes it.
    pub(super) fn charge(&mut self, bytes: u64) {
        self.pacer.charge(DataSize::from_bytes(bytes));
    }

    /// The next packet whose turn has come.
    pub(super) fn next_packet(&mut self, now: Instant) -> Option<OutgoingRtp> {
        self.pacer.poll(now)
    }

    /// When the next packet may go, if one waits.
    pub(super) fn next_send(&self) -> Option<Instant> {
        self.pacer.poll_timeout()
    }

    /// How long the last packet in the queue will wait, ms.
    pub(super) fn queue_ms(&self) -> u32 {
        u32::try_from(self.pacer.queue_time().as_millis()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::PacketFate;

    /// A second of packets, all received or all lost, and the other side's word of them.
    fn second(steering: &mut Steering, from: Instant, seq: &mut u16, lost: bool) {
        for step in 0..20u64 {
            let packets = (0..5).map(|place| {
                *seq = seq.wrapping_add(1);
                let sent = from + Duration::from_millis(step * 50 + place * 10);
                let arrived = Duration::from_millis(step * 50 + place * 10 + 20);
                PacketFate { transport_seq: *seq, size: 1_200, sent, arrived: (!lost).then_some(arrived) }
            });
            let feedback = TransportFeedback { packets: packets.collect() };
            let now = from + Duration::from_millis(step * 50 + 70);
            steering.feedback(now, &feedback);
            steering.update(now);
        }
    }

    #[test]
    fn a_picture_that_was_lost_with_the_path_is_back_with_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut steering, mut seq) = (Steering::new(start), 0);
        second(&mut steering, start, &mut seq, false);
        let before = steering.plan(false);
        let mut lost = false;
        for ms in (1_100..9_000).step_by(100) {
            if !lost && ms > 2_800 {
                lost = true;
                steering.path_lost(at(ms));
            }
            steering.update(at(ms));
        }
        assert!(!steering.has_room_for_video(), "nobody listens, and still it sends");
        steering.path_found(at(9_000));
        // The first word of the other side is about what was sent into the void.
        second(&mut steering, at(7_900), &mut seq, true);
        steering.update(at(9_000));
        let after = steering.plan(false);
        assert!(after.height * 2 >= before.height && !after.paused, "{after:?} instead of {before:?}");
    }
}
