//! When a call acts by itself: each phase's time-out and what it leads to.

use bedside_protocol::{CallPhase, EndReason, Timestamp};

use super::{Call, Output};

/// What happens when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    End(CallPhase, EndReason),
    Warn,
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
                Due::Warn => {
                    self.warned = true;
                    let ends_at = at.plus_millis(self.limits.expiry_warning_ms);
                    self.outputs.push_back(Output::Expiring { ends_at });
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
        let since = self.connected_since?;
        let (max, ahead) = (self.limits.max_duration_ms, self.limits.expiry_warning_ms);
        if self.warned || ahead >= max {
            Some((since.plus_millis(max), Due::End(CallPhase::Ended, EndReason::MaxDuration)))
        } else {
            Some((since.plus_millis(max - ahead), Due::Warn))
        }
    }
}

/// The earlier of two deadlines; the first when they fall together.
fn earliest(a: Option<(Timestamp, Due)>, b: Option<(Timestamp, Due)>) -> Option<(Timestamp, Due)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}
