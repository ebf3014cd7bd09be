//! All live calls of a server: who is in which, whose devices ring, who may signal to whom.
//!
//! Somebody is in at most one call at a time, counted from the moment they call or are rung. That makes "busy"
//! and "already in a call" simple, and lets a call that crosses another one ([`Exchange::initiate`]) have one
//! outcome. A call is between two *devices*: the one it was made on and the one it was answered on. The owner's
//! other devices may ring, and are told when to stop, but can neither hang up nor signal.
//!
//! Outputs come in an order that is to be kept: a record is stored before anybody is told of it. The exchange
//! knows nothing of sockets, tokens, contacts or databases, and never invents an id.

use std::collections::{HashMap, VecDeque};

use bedside_protocol::{
    AppointmentId, CallId, CallPhase, CallType, DeviceId, EndReason, RoomId, Timestamp, UserId,
    call::{CallRecord, Party, Side},
    rest::DeclineReason,
    socket::Event,
};

use crate::{Call, CallLimits, IllegalTransition, Input, Refused};

mod people;
mod tell;

use people::People;

/// Who asks: an authenticated user on an authenticated device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
}

/// A call to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// A fresh random id.
    pub call_id: CallId,
    /// A fresh random id.
    pub room_id: RoomId,
    /// Who calls; `device_id` must be set.
    pub caller: Party,
    /// Who is called; `device_id` must be empty.
    pub callee: Party,
    /// Whether a callee without a socket is expected back within seconds, and so is worth waiting for.
    pub callee_expected: bool,
    /// Sound alone or with picture.
    pub call_type: CallType,
    /// The appointment it belongs to.
    pub appointment_id: Option<AppointmentId>,
}

/// What a participant does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answer.
    Accept {
        /// With picture or with sound alone.
        call_type: CallType,
    },
    /// Decline.
    Decline {
        /// Why.
        reason: DeclineReason,
    },
    /// Hang up, cancel or give up.
    HangUp {
        /// Why.
        reason: EndReason,
    },
    /// Tell whether media arrives.
    Media {
        /// Whether it does.
        flowing: bool,
    },
    /// Turn voice into video or back.
    SwitchType {
        /// What the call becomes.
        call_type: CallType,
    },
    /// Put off the end of the call. Who may is the owner's to know.
    Extend {
        /// Which end.
        ends_at: Timestamp,
    },
}

/// The kind of a relayed payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKind {
    /// An SDP offer.
    Offer,
    /// An SDP answer.
    Answer,
    /// ICE candidates.
    Ice,
}

/// Whom an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// One device, also while its socket is gone but its session can still be resumed.
    Device(Actor),
    /// Every device of a user.
    User(UserId),
}

/// What the owner has to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Store the record.
    Persist(Box<CallRecord>),
    /// Tell somebody.
    Send {
        /// Whom.
        to: Recipient,
        /// What.
        event: Box<Event>,
    },
    /// A user is now in a call (shown as busy) or free again.
    Presence {
        /// Who.
        user: UserId,
        /// The call they are in.
        call: Option<CallId>,
    },
}

/// Why the exchange refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// There is no such call here, or it is not the asker's. It may still be in the history.
    #[error("there is no such call")]
    NotFound,
    /// The asker is in a call, or is being called.
    #[error("already in a call")]
    AlreadyInCall,
    /// The call is on another device of the asker.
    #[error("the call is on another device")]
    OnAnotherDevice,
    /// Somebody called themselves.
    #[error("nobody can call themselves")]
    SelfCall,
    /// The call's phase does not permit it.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The call is as long as it may be.
    #[error("the call can't be extended any further")]
    LongestCall,
    /// The end that is to be put off is later than the call's.
    #[error("the call does not end then")]
    OtherEnd,
}

impl From<Refused> for ExchangeError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Illegal(transition) => Self::Illegal(transition),
            Refused::Longest => Self::LongestCall,
            Refused::OtherEnd => Self::OtherEnd,
        }
    }
}

struct Entry {
    call: Call,
    /// When a call that is over may be forgotten.
    forget_at: Option<Timestamp>,
}

