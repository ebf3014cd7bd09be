//! Loss as the receiver sees it (RFC 3550 §A.3).

use crate::rtp::SequenceUnwrapper;

/// What became of the packets of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that did not.
    pub lost: u64,
}

impl Share {
    /// The share lost, 0..=1.
    pub fn fraction(self) -> f32 {
        if self.expected == 0 { 0.0 } else { self.lost as f32 / self.expected as f32 }
    }
}

impl std::ops::Add for Share {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { expected: self.expected + other.expected, lost: self.lost + other.lost }
    }
}

/// Counts one stream's loss: expected by the numbers, less what came. What comes late is not lost.
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

    /// What was lost since the last call; repeats can hide loss but never make it negative.
    pub fn take(&mut self) -> Share {
        let expected = match (self.first, self.sequence.highest()) {
            (Some(first), Some(highest)) => (highest - first + 1).max(0).unsigned_abs(),
            _ => 0,
        };
        let before = std::mem::replace(&mut self.before, (expected, self.received));
        let expected = expected.saturating_sub(before.0);
        let received = self.received.saturating_sub(before.1);
        Share { expected, lost: expected.saturating_sub(received) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_counted_by_the_interval_across_the_wrap() {
        let mut meter = LossMeter::new();
        for seq in [65_530, 65_531, 65_534, 65_535, 0, 1] {
            meter.on_packet(seq);
        }
        assert_eq!(meter.take().fraction(), 0.25);
        meter.on_packet(2);
        meter.on_packet(2);
        assert_eq!(meter.take().fraction(), 0.0);
        assert_eq!(meter.take(), Share::default());
    }

    #[test]
    fn what_overtakes_is_no_loss() {
        let mut meter = LossMeter::new();
        [7, 9, 8, 10].into_iter().for_each(|seq| meter.on_packet(seq));
        assert_eq!(meter.take(), Share { expected: 4, lost: 0 });
    }
}
