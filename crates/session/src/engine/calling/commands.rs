//! What the person does with the call: placing, answering, declining, hanging up, muting, the camera.

use bedside_protocol::{
    CallId, CallPhase, CallType, EndReason, UserId,
    call::CallRecord,
    rest::{AcceptCall, CallTicket, DeclineCall, ExtendCall, HangupCall, InitiateCall},
    socket::Request,
};
use bedside_ui_contract::{DeviceKind, Failure, Notice, call::Direction};

use super::{LiveCall, Placing};
use crate::{
    chat::Input,
    engine::{actor::Actor, feeds::Outcome},
    socket::{Socket, SocketError},
};

impl Actor {
    pub(in crate::engine) fn place_call(&mut self, callee: UserId, call_type: CallType) {
        if self.call.as_ref().is_some_and(|call| !call.phase().is_final()) {
            return self.notify(Notice::Failed { failure: Failure::AlreadyInCall });
        }
        let Some(person) = self.people.iter().find(|person| person.user.id == callee) else {
            return self.notify(Notice::Failed { failure: Failure::NotAContact });
        };
        if self.is_blocked(callee) {
            return self.notify(Notice::Failed { failure: Failure::KeyChanged });
        }
        let Some(socket) = self.socket.clone() else { return };
        self.tell_chat(Input::Prepare(callee));
        let call = LiveCall::new(Direction::Outgoing, callee, person.user.name.clone(), call_type);
        self.studio.set_call(Some(call.camera_on));
        let placing = call.placing;
        self.call = Some(call);
        self.feeds.spawn(async move {
            let request = InitiateCall { callee_id: callee, appointment_id: None, call_type };
            Outcome::Placed { placing, answer: socket.ask(Request::InitiateCall(request)).await }
        });
    }

    /// Whether a checked key of somebody changed, and nobody has looked at that yet.
    fn is_blocked(&self, peer: UserId) -> bool {
        let conversation = self.chat.as_ref().and_then(|chat| chat.direct(peer));
        conversation.is_some_and(|conversation| !conversation.changed.is_empty())
    }

    pub(in crate::engine) fn placed(&mut self, placing: Placing, answer: Result<CallTicket, SocketError>) {
        let Some(call) = self.call.as_mut().filter(|call| call.placing == placing) else {
            // The person has gone on without it.
            return if let Ok(ticket) = answer {
                self.abandon(&ticket.call)
            };
        };
        let unplaced = std::mem::take(&mut call.unplaced);
        match answer {
            Ok(ticket) => {
                let hang_up = call.hang_up_when_placed;
                if ticket.call.callee.user_id != call.peer_id {
                    // Both called each other at once: the server made this call the answer to theirs.
                    call.direction = Direction::Incoming;
                }
                call.adopt(ticket.call.clone());
                if hang_up {
                    self.hang_up();
                } else if !call.phase().is_final() {
                    self.start_media(ticket);
                }
            }
            Err(error) => {
                self.call = None;
                self.release_media();
                self.notify_refusal(&error);
            }
        }
        // Where the answer did not come, they say that it rings there.
        for event in unplaced {
            self.call_event(event);
        }
    }

    /// Hangs up a call in which this device takes part by the server's account and nobody does here: the request for it
    /// was given up and came about all the same, or the app was ended in it. The other side should not wait.
    pub(super) fn abandon(&mut self, record: &CallRecord) {
        let here = self.profile.get().device_id;
        let ours = here.is_some() && [record.caller.device_id, record.callee.device_id].contains(&here);
        let crossing = self.call.as_ref().is_some_and(|call| call.may_cross(record));
        if ours && !crossing && !record.phase.is_final() {
            tracing::info!(call = %record.call_id, "a call that nobody takes part in here is hung up");
            let hangup = HangupCall { reason: EndReason::NetworkError, duration: None };
            self.tell(Request::HangupCall { call_id: record.call_id, hangup });
        }
    }

    pub(in crate::engine) fn answer(&mut self, call_type: CallType) {
        let Some(socket) = self.socket.clone() else { return };
        let Some(call) = &mut self.call else { return };
        if call.direction != Direction::Incoming || call.phase() != CallPhase::Ringing || call.answering {
            return;
        }
        let peer = call.peer_id;
        if self.is_blocked(peer) {
            return self.notify(Notice::Failed { failure: Failure::KeyChanged });
        }
        self.rings.answered(peer);
        let Some(call) = &mut self.call else { return };
        call.wanted = call_type;
        call.camera_on = call_type == CallType::Video;
        self.accept(&socket);
    }

    /// Asks the server for the ticket of the call that was answered here. It gives one as often as it is asked.
    fn accept(&mut self, socket: &Socket) {
        let Some(call) = &mut self.call else { return };
        let (Some(call_id), call_type) = (call.id(), call.wanted) else { return };
        call.answering = true;
        self.studio.set_call(Some(call.camera_on));
        let request = Request::AcceptCall { call_id, accept: AcceptCall { call_type } };
        let asked = socket.ask(request);
        self.feeds.spawn(async move { Outcome::Answered { call_id, answer: asked.await } });
    }

