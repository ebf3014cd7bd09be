//! Calls: one service behind the REST routes and the socket messages.
//!
//! Checks who may ask, hands the act to the [`Exchange`](bedside_call::Exchange) that `driver` runs, and answers
//! with the call as it then stands. Calls that are over are answered from `history`. Signaling is sealed and goes through
//! the log of a conversation; this service only says whether a device may signal in a call.

use std::{sync::Arc, time::Duration};

use bedside_call::{
    Act, Actor, ExchangeError, IllegalTransition,
    exchange::{NewCall, SignalKind},
};
use bedside_protocol::{
    CallId, CallPhase, CallType, DeviceId, EndReason, ErrorCode, PresenceStatus, Problem, Role, RoomId,
    Secret, UserId,
    call::{CallRecord, Party},
    quality::QualityMetrics,
    rest::{AcceptCall, CallClosed, CallTicket, DeclineCall, ExtendCall, HangupCall, InitiateCall},
    socket::Request,
    user::UserProfile,
};
use serde_json::{Value, json};

use crate::{
    config::CallLimits, db::Database, directory::Directory, fault::Fault, hub::Hub, ice::IceServers,
    identity::Identity, presence::PresenceService,
};

mod driver;
pub mod history;
pub mod quality;
mod tickets;

use self::{driver::Driver, history::History, quality::Quality, tickets::Tickets};

/// What the call service works with.
#[derive(Clone)]
pub struct CallDeps {
    /// For the history.
    pub db: Database,
    /// Names, and who may call whom.
    pub directory: Directory,
    /// Where events go.
    pub hub: Hub,
    /// Is told who is in a call, and knows who does not want to be called.
    pub presence: PresenceService,
    /// For tickets.
    pub ice: IceServers,
    /// Time-outs.
    pub limits: CallLimits,
    /// How long the seconds of a call's quality are kept after its end.
    pub quality_retention: Duration,
}

/// The one service behind the REST routes and the socket messages for calls. Cheap to clone.
#[derive(Clone)]
pub struct CallService(Arc<Shared>);

struct Shared {
    directory: Directory,
    presence: PresenceService,
    driver: Driver,
    history: History,
    quality: Quality,
    tickets: Tickets,
}

