//! The sender's half: the packets that somebody may still ask for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets kept at most: four seconds at 2 Mbit/s.
const MAX_PACKETS: usize = 1024;
/// A packet is kept this long; later it would come too late for anybody.
const MAX_AGE: Duration = Duration::from_secs(2);
/// The shortest time between two retransmissions of one packet.
const MIN_RESEND: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct Sent<T> {
    seq: u16,
    packet: T,
    at: Instant,
    resent_at: Option<Instant>,
}

/// What one stream sent in the last two seconds, at most 1,024 packets. `T` is the packet, cheap to clone.
#[derive(Debug)]
pub struct History<T> {
    sent: VecDeque<Sent<T>>,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { sent: VecDeque::new() }
    }
}

impl<T> History<T> {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a packet that leaves now. Packets are expected in the order of their numbers.
    pub fn remember(&mut self, seq: u16, packet: T, now: Instant) {
        while self.sent.len() >= MAX_PACKETS
            || self.sent.front().is_some_and(|oldest| now >= oldest.at + MAX_AGE)
        {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { seq, packet, at: now, resent_at: None });
    }

    /// The packet to send again, or nothing if it is gone, or was sent again less than half a round trip ago and
    /// the request crossed it on the way.
    pub fn lookup(&mut self, seq: u16, now: Instant, rtt: Duration) -> Option<&T> {
        let newest = self.sent.back()?.seq;
        let behind = usize::from(newest.wrapping_sub(seq));
        let direct = self.sent.len().checked_sub(behind + 1).filter(|at| self.sent[*at].seq == seq);
        let at = direct.or_else(|| self.sent.iter().rposition(|sent| sent.seq == seq))?;
        let sent = self.sent.get_mut(at)?;
        let crossed = sent.resent_at.is_some_and(|at| now < at + (rtt / 2).max(MIN_RESEND));
        if crossed || now >= sent.at + MAX_AGE {
            return None;
        }
        sent.resent_at = Some(now);
        Some(&sent.packet)
    }

    /// Packets kept.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const RTT: Duration = Duration::from_millis(60);

    #[test]
    fn a_packet_is_found_across_the_wrap_and_after_a_gap_in_the_numbers() {
        let now = testing::start();
        let mut history = History::new();
        for seq in [65_534, 65_535, 0, 1, 5] {
            history.remember(seq, u32::from(seq) * 10, now);
        }
        assert_eq!(history.lookup(65_535, now, RTT), Some(&655_350));
        assert_eq!(history.lookup(1, now, RTT), Some(&10));
        assert_eq!(history.lookup(5, now, RTT), Some(&50));
        assert_eq!(history.lookup(3, now, RTT), None);
    }

    #[test]
    fn requests_that_cross_a_retransmission_are_not_answered_twice() {
        let now = testing::start();
        let mut history = History::new();
        history.remember(7, (), now);
        assert!(history.lookup(7, now, RTT).is_some());
        assert!(history.lookup(7, now + Duration::from_millis(29), RTT).is_none());
        assert!(history.lookup(7, now + Duration::from_millis(30), RTT).is_some());
    }

    #[test]
    fn memory_is_bounded_in_number_and_age() {
        let now = testing::start();
        let mut history = History::new();
        for seq in 0..5000u16 {
            history.remember(seq, (), now);
        }
        assert_eq!(history.len(), MAX_PACKETS);
        assert!(history.lookup(4999, now + MAX_AGE, RTT).is_none());
        history.remember(5000, (), now + MAX_AGE);
        assert_eq!(history.len(), 1);
    }
}
