//! Who is told what when a call moves.
//!
//! The caller's side is the calling device. The callee's side is every device of theirs until the call is
//! answered (that event included, so that the others stop ringing), and the answering device from then on. Each
//! of them gets exactly one event that says the call is over.

use bedside_protocol::{
    CallId, CallPhase, EndReason, Timestamp,
    call::{CallRecord, Party},
    socket::Event,
};

use super::{Actor, Exchange, Output, Recipient};
use crate::{CallLimits, machine};

impl Exchange {
    /// Turns what a call's machine put out into what the owner has to do.
    pub(super) fn drain(&mut self, now: Timestamp, call_id: CallId) {
        let Some(entry) = self.calls.get_mut(&call_id) else { return };
        let mut moves = Vec::new();
        while let Some(output) = entry.call.poll_output() {
            moves.push(output);
        }
        if entry.call.phase().is_final() && entry.forget_at.is_none() {
            entry.forget_at = Some(now.plus_millis(CallLimits::LINGER_MS));
        }
        let record = entry.call.record().clone();
        for output in moves {
            match output {
                machine::Output::Moved { from, to } => self.moved(&record, from, to),
                machine::Output::Reconnecting { lost, until } => {
                    self.send_both(&record, Event::CallReconnecting { call: record.clone(), lost, until });
                }
                machine::Output::TypeChanged { by } => {
                    self.outputs.push_back(Output::Persist(Box::new(record.clone())));
                    self.send_both(&record, Event::CallTypeChanged { call: record.clone(), by });
                }
                machine::Output::Expiring { ends_at, extends_to } => {
                    self.send_both(&record, Event::CallExpiring { call_id, ends_at, extends_to });
                }
                machine::Output::Extended { by } => {
                    self.outputs.push_back(Output::Persist(Box::new(record.clone())));
                    self.send_both(&record, Event::CallExtended { call: record.clone(), by });
                }
            }
        }
    }

    /// `record` is the call as it stands now; a move that another one followed at once is told as it was.
    fn moved(&mut self, record: &CallRecord, from: CallPhase, to: CallPhase) {
        let mut call = record.clone();
        if record.phase != to {
            call.phase = to;
            call.end_reason = None;
            call.ended_at = None;
            call.duration_s = 0;
        }
        self.outputs.push_back(Output::Persist(Box::new(call.clone())));
        match to {
            CallPhase::Initiated => {}
            CallPhase::Ringing => self.send_both(record, Event::CallRinging { call }),
            CallPhase::Accepted => {
                let Some(by_device) = call.callee.device_id else { return };
                let callee = call.callee.user_id;
                self.outputs.push_back(Output::Presence { user: callee, call: Some(call.call_id) });
                self.send(Self::caller_of(record), Event::CallAccepted { call: call.clone(), by_device });
                self.send(Some(Recipient::User(callee)), Event::CallAccepted { call, by_device });
            }
            CallPhase::Connecting => self.send_both(record, Event::CallConnecting { call }),
            CallPhase::Connected => self.send_both(record, Event::CallConnected { call }),
            // Told with its deadline by the output that follows.
            CallPhase::Reconnecting => {}
            CallPhase::Ended | CallPhase::Failed | CallPhase::Missed => self.ended(call, from),
        }
    }

    fn ended(&mut self, call: CallRecord, from: CallPhase) {
        let reason = call.end_reason.unwrap_or(EndReason::Missed);
        let over = match reason {
            EndReason::CalleeDeclined => Event::CallDeclined { call: call.clone() },
            EndReason::Missed => Event::CallMissed { call: call.clone() },
            EndReason::Busy
            | EndReason::UserHangup
            | EndReason::NetworkError
            | EndReason::Timeout
            | EndReason::ConnectionFailed
            | EndReason::MaxDuration
            | EndReason::Removed
            | EndReason::ServerShutdown => Event::CallEnded { call: call.clone(), reason },
        };
        let busy = reason == EndReason::Busy;
        let to_caller = if busy { Event::CallBusy { call: call.clone() } } else { over.clone() };
        // Whom it never rang for is told that they missed a call while in another one.
        let unheard = busy && from == CallPhase::Initiated;
        let to_callee = if unheard { Event::CallMissed { call: call.clone() } } else { over };
        self.send(Self::caller_of(&call), to_caller);
        self.send(Some(Self::callee_of(&call)), to_callee);
        for user in [call.caller.user_id, call.callee.user_id] {
            let was_busy = user == call.caller.user_id || call.accepted_at.is_some();
            if self.people.free(user, call.call_id) && was_busy {
                self.outputs.push_back(Output::Presence { user, call: None });
            }
        }
    }

    fn send_both(&mut self, record: &CallRecord, event: Event) {
        self.send(Self::caller_of(record), event.clone());
        self.send(Some(Self::callee_of(record)), event);
    }

    fn send(&mut self, to: Option<Recipient>, event: Event) {
        if let Some(to) = to {
            self.outputs.push_back(Output::Send { to, event: Box::new(event) });
        }
    }

    fn caller_of(record: &CallRecord) -> Option<Recipient> {
        device_of(&record.caller)
    }

    fn callee_of(record: &CallRecord) -> Recipient {
        device_of(&record.callee).unwrap_or(Recipient::User(record.callee.user_id))
    }
}

fn device_of(party: &Party) -> Option<Recipient> {
    party.device_id.map(|device| Recipient::Device(Actor { user: party.user_id, device }))
}
