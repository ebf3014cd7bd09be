//! The path between the two devices, as far as the sides can speak of it: who is there, whether media arrives, and
//! what that makes of the call.

use bedside_protocol::{CallPhase, Timestamp, call::Side};

use super::{Call, IllegalTransition, Output};

/// What is known of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) absent_since: Option<Timestamp>,
    pub(super) flow: Flow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Unknown,
    Flowing,
    Lost,
}

impl End {
    pub(super) const PRESENT: End = End { absent_since: None, flow: Flow::Unknown };

    const fn is_present(&self) -> bool {
        self.absent_since.is_none()
    }
}

impl Call {
    pub(super) fn media(
        &mut self,
        now: Timestamp,
        side: Side,
        flowing: bool,
    ) -> Result<(), IllegalTransition> {
        if !self.phase().is_answered() {
            let to = if flowing { CallPhase::Connected } else { CallPhase::Reconnecting };
            return Err(IllegalTransition { from: self.phase(), to });
        }
        self.end_mut(side).flow = if flowing { Flow::Flowing } else { Flow::Lost };
        if flowing && self.phase() == CallPhase::Accepted {
            self.enter(now, CallPhase::Connecting);
        }
        if !flowing {
            self.note_reporter(side);
        }
        self.review_path(now);
        Ok(())
    }

    pub(super) fn socket(&mut self, now: Timestamp, side: Side, connected: bool) {
        if connected {
            // What it was told may not have reached it.
            self.warned_of = None;
        }
        let end = self.end_mut(side);
        match (connected, end.is_present()) {
            (true, false) => {
                // What it said before is old; it tells anew.
                *end = End::PRESENT;
            }
            (false, true) => {
                end.absent_since = Some(now);
                self.note_reporter(side);
            }
            (true, true) | (false, false) => return,
        }
        self.review_path(now);
    }

    /// Moves between `connecting`, `connected` and `reconnecting` as the two sides' words demand.
    ///
    /// Media goes straight between the devices, so what counts is the word of the sides that can speak: a side
    /// without a socket neither ends a conversation that the other still hears nor holds up a recovery.
    pub(super) fn review_path(&mut self, now: Timestamp) {
        let present = [self.caller, self.callee].into_iter().filter(End::is_present);
        let (mut heard, mut all_flow, mut any_lost) = (false, true, false);
        for end in present {
            heard = true;
            all_flow &= end.flow == Flow::Flowing;
            any_lost |= end.flow == Flow::Lost;
        }
        match self.phase() {
            CallPhase::Connecting | CallPhase::Reconnecting if heard && all_flow => {
                self.enter(now, CallPhase::Connected);
            }
            CallPhase::Connected if any_lost || !heard => self.enter(now, CallPhase::Reconnecting),
            CallPhase::Connecting
            | CallPhase::Reconnecting
            | CallPhase::Connected
            | CallPhase::Initiated
            | CallPhase::Ringing
            | CallPhase::Accepted
            | CallPhase::Ended
            | CallPhase::Failed
            | CallPhase::Missed => {}
        }
    }

    pub(super) fn tell_reconnecting(&mut self) {
        if self.phase() != CallPhase::Reconnecting {
            self.told = None;
            return;
        }
        let lost = match (self.caller.is_present(), self.callee.is_present()) {
            (true, false) => Side::Callee,
            (false, true) => Side::Caller,
            (true, true) | (false, false) => match (self.caller.flow, self.callee.flow) {
                (Flow::Lost, Flow::Unknown | Flow::Flowing) => Side::Caller,
                (Flow::Unknown | Flow::Flowing, Flow::Lost) => Side::Callee,
                (Flow::Lost, Flow::Lost) | (Flow::Unknown | Flow::Flowing, Flow::Unknown | Flow::Flowing) => {
                    self.reporter
                }
            },
        };
        let until = self.reconnect_until();
        if self.told != Some((lost, until)) {
            self.told = Some((lost, until));
            self.outputs.push_back(Output::Reconnecting { lost, until });
        }
    }

    const fn note_reporter(&mut self, side: Side) {
        if !matches!(self.record.phase, CallPhase::Reconnecting) {
            self.reporter = side;
        }
    }

    const fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }
}
