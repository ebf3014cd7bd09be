//! When a call acts by itself: each phase's time-out and what it leads to.

use bedside_protocol::{CallPhase, EndReason, Timestamp};

use super::{Call, Output};

/// What happens when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    End(CallPhase, EndReason),
    Warn(Timestamp),
}

impl Call {
    /// When [`Call::handle_timeout`] must be called at the latest. Every call that is not over has one.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.next_due().map(|(at, _)| at)
    }

    /// Lets everything happen that was due up to `now`. What happens is dated by its deadline, not by a late
    /// `now`: a call that may last an hour lasts an hour.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= now) {
            match due {
                Due::End(phase, reason) => self.finish(at, phase, reason),
                Due::Warn(ends_at) => {
                    self.warned_of = Some(ends_at);
                    self.outputs.push_back(Output::Expiring { ends_at, extends_to: self.extended() });
                }
            }
        }
    }

    /// The end of a reconnection that does not succeed: the longer limit while both devices are signed in, else
    /// the grace of the device that is gone.
    pub(super) fn reconnect_until(&self) -> Timestamp {
        let longest = self.since.plus_millis(self.limits.reconnect_ms);
        let absent = match (self.caller.absent_since, self.callee.absent_since) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        absent.map_or(longest, |at| at.max(self.since).plus_millis(self.limits.grace_ms).min(longest))
    }

    fn next_due(&self) -> Option<(Timestamp, Due)> {
        let limits = &self.limits;
        let caller_gone = self
            .caller
            .absent_since
            .map(|at| (at.plus_millis(limits.grace_ms), Due::End(CallPhase::Ended, EndReason::NetworkError)));
        let step = |millis, phase, reason| Some((self.since.plus_millis(millis), Due::End(phase, reason)));
        match self.phase() {
            CallPhase::Initiated => {
                earliest(step(limits.reach_ms, CallPhase::Missed, EndReason::Missed), caller_gone)
            }
            CallPhase::Ringing => {
                earliest(step(limits.ring_ms, CallPhase::Missed, EndReason::Missed), caller_gone)
            }
            CallPhase::Accepted => step(limits.connect_ms, CallPhase::Failed, EndReason::Timeout),
            CallPhase::Connecting => step(limits.connect_ms, CallPhase::Failed, EndReason::ConnectionFailed),
            CallPhase::Connected => self.longest(),
            CallPhase::Reconnecting => earliest(
                Some((self.reconnect_until(), Due::End(CallPhase::Ended, EndReason::NetworkError))),
                self.longest(),
            ),
            CallPhase::Ended | CallPhase::Failed | CallPhase::Missed => None,
        }
    }

    /// The warning ahead of the longest duration, and then its end.
    fn longest(&self) -> Option<(Timestamp, Due)> {
        let (since, ends_at) = (self.connected_since?, self.record.ends_at?);
        let permitted = self.permitted_ms()?;
        if self.warned_of == Some(ends_at) {
            Some((since.plus_millis(permitted), Due::End(CallPhase::Ended, EndReason::MaxDuration)))
        } else {
            let ahead = permitted.saturating_sub(self.limits.expiry_warning_ms);
            Some((since.plus_millis(ahead), Due::Warn(ends_at)))
        }
    }

    /// How long the call may last from the first media on, extensions included, ms. A length, so that it holds by any
    /// clock: the record's times are the server's.
    fn permitted_ms(&self) -> Option<u64> {
        Some(self.record.ends_at?.millis_since(self.record.connected_at?))
    }

    /// Where an extension would move the end; `None` when the call may last no longer.
    pub(super) fn extended(&self) -> Option<Timestamp> {
        let (from, ends_at) = (self.record.connected_at?, self.record.ends_at?);
        let latest = from.plus_millis(self.limits.max_extended_ms);
        let to = ends_at.plus_millis(self.limits.extension_ms).min(latest);
        (to > ends_at).then_some(to)
    }
}

/// The earlier of two deadlines; the first when they fall together.
fn earliest(a: Option<(Timestamp, Due)>, b: Option<(Timestamp, Due)>) -> Option<(Timestamp, Due)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}
