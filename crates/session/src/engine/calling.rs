//! The one call of this device: what the person does with it ([`commands`]), what the server says of it ([`events`]),
//! its [`media`].
//!
//! The phases are those of [`bedside_call::Call`], the machine that the server runs too. Here it follows the server's
//! records and runs ahead of them only where the person acts: hanging up is seen at once.

mod commands;
mod events;
mod measured;
mod media;
mod quality;

use bedside_call::{Call, CallLimits, machine::Input};
use bedside_e2ee::PublicIdentity;
use bedside_protocol::{
    CallId, CallPhase, CallType, EndReason, Pii, Timestamp, UserId,
    call::{CallRecord, Side},
    socket::Event,
};
use bedside_ui_contract::call::Direction;
use uuid::Uuid;

pub(super) use measured::Measured;
use quality::Quality;

use crate::{
    clock::Steady,
    consultation::{Consultation, FrameKeys},
    signal::SignalBody,
};

/// What may come before its time; more comes from nobody honest.
const MOST_EARLY: usize = 64;

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
    pub(super) peer_video_paused: bool,
    pub(super) reconnect_until: Option<Timestamp>,
    /// What was said last of the end that is near.
    pub(super) warning: Option<Warning>,
    pub(super) quality: Quality,
    pub(super) video_paused: bool,
    /// By which the machine runs. Nobody sets it, and the machine looks only at how long things take.
    clock: Steady,
    placing: Placing,
    consultation: Option<Consultation>,
    /// The other side's device: the first that spoke. Nobody else of theirs takes part.
    peer_device: Option<PublicIdentity>,
    /// What the other side said before there was a consultation to tell.
    early: Vec<SignalBody>,
    /// What the server said before its answer gave the call its id: of this call, or of one before it.
    unplaced: Vec<Event>,
    /// What frames are sealed with, and this device's place among those who have it.
    frame_keys: Option<FrameKeys>,
    /// The person hung up before the server had answered.
    hang_up_when_placed: bool,
    /// Answered here; the ticket is asked for.
    pub(super) answering: bool,
    /// The other end could not prove to be the other person.
    pub(super) not_authentic: bool,
    /// Media comes from the other side.
    flowing: bool,
}

/// Which attempt to call somebody: its answer may come when the person is in another call, or in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placing(Uuid);

/// The end of the call is near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    pub(super) ends_at: Timestamp,
    /// Where a clinician may move it.
    pub(super) extends_to: Option<Timestamp>,
}

impl Warning {
    /// By how much a clinician may put the end off, s.
    pub(super) fn extendable_by_s(&self) -> Option<u32> {
        let millis = self.extends_to?.millis_since(self.ends_at);
        u32::try_from(millis / 1000).ok().filter(|seconds| *seconds > 0)
    }
}

impl Placing {
    fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl LiveCall {
    pub(super) fn new(
        direction: Direction,
        peer_id: UserId,
        peer_name: Pii<String>,
        wanted: CallType,
    ) -> Self {
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
            peer_video_paused: false,
            reconnect_until: None,
            warning: None,
            quality: Quality::default(),
            video_paused: false,
            clock: Steady::start(),
            placing: Placing::new(),
            consultation: None,
            peer_device: None,
            early: Vec::new(),
            unplaced: Vec::new(),
            frame_keys: None,
            hang_up_when_placed: false,
            answering: false,
            not_authentic: false,
            flowing: false,
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

    /// The end that is near; nothing once it was put off.
    pub(super) fn warning(&self) -> Option<Warning> {
        let ends_at = self.record().and_then(|record| record.ends_at);
        self.warning.filter(|warning| ends_at.is_none_or(|ends_at| ends_at <= warning.ends_at))
    }

    /// Which end this device is.
    pub(super) const fn side(&self) -> Side {
        match self.direction {
            Direction::Outgoing => Side::Caller,
            Direction::Incoming => Side::Callee,
        }
    }

    /// Whether anybody's picture is on, as far as is known.
    pub(super) const fn has_picture(&self) -> bool {
        self.camera_on || self.peer_camera_on
    }

    /// Whether both sides seal frames.
    pub(super) fn frames_sealed(&self) -> bool {
        self.consultation.as_ref().is_some_and(Consultation::frames_sealed)
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

    /// Keeps an event that overtook the answer which will say whether it is of this call. Gives back any other.
    fn keep_until_placed(&mut self, event: Event) -> Option<Event> {
        let may_be_this = |record: &CallRecord| record.callee.user_id == self.peer_id;
        let awaits_id = self.direction == Direction::Outgoing && self.machine.is_none();
        if !awaits_id || !event.call().is_some_and(may_be_this) {
            return Some(event);
        }
        if self.unplaced.len() < MOST_EARLY {
            self.unplaced.push(event);
        }
        None
    }

    /// Whether `record` is a call of the person who is being called here: the answer to that will say which is the one.
    fn may_cross(&self, record: &CallRecord) -> bool {
        self.id().is_none() && self.peer_id == record.caller.user_id
    }

    pub(super) fn adopt(&mut self, record: CallRecord) {
        let now = self.clock.now();
        match &mut self.machine {
            Some(call) => {
                if let Err(refused) = call.adopt(now, record) {
                    tracing::debug!(%refused, "a late record of the call was passed over");
                }
                while call.poll_output().is_some() {}
            }
            None => self.machine = Some(Call::new(now, record, CallLimits::default())),
        }
    }

    fn end_here(&mut self, reason: EndReason) {
        let (by, now) = (self.side(), self.clock.now());
        if let Some(call) = &mut self.machine {
            // A call that is over already stays as it ended.
            let _ = call.handle(now, Input::HangUp { by, reason });
            while call.poll_output().is_some() {}
        }
    }
}