impl CallService {
    /// Starts the service; calls that an earlier process left open are taken up again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn start(deps: CallDeps) -> Result<Self, Fault> {
        let history = History::new(deps.db.clone());
        let live = history.live().await?;
        if !live.is_empty() {
            tracing::info!(calls = live.len(), "calls of the last run are taken up");
        }
        let tickets = Tickets::new(deps.db.clone(), deps.ice, longest_life(&deps.limits));
        let driver = Driver::start(deps.limits, live, history.clone(), deps.hub, deps.presence.clone());
        Ok(Self(Arc::new(Shared {
            directory: deps.directory,
            presence: deps.presence,
            driver,
            quality: Quality::new(deps.db, deps.quality_retention),
            history,
            tickets,
        })))
    }

    /// Serves a call message that came over the socket; the answer's `data`.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn handle(&self, who: &Identity, request: Request) -> Result<Value, Fault> {
        match request {
            Request::InitiateCall(wish) => value(&self.initiate(who, wish).await?),
            Request::AcceptCall { call_id, accept } => value(&self.accept(who, call_id, accept).await?),
            Request::DeclineCall { call_id, decline } => value(&self.decline(who, call_id, decline).await?),
            Request::HangupCall { call_id, hangup } => value(&self.hang_up(who, call_id, hangup).await?),
            Request::ExtendCall { call_id, extend } => value(&self.extend(who, call_id, extend).await?),
            Request::CallMedia { call_id, flowing } => {
                self.act(who, call_id, Act::Media { flowing }).await.map(|_| json!({}))
            }
            Request::SwitchType { call_id, call_type } => {
                self.act(who, call_id, Act::SwitchType { call_type }).await.map(|_| json!({}))
            }
            Request::Hello(_)
            | Request::Ping { .. }
            | Request::UpdatePresence(_)
            | Request::Offer(_)
            | Request::Answer(_)
            | Request::Ice(_)
            | Request::ChatMessage(_)
            | Request::ChatDelivered(_)
            | Request::ChatRead(_)
            | Request::ChatTyping(_)
            | Request::ChatAck(_) => Err(ErrorCode::UnknownType.into()),
        }
    }

    /// Calls somebody. When they are calling the asker right now, their call is answered instead.
    ///
    /// # Errors
    /// `not_a_contact`, `already_in_call`, `invalid_value` for oneself, or the database failed.
    pub async fn initiate(&self, who: &Identity, wish: InitiateCall) -> Result<CallTicket, Fault> {
        let callee = wish.callee_id;
        if callee == who.user {
            return Err(refusal(ExchangeError::SelfCall));
        }
        if !self.0.directory.may_talk(who.user, callee).await? {
            return Err(ErrorCode::NotAContact.into());
        }
        let caller = party(self.0.directory.profile(who.user).await?, Some(who.device));
        let callee_party = party(self.0.directory.profile(callee).await?, None);
        let status = self.0.presence.status(callee);
        let new = NewCall {
            call_id: CallId::random(),
            room_id: RoomId::random(),
            caller,
            callee: callee_party,
            callee_expected: status != PresenceStatus::Offline,
            call_type: wish.call_type,
            appointment_id: wish.appointment_id,
        };
        let undisturbed = status == PresenceStatus::DoNotDisturb;
        let call = self
            .0
            .driver
            .run(move |exchange, now| {
                exchange.set_do_not_disturb(callee, undisturbed);
                exchange.initiate(now, new)
            })
            .await?
            .map_err(refusal)?;
        tracing::info!(call = %call.call_id, phase = %call.phase, "call initiated");
        self.0.tickets.issue(who, call).await
    }

    /// Answers a ringing call on the asker's device.
    ///
    /// # Errors
    /// `call_not_found`, `answered_elsewhere`, `illegal_transition`, or the database failed.
    pub async fn accept(
        &self,
        who: &Identity,
        call_id: CallId,
        accept: AcceptCall,
    ) -> Result<CallTicket, Fault> {
        let call = self.act(who, call_id, Act::Accept { call_type: accept.call_type }).await?;
        self.0.tickets.issue(who, call).await
    }

    /// Another ticket for a call that the asker's device had one for; what that one said of the room holds no more.
    ///
    /// # Errors
    /// `call_not_found`, `answered_elsewhere`, or the database failed.
    pub async fn ticket(&self, who: &Identity, call_id: CallId) -> Result<CallTicket, Fault> {
        let call = self.past(who.user, call_id).await?;
        if ![&call.caller, &call.callee].iter().any(|party| party.device_id == Some(who.device)) {
            return Err(ErrorCode::AnsweredElsewhere.into());
        }
        self.0.tickets.issue(who, call).await
    }

    /// Declines a ringing call.
    ///
    /// # Errors
    /// `call_not_found`, `answered_elsewhere`, `illegal_transition`, or the database failed.
    pub async fn decline(
        &self,
        who: &Identity,
        call_id: CallId,
        decline: DeclineCall,
    ) -> Result<CallClosed, Fault> {
        let call_summary = self.act(who, call_id, Act::Decline { reason: decline.reason }).await?;
        Ok(CallClosed { call_summary })
    }

    /// Hangs up, cancels, or gives up. A call that is over already is answered with its summary.
    ///
    /// # Errors
    /// `call_not_found`, `answered_elsewhere`, `invalid_value` for a reason that is not a participant's to give,
    /// or the database failed.
    pub async fn hang_up(
        &self,
        who: &Identity,
        call_id: CallId,
        hangup: HangupCall,
    ) -> Result<CallClosed, Fault> {
        match hangup.reason {
            EndReason::UserHangup | EndReason::ConnectionFailed | EndReason::NetworkError => {}
            EndReason::CalleeDeclined
            | EndReason::Missed
            | EndReason::Busy
            | EndReason::Timeout
            | EndReason::MaxDuration
            | EndReason::Removed
            | EndReason::ServerShutdown => {
                let detail =
                    "reason is user_hangup, connection_failed or network_error; the server finds the others.";
                return Err(Problem::new(ErrorCode::InvalidValue).with_detail(detail).into());
            }
        }
        let call_summary = self.act(who, call_id, Act::HangUp { reason: hangup.reason }).await?;
        Ok(CallClosed { call_summary })
    }

    /// Puts off the end of a call, for a clinician who takes part in it; gives the call as it stands then. A call whose
    /// named end was put off already stays as it is.
    ///
    /// # Errors
    /// `forbidden` for anybody but a clinician, `call_not_found`, `answered_elsewhere`, `illegal_transition` while no
    /// media flows, `longest_call`, `invalid_value` for an end that the call does not have, or the database failed.
    pub async fn extend(
        &self,
        who: &Identity,
        call_id: CallId,
        extend: ExtendCall,
    ) -> Result<CallRecord, Fault> {
        if who.role != Role::Clinician {
            return Err(Problem::new(ErrorCode::Forbidden)
                .with_detail("A clinician who takes part in the call can extend it.")
                .into());
        }
        self.act(who, call_id, Act::Extend { ends_at: extend.ends_at }).await
    }

    /// Calls of `user` that are not over, for `welcome`.
    pub async fn live_calls(&self, user: UserId) -> Vec<CallRecord> {
        let found = self.0.driver.run(move |exchange, _| exchange.call_of(user).cloned()).await;
        found.unwrap_or_default().into_iter().collect()
    }

    /// A device has a socket (again).
    pub fn device_connected(&self, user: UserId, device: DeviceId) {
        self.0.driver.note(move |exchange, now| exchange.device_up(now, Actor { user, device }));
    }

    /// A device's socket is gone and none replaced it.
    pub fn device_disconnected(&self, _user: UserId, device: DeviceId) {
        self.0.driver.note(move |exchange, now| exchange.device_down(now, device));
    }

    /// Whether `user` is or was in the call.
    ///
    /// # Errors
    /// The database failed.
    pub async fn takes_part(&self, user: UserId, call: CallId) -> Result<bool, Fault> {
        Ok(self.0.history.find(call).await?.is_some_and(|record| is_participant(&record, user)))
    }

    /// Whether the asker's device may signal in a live call; gives the other person in it.
    ///
    /// # Errors
    /// `call_not_found`, `answered_elsewhere`, `illegal_transition` before the call is answered and after it is over,
    /// `forbidden` without the room token of the device's ticket.
    pub async fn signal(
        &self,
        who: &Identity,
        call_id: CallId,
        room_token: Option<&Secret>,
        kind: SignalKind,
    ) -> Result<UserId, Fault> {
        let from = actor(who);
        let routed =
            self.0.driver.run(move |exchange, now| exchange.route_signal(now, call_id, from, kind)).await?;
        match routed {
            Ok(to) => {
                self.0.tickets.admit(who, call_id, room_token).await?;
                Ok(to.user)
            }
            Err(ExchangeError::NotFound) => {
                let from = self.past(who.user, call_id).await?.phase;
                Err(refusal(IllegalTransition { from, to: CallPhase::Connecting }.into()))
            }
            Err(error) => Err(refusal(error)),
        }
    }

    /// Forgets what has run out.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sweep(&self) -> Result<(), Fault> {
        self.0.tickets.sweep().await?;
        self.0.quality.sweep().await
    }

    /// Past calls and statistics.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.0.history
    }

    /// Keeps how well the call went for `user`, who takes part in it or did.
    ///
    /// # Errors
    /// `call_not_found`, `invalid_value` (see [`Quality::keep`]), or the database failed.
    pub async fn keep_quality(
        &self,
        user: UserId,
        call_id: CallId,
        batch: &[QualityMetrics],
    ) -> Result<(), Fault> {
        let call = self.past(user, call_id).await?;
        self.0.quality.keep(&call, user, batch).await
    }

    /// Quality metrics.
    #[must_use]
    pub fn quality(&self) -> &Quality {
        &self.0.quality
    }

    /// Waits until no call is looked after any more: after [`CallService::shutdown`], or because of a fault.
    pub async fn ended(&self) {
        self.0.driver.ended().await;
    }

    /// The process ends: stops timers. Live calls stay in the database for the next start.
    pub async fn shutdown(&self) {
        self.0.driver.stop().await;
    }

    async fn act(&self, who: &Identity, call_id: CallId, act: Act) -> Result<CallRecord, Fault> {
        let actor = actor(who);
        let outcome = self.0.driver.run(move |exchange, now| exchange.act(now, call_id, actor, act)).await?;
        match outcome {
            Err(ExchangeError::NotFound) => self.act_on_past(who.user, call_id, act).await,
            other => other.map_err(refusal),
        }
    }

    /// A call that the exchange no longer remembers: ending it once more is fine, anything else comes too late.
    async fn act_on_past(&self, user: UserId, call_id: CallId, act: Act) -> Result<CallRecord, Fault> {
        let record = self.past(user, call_id).await?;
        let to = match act {
            Act::HangUp { .. } => return Ok(record),
            Act::Decline { .. } if record.callee.user_id == user => return Ok(record),
            Act::Decline { .. } => CallPhase::Ended,
            Act::Accept { .. } => CallPhase::Accepted,
            Act::Media { flowing: false } => CallPhase::Reconnecting,
            Act::Media { flowing: true } | Act::SwitchType { .. } | Act::Extend { .. } => {
                CallPhase::Connected
            }
        };
        Err(refusal(IllegalTransition { from: record.phase, to }.into()))
    }

    /// A call as it was stored last, for who is or was in it.
    async fn past(&self, user: UserId, call_id: CallId) -> Result<CallRecord, Fault> {
        let found = self.0.history.find(call_id).await?;
        found.filter(|record| is_participant(record, user)).ok_or_else(|| ErrorCode::CallNotFound.into())
    }
}

