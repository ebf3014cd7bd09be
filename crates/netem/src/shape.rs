//! How a link behaves.

use crate::Loss;

/// Everything that may be wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Bottleneck, bit/s.
    pub rate_bps: f64,
    /// What waits before the bottleneck at most, ms at its rate; more is dropped.
    pub queue_ms: f64,
    /// From the bottleneck to the other end, ms.
    pub delay_ms: f64,
    /// Uniform in 0..this, on top, ms.
    pub jitter_ms: f64,
    /// Whether jitter may let packets overtake one another.
    pub reorder: bool,
    /// Packets arrive together at multiples of this, ms: an access point keeps what is for a sleeping station until the
    /// next beacon. Zero: each at its own time.
    pub bunch_ms: f64,
    /// Which packets are lost.
    pub loss: Loss,
    /// Larger packets are lost, bytes.
    pub largest: usize,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
    /// Share of packets that arrive with one bit flipped.
    pub damage: f64,
}

impl Shape {
    /// 20 ms of wide, clean cable.
    pub const PERFECT: Self = Self {
        rate_bps: 100e6,
        queue_ms: 1000.0,
        delay_ms: 20.0,
        jitter_ms: 0.0,
        reorder: false,
        bunch_ms: 0.0,
        loss: Loss::NONE,
        largest: usize::MAX,
        duplicate: 0.0,
        damage: 0.0,
    };
}
