//! How long packets queue on the way: one-way delay above the least seen.
//!
//! The clocks at both ends differ by an unknown constant; it cancels out. Noise (Wi-Fi, scheduling) only ever
//! adds delay, so the least of a short window is the queue that all packets stand in.

use std::collections::VecDeque;
use std::time::Instant;

/// The quickest packet is remembered for this long to twice as long, ms.
const BASE_SPAN_MS: f64 = 10_000.0;
/// The window whose least delay counts, ms.
const WINDOW_MS: f64 = 120.0;
/// A step of the one-way delay beyond this is a clock that was set, ms.
const CLOCK_STEP_MS: f64 = 20_000.0;

/// Watches the one-way delay.
#[derive(Debug, Default)]
pub(super) struct QueueingDelay {
    /// Least delay of this span and of the one before, ms.
    base: Option<(f64, f64)>,
    span_began: f64,
    /// (when heard of, one-way delay), ms.
    recent: VecDeque<(f64, f64)>,
}

impl QueueingDelay {
    /// Takes note of a packet that took `delay_ms` by two different clocks; `now_ms` counts from any origin.
    pub(super) fn on_packet(&mut self, now_ms: f64, delay_ms: f64) {
        let (this, before) = self.base.unwrap_or((delay_ms, delay_ms));
        if (delay_ms - this.min(before)).abs() > CLOCK_STEP_MS {
            *self = Self::default();
            return self.on_packet(now_ms, delay_ms);
        }
        self.base = Some(if now_ms - self.span_began >= BASE_SPAN_MS {
            self.span_began = now_ms;
            (delay_ms, this)
        } else {
            (this.min(delay_ms), before)
        });
        self.recent.push_back((now_ms, delay_ms));
        while self.recent.len() > 1 && self.recent.front().is_some_and(|(at, _)| now_ms - at > WINDOW_MS) {
            self.recent.pop_front();
        }
    }

    /// The queue that every recent packet stood in, ms.
    pub(super) fn queue_ms(&self) -> f64 {
        let Some((this, before)) = self.base else { return 0.0 };
        let least = self.recent.iter().map(|(_, delay)| *delay).reduce(f64::min);
        least.map_or(0.0, |least| (least - this.min(before)).max(0.0))
    }
}

/// Milliseconds from `origin` to `at`, negative if it lies before.
pub(super) fn ms_between(origin: Instant, at: Instant) -> f64 {
    match at.checked_duration_since(origin) {
        Some(after) => after.as_secs_f64() * 1e3,
        None => -(origin.saturating_duration_since(at).as_secs_f64() * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_not_a_queue_but_what_all_packets_wait_for_is() {
        let mut delay = QueueingDelay::default();
        for at in 0..100 {
            delay.on_packet(f64::from(at) * 10.0, 500.0 + f64::from(at % 5) * 20.0);
        }
        assert_eq!(delay.queue_ms(), 0.0);
        for at in 100..130 {
            delay.on_packet(f64::from(at) * 10.0, 560.0 + f64::from(at % 5) * 20.0);
        }
        assert_eq!(delay.queue_ms(), 60.0);
    }

    #[test]
    fn a_longer_route_is_the_new_normal_after_a_while() {
        let mut delay = QueueingDelay::default();
        for at in 0..2500 {
            delay.on_packet(f64::from(at) * 10.0, if at < 100 { 10.0 } else { 90.0 });
        }
        assert_eq!(delay.queue_ms(), 0.0);
    }
}