fn value<T: serde::Serialize>(answer: &T) -> Result<Value, Fault> {
    serde_json::to_value(answer).map_err(|_| Fault::Internal("an answer could not be written as JSON"))
}

const fn actor(who: &Identity) -> Actor {
    Actor { user: who.user, device: who.device }
}

fn party(profile: UserProfile, device_id: Option<DeviceId>) -> Party {
    Party { user_id: profile.id, name: profile.name, device_id }
}

fn is_participant(record: &CallRecord, user: UserId) -> bool {
    record.caller.user_id == user || record.callee.user_id == user
}

/// How long a call can be live at most, extensions included.
pub(crate) fn longest_life(limits: &CallLimits) -> Duration {
    Duration::from_millis(driver::limits_of(limits).longest_life_ms())
}

/// How the exchange's refusals are told.
fn refusal(error: ExchangeError) -> Fault {
    let problem = match error {
        ExchangeError::NotFound => Problem::new(ErrorCode::CallNotFound),
        ExchangeError::AlreadyInCall => Problem::new(ErrorCode::AlreadyInCall).with_detail(
            "Hang up or decline the call you are in first; it may be on another device of yours.",
        ),
        ExchangeError::OnAnotherDevice => Problem::new(ErrorCode::AnsweredElsewhere),
        ExchangeError::SelfCall => {
            Problem::new(ErrorCode::InvalidValue).with_detail("Nobody can call themselves.")
        }
        ExchangeError::LongestCall => Problem::new(ErrorCode::LongestCall),
        ExchangeError::OtherEnd => {
            Problem::new(ErrorCode::InvalidValue).with_detail("ends_at is the end that the call has now.")
        }
        ExchangeError::Illegal(transition) => {
            Problem::new(ErrorCode::IllegalTransition).with_detail(format!("{transition}."))
        }
    };
    problem.into()
}

/// The name of a call type in the database and on the wire.
const fn call_type_name(call_type: CallType) -> &'static str {
    match call_type {
        CallType::Video => "video",
        CallType::Voice => "voice",
    }
}
