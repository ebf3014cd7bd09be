//! The one call of this device: placing, ringing, answering, its media, its end.
//!
//! The phases are those of [`bedside_call::Call`], the machine that the server runs too. Here it follows the server's
//! records and runs ahead of them only where the person acts: hanging up is seen at once.

use std::time::Duration;

use bedside_call::{Call, CallLimits, machine::Input};
use bedside_protocol::{
    CallId, CallPhase, CallType, EndReason, Pii, Sealed, Timestamp, UserId,
    call::{CallRecord, Side},
    quality::{QualityClass, QualityMetrics},
    rest::{AcceptCall, CallTicket, DeclineCall, HangupCall, InitiateCall},
    socket::{Event, Request},
};
use bedside_ui_contract::{Failure, Notice, StatsSample, call::Direction, snapshot::ConnectionView};

use super::actor::{Actor, Outcome};
use crate::{
    api::Api,
    consultation::{Consultation, ConsultationConfig, ConsultationEvent, Report},
    peer::NetworkOptions,
    signal::{self, Numbering, Signal, SignalBody},
    socket::SocketError,
};

/// Quality metrics are handed in this many at a time.
const METRICS_BATCH: usize = 5;

/// Signals that may arrive before the peer connection exists; more come from nobody honest.
const MOST_EARLY_SIGNALS: usize = 64;

/// How long a callee without a line to the server goes on ringing, ms.
const RING_LIMIT_MS: u64 = 60_000;

/// The call this device is in, rings for, or has just left.
pub(super) struct LiveCall {
    pub(super) direction: Direction,
    pub(super) peer_id: UserId,
    pub(super) peer_name: Pii<String>,
    pub(super) wanted: CallType,
    /// Absent until the server has given the call its id.
    pub(super) machine: Option<Call>,
    pub(super) muted: bool,
    pub(super) camera_on: bool,
    pub(super) peer_muted: bool,
    pub(super) peer_camera_on: bool,
    pub(super) reconnect_until: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) quality: Option<QualityClass>,
    pub(super) video_paused: bool,
    began: Timestamp,
    consultation: Option<Consultation>,
    numbering: Numbering,
    early: Vec<SignalBody>,
    /// The person hung up before the server had answered.
    hang_up_when_placed: bool,
    /// Answered here; the ticket is under way.
    answering: bool,
    /// Media comes from the other side.
    flowing: bool,
    metrics: Vec<QualityMetrics>,
}

impl LiveCall {
    fn new(direction: Direction, peer_id: UserId, peer_name: Pii<String>, wanted: CallType) -> Self {
        Self {
            direction,
            peer_id,
            peer_name,
            wanted,
            machine: None,
            muted: false,
            camera_on: wanted == CallType::Video,
            peer_muted: false,
            peer_camera_on: false,
            reconnect_until: None,
            expires_at: None,
            quality: None,
            video_paused: false,
            began: crate::clock::now(),
            consultation: None,
            numbering: Numbering::default(),
            early: Vec::new(),
            hang_up_when_placed: false,
            answering: false,
            flowing: false,
            metrics: Vec::new(),
        }
    }

    /// The call's id, once the server has given one.
    pub(super) fn id(&self) -> Option<CallId> {
        self.machine.as_ref().map(|call| call.record().call_id)
    }

    /// Where the call stands.
    pub(super) fn phase(&self) -> CallPhase {
        match &self.machine {
            Some(call) => call.phase(),
            None if self.hang_up_when_placed => CallPhase::Ended,
            None => CallPhase::Initiated,
        }
    }

    /// The call as the server last told it.
    pub(super) fn record(&self) -> Option<&CallRecord> {
        self.machine.as_ref().map(Call::record)
    }

    /// Which end this device is.
    pub(super) const fn side(&self) -> Side {
        match self.direction {
            Direction::Outgoing => Side::Caller,
            Direction::Incoming => Side::Callee,
        }
    }

    /// The machine's address changed: media must find a new path.
    pub(super) fn network_changed(&self) {
        if let Some(consultation) = &self.consultation {
            consultation.network_changed();
        }
    }

    fn is(&self, call_id: CallId) -> bool {
        self.id() == Some(call_id)
    }

    /// Whether `record` is this call. Events may overtake the answer that gives an outgoing call its id.
    fn matches(&self, record: &CallRecord) -> bool {
        match self.id() {
            Some(id) => id == record.call_id,
            None => self.direction == Direction::Outgoing && record.callee.user_id == self.peer_id,
        }
    }

