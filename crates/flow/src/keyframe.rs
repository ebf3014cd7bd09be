//! When to ask for a keyframe, and when to make one: at once, then with growing patience.
//!
//! A keyframe costs ten ordinary frames; asking every few milliseconds on a bad link makes the link worse.

use std::time::{Duration, Instant};

/// The shortest time between two requests, whatever the round trip.
const MIN_INTERVAL: Duration = Duration::from_millis(150);
/// The longest time between two requests.
const MAX_INTERVAL: Duration = Duration::from_secs(2);
/// What a sender needs to make and send the keyframe, on top of the round trip.
const TURNAROUND: Duration = Duration::from_millis(100);

/// Receiver side: asks at once, then after one round trip, two, four …, at most every 2 s, until satisfied.
#[derive(Clone, Debug)]
pub struct KeyframeRequester {
    wanted: bool,
    /// Requests since the need arose.
    asked: u32,
    last_at: Option<Instant>,
    patience: Duration,
}

impl Default for KeyframeRequester {
    fn default() -> Self {
        Self { wanted: false, asked: 0, last_at: None, patience: MIN_INTERVAL }
    }
}

impl KeyframeRequester {
    /// A requester that wants nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A keyframe is needed; repeated calls change nothing.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// A keyframe came.
    pub fn satisfied(&mut self) {
        self.wanted = false;
        self.asked = 0;
        self.patience = MIN_INTERVAL;
    }

    /// Whether a keyframe is awaited.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// True when a request (PLI, RFC 4585 §6.3.1) is to be sent now.
    pub fn poll(&mut self, now: Instant, rtt: Duration) -> bool {
        if !self.wanted || self.poll_timeout().is_some_and(|due| now < due) {
            return false;
        }
        let doubled = (rtt.min(MAX_INTERVAL) + TURNAROUND) * (1 << self.asked.min(5));
        self.patience = doubled.clamp(MIN_INTERVAL, MAX_INTERVAL);
        self.asked = self.asked.saturating_add(1);
        self.last_at = Some(now);
        true
    }

    /// When the next request falls due; `None` when nothing is wanted, or when it is due at once.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.wanted { self.last_at.map(|at| at + self.patience) } else { None }
    }
}

/// Sender side: turns requests from one or many receivers into keyframes. A second one may follow the first
/// quickly, for the first is often lost while a connection is young; after that they are rare.
#[derive(Clone, Debug, Default)]
pub struct KeyframeLimiter {
    pending: bool,
    last: Option<Instant>,
    last_but_one: Option<Instant>,
}

impl KeyframeLimiter {
    /// The shortest distance between two keyframes.
    pub const MIN_DISTANCE: Duration = Duration::from_millis(60);
    /// No more than two keyframes are made within this.
    pub const TWO_WITHIN: Duration = Duration::from_millis(600);

    /// A limiter without history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody asked.
    pub fn request(&mut self) {
        self.pending = true;
    }

    /// Asked before each frame: true when this one is to be a keyframe. The request then counts as served.
    pub fn take(&mut self, now: Instant) -> bool {
        let too_soon = self.last.is_some_and(|at| now < at + Self::MIN_DISTANCE)
            || self.last_but_one.is_some_and(|at| now < at + Self::TWO_WITHIN);
        if !self.pending || too_soon {
            return false;
        }
        self.on_keyframe(now);
        true
    }

    /// A keyframe was made for a reason of the encoder's own; it serves whoever asked.
    pub fn on_keyframe(&mut self, now: Instant) {
        self.pending = false;
        self.last_but_one = self.last.replace(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn asks_at_once_and_then_ever_more_rarely() {
        let start = testing::start();
        let rtt = Duration::from_millis(100);
        let mut requester = KeyframeRequester::new();
        assert!(!requester.poll(start, rtt));
        requester.want();
        let asked: Vec<u64> =
            (0..10_000).filter(|ms| requester.poll(start + Duration::from_millis(*ms), rtt)).collect();
        assert_eq!(asked, [0, 200, 600, 1400, 3000, 5000, 7000, 9000]);
    }

    #[test]
    fn a_new_need_after_a_keyframe_is_voiced_at_once_but_never_twice_within_150_ms() {
        let start = testing::start();
        let mut requester = KeyframeRequester::new();
        requester.want();
        assert!(requester.poll(start, Duration::ZERO));
        requester.satisfied();
        requester.want();
        assert!(!requester.poll(start + Duration::from_millis(149), Duration::ZERO));
        assert!(requester.poll(start + Duration::from_millis(150), Duration::ZERO));
    }

    #[test]
    fn a_flood_of_requests_makes_two_keyframes_at_once_and_then_few() {
        let start = testing::start();
        let mut limiter = KeyframeLimiter::new();
        let mut made = Vec::new();
        for ms in 0..1300 {
            limiter.request();
            if limiter.take(start + Duration::from_millis(ms)) {
                made.push(ms);
            }
        }
        assert_eq!(made, [0, 60, 600, 660, 1200, 1260]);
    }
}
