//! A small clinic in virtual time: people with devices, an exchange, and what everybody was told.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(dead_code, reason = "each test binary uses its own part")]
#![expect(unreachable_pub, reason = "shared by the test binaries of this crate")]

use std::collections::{BTreeMap, BTreeSet};

use bedside_call::{
    Act, Actor, CallLimits, Exchange, ExchangeError,
    exchange::{NewCall, Output, Recipient},
};
use bedside_protocol::{
    CallId, CallPhase, CallType, DeviceId, EndReason, RoomId, Timestamp, UserId,
    call::{CallRecord, Party},
    rest::DeclineReason,
    socket::Event,
};

pub struct Clinic {
    pub exchange: Exchange,
    pub now: Timestamp,
    /// Events per device, kinds only, in order. A device is told while it is up.
    pub told: BTreeMap<DeviceId, Vec<&'static str>>,
    /// Every stored version of every call, in order.
    pub stored: Vec<CallRecord>,
    /// Last presence output per user.
    pub presence: BTreeMap<UserId, Option<CallId>>,
    pub events: Vec<(Recipient, Event)>,
    pub up: Vec<Actor>,
    /// People whose last socket dropped a moment ago.
    pub expected: BTreeSet<UserId>,
}

impl Clinic {
    pub fn new() -> Self {
        Self {
            exchange: Exchange::new(CallLimits::default()),
            now: Timestamp(1_700_000_000_000),
            told: BTreeMap::new(),
            stored: Vec::new(),
            presence: BTreeMap::new(),
            events: Vec::new(),
            up: Vec::new(),
            expected: BTreeSet::new(),
        }
    }

    /// A person with one device, signed in.
    pub fn person(&mut self) -> Actor {
        let actor = Actor { user: UserId::random(), device: DeviceId::random() };
        self.connect(actor);
        actor
    }

    /// Another device of the same person, signed in.
    pub fn second_device(&mut self, of: Actor) -> Actor {
        let actor = Actor { user: of.user, device: DeviceId::random() };
        self.connect(actor);
        actor
    }

    pub fn connect(&mut self, actor: Actor) {
        self.up.retain(|other| other.device != actor.device);
        self.up.push(actor);
        self.exchange.device_up(self.now, actor);
        self.drain();
    }

    pub fn disconnect(&mut self, actor: Actor) {
        self.expected.insert(actor.user);
        self.up.retain(|other| other.device != actor.device);
        self.exchange.device_down(self.now, actor.device);
        self.drain();
    }

    pub fn call(&mut self, from: Actor, to: Actor) -> Result<CallRecord, ExchangeError> {
        self.call_as(from, to, CallType::Video)
    }

    pub fn call_as(
        &mut self,
        from: Actor,
        to: Actor,
        call_type: CallType,
    ) -> Result<CallRecord, ExchangeError> {
        let party = |user, device| Party { user_id: user, name: "Somebody".into(), device_id: device };
        let outcome = self.exchange.initiate(
            self.now,
            NewCall {
                call_id: CallId::random(),
                room_id: RoomId::random(),
                caller: party(from.user, Some(from.device)),
                callee: party(to.user, None),
                callee_expected: self.expected.contains(&to.user),
                call_type,
                appointment_id: None,
            },
        );
        self.drain();
        outcome
    }

    pub fn act(&mut self, who: Actor, call: &CallRecord, act: Act) -> Result<CallRecord, ExchangeError> {
        let outcome = self.exchange.act(self.now, call.call_id, who, act);
        self.drain();
        outcome
    }

    pub fn accept(&mut self, who: Actor, call: &CallRecord) -> Result<CallRecord, ExchangeError> {
        self.act(who, call, Act::Accept { call_type: CallType::Video })
    }

    pub fn decline(&mut self, who: Actor, call: &CallRecord) -> Result<CallRecord, ExchangeError> {
        self.act(who, call, Act::Decline { reason: DeclineReason::Declined })
    }

    pub fn hang_up(&mut self, who: Actor, call: &CallRecord) -> Result<CallRecord, ExchangeError> {
        self.act(who, call, Act::HangUp { reason: EndReason::UserHangup })
    }

    pub fn media(&mut self, who: Actor, call: &CallRecord, flowing: bool) {
        self.act(who, call, Act::Media { flowing }).unwrap();
    }

    /// A call in which both sides hear each other.
    pub fn connected(&mut self, from: Actor, to: Actor) -> CallRecord {
        let call = self.call(from, to).unwrap();
        self.accept(to, &call).unwrap();
        self.media(from, &call, true);
        self.media(to, &call, true);
        assert_eq!(self.phase(&call), CallPhase::Connected);
        self.record(&call)
    }

    /// Puts off the end that `call` knows of.
    pub fn extend(&mut self, who: Actor, call: &CallRecord) -> Result<CallRecord, ExchangeError> {
        self.act(who, call, Act::Extend { ends_at: call.ends_at.unwrap() })
    }

    /// Lets time pass, firing deadlines when they are due.
    pub fn wait(&mut self, millis: u64) {
        let until = self.now.plus_millis(millis);
        while let Some(at) = self.exchange.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.exchange.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
        self.exchange.handle_timeout(self.now);
        self.drain();
    }

    /// The server stops and starts again after `down_ms`; every device has to come back.
    pub fn restart(&mut self, down_ms: u64) {
        let mut latest: BTreeMap<CallId, CallRecord> = BTreeMap::new();
        for record in &self.stored {
            latest.insert(record.call_id, record.clone());
        }
        self.now = self.now.plus_millis(down_ms);
        self.up.clear();
        self.exchange = Exchange::new(CallLimits::default());
        self.exchange.restore(self.now, latest.into_values().filter(|record| !record.phase.is_final()));
        self.drain();
    }

    /// The last stored version.
    pub fn record(&self, call: &CallRecord) -> CallRecord {
        self.stored.iter().rev().find(|record| record.call_id == call.call_id).unwrap().clone()
    }

    pub fn phase(&self, call: &CallRecord) -> CallPhase {
        self.record(call).phase
    }

    pub fn told(&self, actor: Actor) -> &[&'static str] {
        self.told.get(&actor.device).map_or(&[], Vec::as_slice)
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.exchange.poll_output() {
            match output {
                Output::Persist(record) => self.stored.push(*record),
                Output::Send { to, event } => {
                    for actor in &self.up {
                        if to == Recipient::Device(*actor) || to == Recipient::User(actor.user) {
                            self.told.entry(actor.device).or_default().push(kind(&event));
                        }
                    }
                    self.events.push((to, *event));
                }
                Output::Presence { user, call } => {
                    self.presence.insert(user, call);
                }
            }
        }
    }
}

pub fn kind(event: &Event) -> &'static str {
    match event {
        Event::CallRinging { .. } => "ringing",
        Event::CallAccepted { .. } => "accepted",
        Event::CallDeclined { .. } => "declined",
        Event::CallBusy { .. } => "busy",
        Event::CallConnecting { .. } => "connecting",
        Event::CallConnected { .. } => "connected",
        Event::CallReconnecting { .. } => "reconnecting",
        Event::CallTypeChanged { .. } => "type_changed",
        Event::CallExpiring { .. } => "expiring",
        Event::CallExtended { .. } => "extended",
        Event::CallEnded { .. } => "ended",
        Event::CallMissed { .. } => "missed",
        _ => "other",
    }
}