    /// The server has the call as answered here. Where the answer to that was given up before it came, the call is taken
    /// up now: whoever called is waiting.
    pub(super) fn take_up(&mut self) {
        let Some(call) = &self.call else { return };
        let waits = call.direction == Direction::Incoming && call.phase().is_answered();
        if !waits || call.answering || call.consultation.is_some() {
            return;
        }
        if self.is_blocked(call.peer_id) {
            self.notify(Notice::Failed { failure: Failure::KeyChanged });
            return self.end_call(EndReason::UserHangup);
        }
        if let Some(socket) = self.socket.clone() {
            self.accept(&socket);
        }
    }

    pub(in crate::engine) fn answered(&mut self, call_id: CallId, answer: Result<CallTicket, SocketError>) {
        let Some(call) = self.call.as_mut().filter(|call| call.is(call_id)) else {
            return if let Ok(ticket) = answer {
                self.abandon(&ticket.call)
            };
        };
        call.answering = false;
        match answer {
            Ok(ticket) => {
                call.adopt(ticket.call.clone());
                if !call.phase().is_final() {
                    self.start_media(ticket);
                }
            }
            Err(SocketError::Offline) if call.phase().is_answered() => self.take_up(),
            Err(error) => {
                self.release_media();
                self.notify_refusal(&error);
            }
        }
    }

    pub(in crate::engine) fn decline(&mut self) {
        let Some(call) = &mut self.call else { return };
        if call.direction != Direction::Incoming || call.phase() != CallPhase::Ringing {
            return;
        }
        if let Some(call_id) = call.id() {
            self.tell(Request::DeclineCall { call_id, decline: DeclineCall::default() });
        }
        self.call = None;
        self.release_media();
    }

    pub(in crate::engine) fn hang_up(&mut self) {
        self.end_call(EndReason::UserHangup);
    }

    /// Ends the call here and tells the server; what it says later only completes the record.
    pub(super) fn end_call(&mut self, reason: EndReason) {
        let Some(call) = &mut self.call else { return };
        if call.direction == Direction::Incoming && call.phase() == CallPhase::Ringing {
            return self.decline();
        }
        let Some(call_id) = call.id() else {
            call.hang_up_when_placed = true;
            return self.release_media();
        };
        let duration = call
            .record()
            .and_then(|record| record.connected_at)
            .map(|connected| crate::clock::now().millis_since(self.times.here(connected)) / 1000);
        call.end_here(reason);
        self.tell(Request::HangupCall { call_id, hangup: HangupCall { reason, duration } });
        self.release_media();
    }

    /// Puts off the end of the call that is near. The server knows a request that comes again by the end that it names.
    pub(in crate::engine) fn extend_call(&mut self) {
        let Some(call) = &self.call else { return };
        let (Some(call_id), Some(warning), Some(socket)) = (call.id(), call.warning(), &self.socket) else {
            return;
        };
        if self.extendable_by_s(call).is_none() {
            return;
        }
        let extend = ExtendCall { ends_at: warning.ends_at };
        let asked = socket.ask(Request::ExtendCall { call_id, extend });
        self.feeds.spawn(async move { Outcome::Extended(asked.await) });
    }

    pub(in crate::engine) fn extended(&mut self, answer: Result<CallRecord, SocketError>) {
        match answer {
            Ok(record) => self.update(record, |_| {}),
            Err(error) => self.notify_refusal(&error),
        }
    }

    /// The app closes: the other side should not wait for a time-out.
    pub(in crate::engine) fn leave_call(&mut self) {
        if self.call.as_ref().is_some_and(|call| !call.phase().is_final()) {
            self.hang_up();
        }
        self.release_media();
    }

    /// The account goes away, and with it whatever call there was.
    pub(in crate::engine) fn leave_call_for_good(&mut self) {
        self.leave_call();
        self.call = None;
    }

    pub(in crate::engine) fn dismiss_call(&mut self) {
        if self.call.as_ref().is_some_and(|call| call.phase().is_final()) {
            self.call = None;
        }
    }

    pub(in crate::engine) fn set_muted(&mut self, muted: bool) {
        let Some(call) = &mut self.call else { return };
        call.muted = muted;
        if let Some(consultation) = &call.consultation {
            consultation.set_muted(muted);
        }
    }

    pub(in crate::engine) fn set_camera_on(&mut self, on: bool) {
        // A call that is over opens no device.
        let Some(call) = self.call.as_mut().filter(|call| !call.phase().is_final()) else { return };
        let had = call.has_picture();
        call.camera_on = on;
        if let Some(consultation) = &call.consultation {
            consultation.set_camera(on);
        }
        self.studio.set_call(Some(on));
        if !on {
            self.forget_trouble(DeviceKind::Camera);
        }
        self.follow_pictures(had);
    }

    /// A call is a video call from the first picture on, and a voice call again with the last: both sides see to it, and
    /// what is said twice changes nothing.
    pub(super) fn follow_pictures(&self, had: bool) {
        let Some(call) = self.call.as_ref().filter(|call| call.has_picture() != had) else { return };
        let call_type = if had { CallType::Voice } else { CallType::Video };
        let other = |record: &&CallRecord| record.call_type != call_type && record.phase.is_answered();
        if let Some(call_id) = call.record().filter(other).map(|record| record.call_id) {
            self.tell(Request::SwitchType { call_id, call_type });
        }
    }
}
