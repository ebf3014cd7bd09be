//! What the server says of calls, and what holds while it says nothing.

use std::time::Duration;

use bedside_call::CallLimits;
use bedside_protocol::{
    CallPhase, DeviceId, EndReason,
    call::CallRecord,
    socket::{Event, Request},
};
use bedside_ui_contract::{Notice, call::Direction, snapshot::ConnectionView};
use tokio::time::Instant;

use super::{LiveCall, Warning};
use crate::{chat::Input, consultation::Consultation, engine::actor::Actor, socket::SocketError};

/// How long a callee without a line to the server goes on ringing.
const RING_LIMIT: Duration = Duration::from_secs(60);
/// The same with a line: no server that is in order lets a call ring for as long as this.
const LONGEST_RING: Duration = Duration::from_secs(660);

impl LiveCall {
    fn rings_too_long(&self, online: bool) -> bool {
        self.clock.elapsed() > if online { LONGEST_RING } else { RING_LIMIT }
    }
}

impl Actor {
    pub(in crate::engine) fn call_event(&mut self, event: Event) {
        let event = match &mut self.call {
            Some(call) => call.keep_until_placed(event),
            None => Some(event),
        };
        let Some(event) = event else { return };
        match event {
            Event::CallRinging { call } => self.rings(call),
            Event::CallAccepted { call, by_device } => self.accepted(call, by_device),
            Event::CallConnecting { call } | Event::CallConnected { call } => {
                self.update(call, |live| live.reconnect_until = None);
            }
            Event::CallReconnecting { call, until, .. } => {
                self.update(call, |live| live.reconnect_until = Some(until));
            }
            Event::CallTypeChanged { call, .. } => self.update(call, |_| {}),
            Event::CallExpiring { call_id, ends_at, extends_to } => {
                if let Some(live) = self.call.as_mut().filter(|live| live.is(call_id)) {
                    live.warning = Some(Warning { ends_at, extends_to });
                }
            }
            Event::CallExtended { call, .. } => self.put_off(call),
            Event::CallBusy { call } => {
                self.notify(Notice::PeerBusy { name: call.callee.name.reveal().clone() });
                self.over(call);
            }
            Event::CallDeclined { call } | Event::CallEnded { call, .. } | Event::CallMissed { call } => {
                self.over(call);
            }
            Event::CallError { problem, .. } => self.notify_refusal(&SocketError::Refused(problem)),
            // Not of calls.
            _ => {}
        }
    }

    fn rings(&mut self, record: CallRecord) {
        if self.call.as_ref().is_some_and(|call| call.is(record.call_id)) {
            return self.update(record, |_| {});
        }
        if self.user_id() != Some(record.callee.user_id) {
            // A call of this device that nobody waits for any more.
            return self.abandon(&record);
        }
        if self.call.as_ref().is_some_and(|call| !call.phase().is_final()) {
            return;
        }
        let caller = record.caller.clone();
        if !self.rings.rings(caller.user_id, Instant::now().into_std()) {
            tracing::warn!("a call does not ring: there were too many");
            return self.notify(Notice::NotRung { name: caller.name.reveal().clone() });
        }
        let mut call = LiveCall::new(Direction::Incoming, caller.user_id, caller.name, record.call_type);
        call.adopt(record);
        let peer = call.peer_id;
        self.call = Some(call);
        self.tell_chat(Input::Prepare(peer));
    }

    fn accepted(&mut self, record: CallRecord, by_device: DeviceId) {
        let here = self.profile.get().device_id == Some(by_device);
        let Some(call) = self.call.as_mut().filter(|call| call.is(record.call_id)) else {
            return self.abandon(&record);
        };
        if call.direction == Direction::Incoming && !here {
            self.call = None;
            self.release_media();
            return self.notify(Notice::AnsweredElsewhere);
        }
        let caller = call.direction == Direction::Outgoing;
        call.adopt(record);
        if let Some(consultation) = call.consultation.as_ref().filter(|_| caller) {
            consultation.offer();
        }
        self.take_up();
    }

    pub(super) fn update(&mut self, record: CallRecord, change: impl FnOnce(&mut LiveCall)) {
        if let Some(call) = self.call.as_mut().filter(|call| call.is(record.call_id)) {
            call.adopt(record);
            change(call);
        }
    }

