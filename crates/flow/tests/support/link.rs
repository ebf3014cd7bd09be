//! A seeded one-way link in virtual time: bottleneck with a drop-tail queue, delay, jitter, loss in bursts.
#![allow(dead_code, reason = "each test uses its own part")]

/// Numbers that look random and are the same each time (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform in 0..1.
    pub(crate) fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Bottleneck, bit/s.
    pub(crate) rate_bps: f64,
    /// What waits before the bottleneck at most, ms at its rate.
    pub(crate) queue_ms: f64,
    pub(crate) delay_ms: f64,
    /// Uniform in 0..this, on top.
    pub(crate) jitter_ms: f64,
    /// Whether jitter may reorder packets.
    pub(crate) reorder: bool,
    /// Share of packets lost.
    pub(crate) loss: f64,
    /// Mean length of a run of lost packets.
    pub(crate) burst: f64,
}

impl Shape {
    pub(crate) const PERFECT: Self = Self {
        rate_bps: 100e6,
        queue_ms: 1000.0,
        delay_ms: 20.0,
        jitter_ms: 0.0,
        reorder: false,
        loss: 0.0,
        burst: 1.0,
    };
}

pub(crate) struct Link {
    pub(crate) shape: Shape,
    dice: Dice,
    free_at_ms: f64,
    last_arrival_ms: f64,
    losing: bool,
    pub(crate) worst_queue_ms: f64,
}

impl Link {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        println!("link seed {seed}");
        let dice = Dice::new(seed);
        Self { shape, dice, free_at_ms: 0.0, last_arrival_ms: 0.0, losing: false, worst_queue_ms: 0.0 }
    }

    /// When a packet that is sent now arrives, if it does, ms.
    pub(crate) fn send(&mut self, now_ms: f64, bytes: usize) -> Option<f64> {
        let Shape { rate_bps, queue_ms, delay_ms, jitter_ms, reorder, loss, burst } = self.shape;
        let waiting = (self.free_at_ms - now_ms).max(0.0);
        if waiting > queue_ms {
            return None;
        }
        self.worst_queue_ms = self.worst_queue_ms.max(waiting);
        self.free_at_ms = now_ms + waiting + bytes as f64 * 8e3 / rate_bps;
        let change = self.dice.roll();
        self.losing =
            if self.losing { change >= 1.0 / burst } else { change < loss / (burst * (1.0 - loss)) };
        let jitter = self.dice.roll() * jitter_ms;
        if loss > 0.0 && self.losing {
            return None;
        }
        let arrival = self.free_at_ms + delay_ms + jitter;
        let arrival = if reorder { arrival } else { arrival.max(self.last_arrival_ms) };
        self.last_arrival_ms = self.last_arrival_ms.max(arrival);
        Some(arrival)
    }
}