    fn adopt(&mut self, record: CallRecord) {
        match &mut self.machine {
            Some(call) => {
                if let Err(refused) = call.adopt(crate::clock::now(), record) {
                    tracing::debug!(%refused, "a late record of the call was passed over");
                }
                while call.poll_output().is_some() {}
            }
            None => self.machine = Some(Call::new(crate::clock::now(), record, CallLimits::default())),
        }
    }

    fn end_here(&mut self, reason: EndReason) {
        let by = self.side();
        if let Some(call) = &mut self.machine {
            // A call that is over already stays as it ended.
            let _ = call.handle(crate::clock::now(), Input::HangUp { by, reason });
            while call.poll_output().is_some() {}
        }
    }
}

impl Actor {
    pub(super) fn place_call(&mut self, callee: UserId, call_type: CallType) {
        if self.call.as_ref().is_some_and(|call| !call.phase().is_final()) {
            return self.notify(Notice::Failed { failure: Failure::AlreadyInCall });
        }
        let Some(person) = self.people.iter().find(|person| person.user.id == callee) else {
            return self.notify(Notice::Failed { failure: Failure::NotAContact });
        };
        let Some(socket) = self.socket.clone() else { return };
        let call = LiveCall::new(Direction::Outgoing, callee, person.user.name.clone(), call_type);
        self.studio.set_call(Some(call.camera_on));
        self.call = Some(call);
        self.spawn(async move {
            let request = InitiateCall { callee_id: callee, appointment_id: None, call_type };
            Outcome::Placed(socket.ask(Request::InitiateCall(request)).await)
        });
    }

    pub(super) fn placed(&mut self, answer: Result<CallTicket, SocketError>) {
        let Some(call) = &mut self.call else { return };
        match answer {
            Ok(ticket) => {
                let hang_up = call.hang_up_when_placed;
                if ticket.call.callee.user_id != call.peer_id {
                    // Both called each other at once: the server made this call the answer to theirs.
                    call.direction = Direction::Incoming;
                }
                call.adopt(ticket.call.clone());
                if hang_up {
                    return self.hang_up();
                }
                if self.call.as_ref().is_some_and(|call| !call.phase().is_final()) {
                    self.start_media(ticket);
                }
            }
            Err(error) => {
                self.call = None;
                self.release_media();
                self.notify_refusal(&error);
            }
        }
    }

    pub(super) fn answer(&mut self, call_type: CallType) {
        let Some(socket) = self.socket.clone() else { return };
        let Some(call) = &mut self.call else { return };
        let Some(call_id) = call.id() else { return };
        if call.direction != Direction::Incoming || call.phase() != CallPhase::Ringing || call.answering {
            return;
        }
        call.answering = true;
        call.wanted = call_type;
        call.camera_on = call_type == CallType::Video;
        let camera_on = call.camera_on;
        self.studio.set_call(Some(camera_on));
        self.spawn(async move {
            let request = Request::AcceptCall { call_id, accept: AcceptCall { call_type } };
            Outcome::Answered(socket.ask(request).await)
        });
    }

    pub(super) fn answered(&mut self, answer: Result<CallTicket, SocketError>) {
        match answer {
            Ok(ticket) => {
                if let Some(call) = self.call.as_mut().filter(|call| call.is(ticket.call_id)) {
                    call.adopt(ticket.call.clone());
                    if !call.phase().is_final() {
                        self.start_media(ticket);
                    }
                }
            }
            Err(error) => {
                if let Some(call) = &mut self.call {
                    call.answering = false;
                }
                self.release_media();
                self.notify_refusal(&error);
            }
        }
    }