    /// The call may last longer: its record has the new end.
    fn put_off(&mut self, record: CallRecord) {
        let ours = self.call.as_ref().is_some_and(|call| call.is(record.call_id));
        if let Some(ends_at) = record.ends_at.filter(|_| ours) {
            self.forget_extension();
            self.notify(Notice::CallExtended { ends_at });
        }
        self.update(record, |_| {});
    }

    /// Of several extensions the newest counts, and of a call that is over none.
    pub(in crate::engine) fn forget_extension(&mut self) {
        self.notices.retain(|shown| !matches!(shown.notice, Notice::CallExtended { .. }));
    }

    fn over(&mut self, record: CallRecord) {
        let Some(call) = self.call.as_mut().filter(|call| call.is(record.call_id)) else {
            if self.user_id() == Some(record.callee.user_id) && record.phase == CallPhase::Missed {
                self.notify(Notice::MissedCall { name: record.caller.name.reveal().clone() });
            }
            return;
        };
        let unanswered = call.direction == Direction::Incoming && record.accepted_at.is_none();
        let missed = unanswered && record.end_reason != Some(EndReason::CalleeDeclined);
        let name = call.peer_name.reveal().clone();
        call.reconnect_until = None;
        call.adopt(record);
        if unanswered {
            self.call = None;
        }
        if missed {
            self.notify(Notice::MissedCall { name });
        }
        self.release_media();
        if self.history.page > 0 || self.history.loading {
            self.load_history(1);
        }
    }

    /// After a new line to the server: what it says of calls is what is true.
    pub(in crate::engine) fn reconcile_call(&mut self, calls: &[CallRecord]) {
        let mine = self.call.as_ref().and_then(LiveCall::id);
        for record in calls {
            if Some(record.call_id) == mine {
                self.update(record.clone(), |_| {});
                self.take_up();
                // A server that was restarted does not know whether media flows.
                if self.call.as_ref().is_some_and(|call| call.flowing && call.phase().is_answered()) {
                    self.tell(Request::CallMedia { call_id: record.call_id, flowing: true });
                }
            } else if record.phase == CallPhase::Ringing {
                self.call_event(Event::CallRinging { call: record.clone() });
            } else {
                // This process has no part in it: the app was ended in it, say.
                self.abandon(record);
            }
        }
        let gone = mine.is_some_and(|id| calls.iter().all(|record| record.call_id != id));
        if let Some(call) = self.call.as_mut().filter(|call| gone && !call.phase().is_final()) {
            call.end_here(EndReason::NetworkError);
            if call.direction == Direction::Incoming && !call.answering {
                self.call = None;
            }
            self.release_media();
        }
    }

    /// The server keeps the deadlines; without it this device keeps them itself. It never rings for ever.
    pub(in crate::engine) fn check_deadlines(&mut self) {
        let online = self.connection == ConnectionView::Online;
        let Some(call) = &mut self.call else { return };
        let answered_limit = Duration::from_millis(CallLimits::default().reconnect_ms);
        match call.phase() {
            CallPhase::Initiated | CallPhase::Ringing if call.rings_too_long(online) => {
                call.end_here(EndReason::NetworkError);
                if call.direction == Direction::Incoming {
                    self.call = None;
                }
                self.release_media();
            }
            CallPhase::Accepted | CallPhase::Connecting | CallPhase::Connected | CallPhase::Reconnecting
                if !online =>
            {
                let lost = call.consultation.as_ref().and_then(Consultation::lost_for);
                if lost.is_some_and(|lost| lost > answered_limit) {
                    self.end_call(EndReason::NetworkError);
                }
            }
            CallPhase::Initiated
            | CallPhase::Ringing
            | CallPhase::Accepted
            | CallPhase::Connecting
            | CallPhase::Connected
            | CallPhase::Reconnecting
            | CallPhase::Ended
            | CallPhase::Failed
            | CallPhase::Missed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bedside_protocol::{CallType, UserId};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn how_long_a_call_has_rung_is_not_read_from_a_clock_that_somebody_may_set() {
        // The clock of the system stands still here.
        let name = "Ana".into();
        let call = LiveCall::new(Direction::Incoming, UserId::random(), name, CallType::Voice);
        tokio::time::advance(RING_LIMIT).await;
        assert!(!call.rings_too_long(false));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(call.rings_too_long(false));
        assert!(!call.rings_too_long(true), "the server says when");
        tokio::time::advance(LONGEST_RING).await;
        assert!(call.rings_too_long(true));
    }
}