/// The calls of one server.
#[derive(Default)]
pub struct Exchange {
    limits: CallLimits,
    calls: HashMap<CallId, Entry>,
    people: People,
    outputs: VecDeque<Output>,
}

impl Exchange {
    /// An exchange without calls.
    #[must_use]
    pub fn new(limits: CallLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes up the calls that were live when the server stopped. Devices count as gone until they are up.
    pub fn restore(&mut self, now: Timestamp, records: impl IntoIterator<Item = CallRecord>) {
        for record in records {
            let call_id = record.call_id;
            let (caller, callee) = (record.caller.user_id, record.callee.user_id);
            let stored = record.phase;
            let call = Call::restore(now, record, self.limits);
            if !call.phase().is_final() {
                self.people.engage(caller, call_id);
                self.people.engage(callee, call_id);
                self.outputs.push_back(Output::Presence { user: caller, call: Some(call_id) });
                if stored.is_answered() {
                    self.outputs.push_back(Output::Presence { user: callee, call: Some(call_id) });
                }
            }
            self.calls.insert(call_id, Entry { call, forget_at: None });
            self.drain(now, call_id);
        }
        self.handle_timeout(now);
    }

    /// A device's socket is there, new or resumed. A device that replaces its own old socket is up once: tell of
    /// the old one's end first, or not at all.
    pub fn device_up(&mut self, now: Timestamp, actor: Actor) {
        self.handle_timeout(now);
        self.people.up(actor);
        let Some(call_id) = self.people.call_of(actor.user) else { return };
        let Some(entry) = self.calls.get(&call_id) else { return };
        let record = entry.call.record();
        if record.phase == CallPhase::Initiated
            && record.callee.user_id == actor.user
            && !self.people.is_undisturbed(actor.user)
        {
            self.feed(now, call_id, Input::Reached);
        } else if let Some(side) = entry.call.side_of(actor.device) {
            self.feed(now, call_id, Input::Socket { side, connected: true });
        }
    }

    /// A device's socket is gone: closed, or silent for longer than the heartbeat permits.
    pub fn device_down(&mut self, now: Timestamp, device: DeviceId) {
        self.handle_timeout(now);
        let Some(user) = self.people.down(device) else { return };
        let Some(call_id) = self.people.call_of(user) else { return };
        let side = self.calls.get(&call_id).and_then(|entry| entry.call.side_of(device));
        if let Some(side) = side {
            self.feed(now, call_id, Input::Socket { side, connected: false });
        }
    }

    /// Whether a user does not want to be called. Calls to them are missed; what they are in goes on.
    pub fn set_do_not_disturb(&mut self, user: UserId, undisturbed: bool) {
        self.people.set_undisturbed(user, undisturbed);
    }

    /// Starts a call and returns it as it stands: `ringing`, `initiated` while a callee whose socket has only just
    /// dropped is waited for, or over already (`busy`, `missed`).
    ///
    /// Glare: when the callee is calling the caller right now, this call is not made; it answers the other one,
    /// and that one's record is returned.
    ///
    /// # Errors
    /// [`ExchangeError::SelfCall`], or [`ExchangeError::AlreadyInCall`] when the caller is in a call or rung by
    /// somebody else.
    pub fn initiate(&mut self, now: Timestamp, new: NewCall) -> Result<CallRecord, ExchangeError> {
        self.handle_timeout(now);
        let (caller, callee) = (new.caller.user_id, new.callee.user_id);
        if caller == callee {
            return Err(ExchangeError::SelfCall);
        }
        let actor = new.caller.device_id.map(|device| Actor { user: caller, device });
        if let Some(other) = self.people.call_of(caller) {
            let crosses = self.record(other).is_some_and(|record| {
                record.caller.user_id == callee
                    && record.callee.user_id == caller
                    && !record.phase.is_answered()
            });
            return match actor {
                Some(actor) if crosses => self.cross(now, other, actor, new.call_type),
                Some(_) | None => Err(ExchangeError::AlreadyInCall),
            };
        }
        let call_id = new.call_id;
        let record = CallRecord {
            call_id,
            room_id: new.room_id,
            caller: new.caller,
            callee: new.callee,
            call_type: new.call_type,
            phase: CallPhase::Initiated,
            end_reason: None,
            appointment_id: new.appointment_id,
            initiated_at: now,
            ringing_at: None,
            accepted_at: None,
            connected_at: None,
            ends_at: None,
            ended_at: None,
            duration_s: 0,
        };
        let caller_is_up = actor.is_some_and(|actor| self.people.is_up(actor.device));
        let call = Call::new(now, record.clone(), self.limits);
        self.calls.insert(call_id, Entry { call, forget_at: None });
        self.outputs.push_back(Output::Persist(Box::new(record)));
        self.people.engage(caller, call_id);
        self.outputs.push_back(Output::Presence { user: caller, call: Some(call_id) });
        if self.people.call_of(callee).is_some() {
            self.feed(now, call_id, Input::Busy);
        } else if self.people.is_undisturbed(callee) {
            self.feed(now, call_id, Input::Unreachable);
        } else if self.people.is_reachable(callee) {
            self.people.engage(callee, call_id);
            self.feed(now, call_id, Input::Reached);
        } else if new.callee_expected {
            self.people.engage(callee, call_id);
        } else {
            self.feed(now, call_id, Input::Unreachable);
        }
        if !caller_is_up {
            // A call made over the REST API by a device without a socket: it has the grace to connect one.
            self.feed(now, call_id, Input::Socket { side: Side::Caller, connected: false });
        }
        self.record(call_id).cloned().ok_or(ExchangeError::NotFound)
    }

    /// A participant does something to a call; returns the call as it stands afterwards.
    ///
    /// # Errors
    /// [`ExchangeError::NotFound`] for anybody who is not a participant, [`ExchangeError::OnAnotherDevice`] from
    /// a participant's device that the call is not on, [`ExchangeError::Illegal`] when the phase forbids it,
    /// [`ExchangeError::LongestCall`] and [`ExchangeError::OtherEnd`] for an extension.
    pub fn act(
        &mut self,
        now: Timestamp,
        call_id: CallId,
        actor: Actor,
        act: Act,
    ) -> Result<CallRecord, ExchangeError> {
        self.handle_timeout(now);
        let (side, bound) = self.participant(call_id, actor)?;
        let input = match (side, act) {
            (Side::Callee, Act::Accept { call_type }) => Input::Accept { device: actor.device, call_type },
            (Side::Callee, Act::Decline { reason }) => Input::Decline { reason },
            (Side::Caller, Act::Accept { .. } | Act::Decline { .. }) => {
                let from = self.record(call_id).ok_or(ExchangeError::NotFound)?.phase;
                let to =
                    if matches!(act, Act::Accept { .. }) { CallPhase::Accepted } else { CallPhase::Ended };
                return Err(IllegalTransition { from, to }.into());
            }
            (_, Act::HangUp { reason }) => Input::HangUp { by: side, reason },
            (_, Act::Media { flowing }) => Input::Media { side, flowing },
            (_, Act::SwitchType { call_type }) => Input::SwitchType { by: side, call_type },
            (_, Act::Extend { ends_at }) => Input::Extend { by: side, ends_at },
        };
        let entry = self.calls.get(&call_id).ok_or(ExchangeError::NotFound)?;
        if bound.is_some_and(|device| device != actor.device) && !entry.call.phase().is_final() {
            return Err(ExchangeError::OnAnotherDevice);
        }
        self.try_feed(now, call_id, input)?;
        if matches!(act, Act::Accept { .. }) && !self.people.is_up(actor.device) {
            self.feed(now, call_id, Input::Socket { side, connected: false });
        }
        self.record(call_id).cloned().ok_or(ExchangeError::NotFound)
    }

    /// Whom a signaling payload goes to: the other of the two devices of an answered call.
    ///
    /// # Errors
    /// As [`Exchange::act`]; before the call is answered and after it is over, [`ExchangeError::Illegal`].
    pub fn route_signal(
        &mut self,
        now: Timestamp,
        call_id: CallId,
        actor: Actor,
        kind: SignalKind,
    ) -> Result<Actor, ExchangeError> {
        self.handle_timeout(now);
        let (side, bound) = self.participant(call_id, actor)?;
        let record = self.record(call_id).ok_or(ExchangeError::NotFound)?;
        if !record.phase.is_answered() {
            return Err(IllegalTransition { from: record.phase, to: CallPhase::Connecting }.into());
        }
        if bound != Some(actor.device) {
            return Err(ExchangeError::OnAnotherDevice);
        }
        let peer = match side.other() {
            Side::Caller => &record.caller,
            Side::Callee => &record.callee,
        };
        let peer = peer.device_id.map(|device| Actor { user: peer.user_id, device });
        if kind == SignalKind::Offer {
            self.try_feed(now, call_id, Input::Negotiating)?;
        }
        peer.ok_or(ExchangeError::NotFound)
    }

    /// The server ends a call: somebody was removed, or it shuts down for good.
    ///
    /// # Errors
    /// [`ExchangeError::NotFound`].
    pub fn terminate(
        &mut self,
        now: Timestamp,
        call_id: CallId,
        reason: EndReason,
    ) -> Result<(), ExchangeError> {
        self.handle_timeout(now);
        self.try_feed(now, call_id, Input::Terminate { reason })
    }

    /// Lets everything happen that was due up to `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.calls.retain(|_, entry| entry.forget_at.is_none_or(|at| now < at));
        let due: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, entry)| entry.call.poll_timeout().is_some_and(|at| at <= now))
            .map(|(call_id, _)| *call_id)
            .collect();
        for call_id in due {
            if let Some(entry) = self.calls.get_mut(&call_id) {
                entry.call.handle_timeout(now);
            }
            self.drain(now, call_id);
        }
    }

    /// When [`Exchange::handle_timeout`] must be called at the latest; `None` without live calls.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.calls.values().filter_map(|entry| entry.call.poll_timeout()).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A call that is live, or was until a moment ago.
    #[must_use]
    pub fn record(&self, call_id: CallId) -> Option<&CallRecord> {
        self.calls.get(&call_id).map(|entry| entry.call.record())
    }

    /// The live call a user is in or is rung for: what a `welcome` tells.
    #[must_use]
    pub fn call_of(&self, user: UserId) -> Option<&CallRecord> {
        self.people.call_of(user).and_then(|call_id| self.record(call_id))
    }

    /// How many calls are live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.calls.values().filter(|entry| !entry.call.phase().is_final()).count()
    }

    /// The glare: `actor` calls somebody who is calling them.
    fn cross(
        &mut self,
        now: Timestamp,
        call_id: CallId,
        actor: Actor,
        call_type: CallType,
    ) -> Result<CallRecord, ExchangeError> {
        if self.record(call_id).is_some_and(|record| record.phase == CallPhase::Initiated) {
            self.feed(now, call_id, Input::Reached);
        }
        self.act(now, call_id, actor, Act::Accept { call_type })
    }

    /// The asker's side, and the device that side of the call is on, once it is on one.
    fn participant(&self, call_id: CallId, actor: Actor) -> Result<(Side, Option<DeviceId>), ExchangeError> {
        let record = self.record(call_id).ok_or(ExchangeError::NotFound)?;
        if record.caller.user_id == actor.user {
            Ok((Side::Caller, record.caller.device_id))
        } else if record.callee.user_id == actor.user {
            Ok((Side::Callee, record.callee.device_id))
        } else {
            Err(ExchangeError::NotFound)
        }
    }

    fn try_feed(&mut self, now: Timestamp, call_id: CallId, input: Input) -> Result<(), ExchangeError> {
        let entry = self.calls.get_mut(&call_id).ok_or(ExchangeError::NotFound)?;
        let outcome = entry.call.handle(now, input);
        self.drain(now, call_id);
        Ok(outcome?)
    }

    /// Feeds an input that the exchange itself has found to be permitted.
    fn feed(&mut self, now: Timestamp, call_id: CallId, input: Input) {
        let outcome = self.try_feed(now, call_id, input);
        debug_assert!(outcome.is_ok(), "{input:?}: {outcome:?}");
    }
}