    pub(super) fn decline(&mut self) {
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

    pub(super) fn hang_up(&mut self) {
        self.end_call(EndReason::UserHangup);
    }

    /// Ends the call here and tells the server; what it says later only completes the record.
    fn end_call(&mut self, reason: EndReason) {
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
            .map(|connected| crate::clock::now().millis_since(connected) / 1000);
        call.end_here(reason);
        self.tell(Request::HangupCall { call_id, hangup: HangupCall { reason, duration } });
        self.release_media();
    }

    /// The account goes away or the app closes: the other side should not wait for a time-out.
    pub(super) fn leave_call_for_good(&mut self) {
        if self.call.as_ref().is_some_and(|call| !call.phase().is_final()) {
            self.hang_up();
        }
        self.call = None;
        self.release_media();
    }

    pub(super) fn dismiss_call(&mut self) {
        if self.call.as_ref().is_some_and(|call| call.phase().is_final()) {
            self.call = None;
        }
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        let Some(call) = &mut self.call else { return };
        call.muted = muted;
        if let Some(consultation) = &call.consultation {
            consultation.set_muted(muted);
        }
    }

    pub(super) fn set_camera_on(&mut self, on: bool) {
        let Some(call) = &mut self.call else { return };
        call.camera_on = on;
        if let Some(consultation) = &call.consultation {
            consultation.set_camera(on);
        }
        let switch = call
            .record()
            .filter(|record| on && record.call_type == CallType::Voice && record.phase.is_answered())
            .map(|record| record.call_id);
        self.studio.set_call(Some(on));
        if let Some(call_id) = switch {
            self.tell(Request::SwitchType { call_id, call_type: CallType::Video });
        }
    }

    pub(super) fn call_event(&mut self, event: Event) {
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
            Event::CallExpiring { call_id, ends_at } => {
                if let Some(live) = self.call.as_mut().filter(|live| live.is(call_id)) {
                    live.expires_at = Some(ends_at);
                }
            }
            Event::CallBusy { call } => {
                self.notify(Notice::PeerBusy { name: call.callee.name.reveal().clone() });
                self.over(call);
            }
            Event::CallDeclined { call } | Event::CallEnded { call, .. } | Event::CallMissed { call } => {
                self.over(call);
            }
            Event::CallError { problem, .. } => self.notify_refusal(&SocketError::Refused(problem)),
            Event::Offer(signal) | Event::Answer(signal) | Event::Ice(signal) => {
                self.signal_arrived(signal.call_id, &signal.payload);
            }
            Event::PresenceUpdate(_)
            | Event::UserOnline { .. }
            | Event::UserOffline { .. }
            | Event::ContactsChanged
            | Event::GoingAway { .. } => {}
        }
    }

    fn rings(&mut self, record: CallRecord) {
        if self.call.as_ref().is_some_and(|call| call.matches(&record)) {
            return self.update(record, |_| {});
        }
        if self.user_id() != Some(record.callee.user_id) {
            return;
        }
        if self.call.as_ref().is_some_and(|call| !call.phase().is_final()) {
            return;
        }
        let caller = record.caller.clone();
        let mut call = LiveCall::new(Direction::Incoming, caller.user_id, caller.name, record.call_type);
        call.adopt(record);
        self.call = Some(call);
    }

    fn accepted(&mut self, record: CallRecord, by_device: bedside_protocol::DeviceId) {
        let here = self.profile.get().device_id == Some(by_device);
        let Some(call) = self.call.as_mut().filter(|call| call.matches(&record)) else { return };
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
    }

    fn update(&mut self, record: CallRecord, change: impl FnOnce(&mut LiveCall)) {
        if let Some(call) = self.call.as_mut().filter(|call| call.matches(&record)) {
            call.adopt(record);
            change(call);
        }
    }

