//! How much the way to the other side can carry (sender side).
//!
//! The trait is the seam: [`SimpleEstimator`] is the first to stand behind it. An estimator hears what left
//! and what the receiver says of it, and names a target; it never sends, and never decides what to send.

use std::time::{Duration, Instant};

use crate::units::{DataRate, DataSize};

mod loss;
mod queueing;
pub mod simple;

pub use simple::SimpleEstimator;

/// What became of one packet, as the receiver saw it (transport-wide congestion control,
/// draft-holmer-rmcat-transport-wide-cc-extensions-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketResult {
    /// The transport-wide sequence number.
    pub transport_seq: u16,
    /// When it arrived, by the receiver's clock with an origin of its own; `None` if it did not.
    pub received_at: Option<Duration>,
}

/// One feedback message, in the order of the sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportFeedback {
    /// The packets it speaks of.
    pub packets: Vec<PacketResult>,
}

/// Estimates the bandwidth towards one peer.
pub trait BandwidthEstimator: Send {
    /// A packet leaves now. `size` is the whole RTP packet.
    fn on_sent(&mut self, now: Instant, transport_seq: u16, size: DataSize);
    /// A feedback message arrived.
    fn on_feedback(&mut self, now: Instant, feedback: &TransportFeedback);
    /// A receiver report arrived: share of packets lost since the last one (0..=1), and the round trip if known.
    fn on_receiver_report(&mut self, now: Instant, loss_fraction: f32, rtt: Option<Duration>);
    /// The path is another one now: what was learnt of the old one is forgotten.
    fn on_path_changed(&mut self, now: Instant);
    /// The target never leaves `least..=most`.
    fn set_bounds(&mut self, least: DataRate, most: DataRate);
    /// What may be sent per second now, all streams together.
    fn target(&mut self, now: Instant) -> DataRate;
}