    fn over(&mut self, record: CallRecord) {
        let Some(call) = self.call.as_mut().filter(|call| call.matches(&record)) else {
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
        if self.history.page > 0 {
            self.load_history(1);
        }
    }

    /// After a new line to the server: what it says of calls is what is true.
    pub(super) fn reconcile_call(&mut self, calls: &[CallRecord]) {
        let mine = self.call.as_ref().and_then(LiveCall::id);
        for record in calls {
            let here = self.profile.get().device_id;
            let answered_here = record.callee.device_id == here || record.caller.device_id == here;
            if Some(record.call_id) == mine {
                self.update(record.clone(), |_| {});
                // A server that was restarted does not know whether media flows.
                if self.call.as_ref().is_some_and(|call| call.flowing && call.phase().is_answered()) {
                    self.tell(Request::CallMedia { call_id: record.call_id, flowing: true });
                }
            } else if record.phase == CallPhase::Ringing {
                self.rings(record.clone());
            } else if answered_here && record.phase.is_answered() {
                // This process has no media of that call: the app was killed in it. The other side should not wait.
                let hangup = HangupCall { reason: EndReason::NetworkError, duration: None };
                self.tell(Request::HangupCall { call_id: record.call_id, hangup });
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

    fn start_media(&mut self, ticket: CallTicket) {
        let network = self.network_for_call();
        let Some(call) = &mut self.call else { return };
        if call.consultation.is_some() {
            return;
        }
        let config = ConsultationConfig {
            call_id: ticket.call_id,
            side: call.side(),
            ice_servers: ticket.ice_servers,
            network,
            muted: call.muted,
            camera_on: call.camera_on,
            camera: self.studio.self_view(),
            remote: self.outlets.remote.clone(),
            tap: self.tap.clone(),
        };
        let (consultation, audio) = Consultation::start(config, self.media_events.clone());
        self.studio.attach(audio);
        for body in call.early.drain(..) {
            consultation.signal(body);
        }
        if call.direction == Direction::Outgoing && call.phase().is_answered() {
            consultation.offer();
        }
        call.consultation = Some(consultation);
    }

    /// A server on this very machine means that the other side may be here too: loopback takes part then.
    fn network_for_call(&self) -> NetworkOptions {
        let mut network = self.network.clone();
        if self.api.as_ref().is_some_and(Api::is_loopback) {
            network.bind.extend(NetworkOptions::loopback().bind);
        }
        network
    }

    fn release_media(&mut self) {
        if let Some(call) = &mut self.call {
            call.consultation = None;
            call.quality = None;
        }
        self.studio.detach();
        self.studio.set_call(None);
        self.outlets.remote.send_replace(None);
    }

    fn signal_arrived(&mut self, call_id: CallId, payload: &Sealed) {
        let Some(call) = self.call.as_mut().filter(|call| call.is(call_id)) else { return };
        let signal = match signal::open(payload) {
            Ok(signal) => signal,
            Err(error) => return tracing::warn!(%error, "a signal was refused"),
        };
        if !call.numbering.accept(&signal) {
            return;
        }
        match &call.consultation {
            Some(consultation) => consultation.signal(signal.body),
            None if call.early.len() < MOST_EARLY_SIGNALS => call.early.push(signal.body),
            None => tracing::warn!("too many signals before the call was answered"),
        }
    }

    pub(super) fn media_event(&mut self, event: ConsultationEvent) {
        let Some(call) = self.call.as_mut().filter(|call| call.is(event.call_id)) else { return };
        match event.report {
            Report::Signal(body) => {
                let signal: Signal = call.numbering.next(body);
                let wire = bedside_protocol::socket::Signal {
                    call_id: event.call_id,
                    from_device: None,
                    payload: signal::seal(&signal),
                };
                self.tell(match signal.body {
                    SignalBody::Offer { .. } => Request::Offer(wire),
                    SignalBody::Answer { .. } => Request::Answer(wire),
                    SignalBody::Candidates { .. } | SignalBody::RestartIce => Request::Ice(wire),
                });
            }
            Report::Flowing(flowing) => {
                call.flowing = flowing;
                if flowing {
                    call.reconnect_until = None;
                }
                self.tell(Request::CallMedia { call_id: event.call_id, flowing });
            }
            Report::PeerControls { muted, camera_on } => {
                call.peer_muted = muted;
                call.peer_camera_on = camera_on;
            }
            Report::VideoPaused(paused) => call.video_paused = paused,
            Report::Second { sample, metrics } => self.second_measured(event.call_id, *sample, *metrics),
            Report::Failed => self.end_call(EndReason::ConnectionFailed),
        }
    }

    fn second_measured(&mut self, call_id: CallId, sample: StatsSample, metrics: QualityMetrics) {
        let Some(call) = &mut self.call else { return };
        call.quality = match (sample.audio_quality, sample.video_quality) {
            (Some(audio), Some(video)) => Some(audio.min(video)),
            (audio, video) => audio.or(video),
        };
        // Nobody may be looking; that is no fault.
        let _ = self.outlets.stats.send(sample);
        call.metrics.push(metrics);
        if call.metrics.len() >= METRICS_BATCH {
            let batch = std::mem::take(&mut call.metrics);
            if let Some(api) = self.api.clone() {
                tokio::spawn(async move {
                    if let Err(error) = api.post_quality(call_id, &batch).await {
                        tracing::debug!(%error, "quality metrics were not taken");
                    }
                });
            }
        }
    }

    /// The server keeps the deadlines; without it this device keeps them itself.
    pub(super) fn check_deadlines(&mut self) {
        if self.connection == ConnectionView::Online {
            return;
        }
        let Some(call) = &mut self.call else { return };
        let now = crate::clock::now();
        let answered_limit = Duration::from_millis(CallLimits::default().reconnect_ms);
        match call.phase() {
            CallPhase::Initiated | CallPhase::Ringing if now.millis_since(call.began) > RING_LIMIT_MS => {
                call.end_here(EndReason::NetworkError);
                if call.direction == Direction::Incoming {
                    self.call = None;
                }
                self.release_media();
            }
            CallPhase::Accepted | CallPhase::Connecting | CallPhase::Connected | CallPhase::Reconnecting => {
                let lost = call.consultation.as_ref().and_then(Consultation::lost_for);
                if lost.is_some_and(|lost| lost > answered_limit) {
                    self.end_call(EndReason::NetworkError);
                }
            }
            CallPhase::Initiated
            | CallPhase::Ringing
            | CallPhase::Ended
            | CallPhase::Failed
            | CallPhase::Missed => {}
        }
    }
}
