//! Whatever people, networks and timers do, in whatever order: what must always hold of all calls.

mod clinic;

use std::collections::{BTreeMap, BTreeSet};

use bedside_call::{
    Act, Actor, CallLimits,
    exchange::{Recipient, SignalKind},
};
use bedside_protocol::{
    CallId, CallPhase, CallType, EndReason, Timestamp, UserId, call::CallRecord, rest::DeclineReason,
    socket::Event,
};
use clinic::Clinic;
use proptest::prelude::*;

/// Three people with two devices each; indices are taken modulo what exists.
const PEOPLE: usize = 3;
const DEVICES: usize = PEOPLE * 2;

#[derive(Clone, Copy, Debug)]
enum Step {
    Call {
        from: usize,
        to: usize,
        voice: bool,
    },
    /// A call that is answered and whose media flows, as far as it may.
    Converse {
        from: usize,
        to: usize,
    },
    Act {
        who: usize,
        call: usize,
        act: Act,
    },
    Signal {
        who: usize,
        call: usize,
        kind: SignalKind,
    },
    /// Names the end that the call has, or one that is earlier or later by this much, ms.
    Extend {
        who: usize,
        call: usize,
        off_ms: i64,
    },
    Up(usize),
    Down(usize),
    Undisturbed {
        person: usize,
        wish: bool,
    },
    Wait(u64),
    Terminate {
        call: usize,
        reason: EndReason,
    },
    Restart {
        down_ms: u64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => prop_oneof![Just(CallType::Video), Just(CallType::Voice)].prop_map(|call_type| Act::Accept { call_type }),
        1 => prop_oneof![Just(DeclineReason::Declined), Just(DeclineReason::Busy)].prop_map(|reason| Act::Decline { reason }),
        1 => prop_oneof![Just(EndReason::UserHangup), Just(EndReason::ConnectionFailed), Just(EndReason::NetworkError)]
            .prop_map(|reason| Act::HangUp { reason }),
        6 => prop::bool::weighted(0.8).prop_map(|flowing| Act::Media { flowing }),
        1 => prop_oneof![Just(CallType::Video), Just(CallType::Voice)].prop_map(|call_type| Act::SwitchType { call_type }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // The newest calls are the interesting ones: `call` counts from the end.
    let (device, call) = (0..DEVICES, prop_oneof![3 => Just(0usize), 1 => Just(1)]);
    let who = 0..DEVICES * 4;
    let kind = prop_oneof![Just(SignalKind::Offer), Just(SignalKind::Answer), Just(SignalKind::Ice)];
    let wait = prop_oneof![0..500u64, 1_000..40_000u64, 50_000..130_000u64, Just(3_600_000u64)];
    prop_oneof![
        4 => (0..DEVICES, 0..DEVICES, any::<bool>()).prop_map(|(from, to, voice)| Step::Call { from, to, voice }),
        12 => (who.clone(), call.clone(), act()).prop_map(|(who, call, act)| Step::Act { who, call, act }),
        3 => (who.clone(), call.clone(), kind).prop_map(|(who, call, kind)| Step::Signal { who, call, kind }),
        4 => (0..DEVICES, 0..DEVICES).prop_map(|(from, to)| Step::Converse { from, to }),
        2 => (who.clone(), call.clone(), prop_oneof![3 => Just(0i64), 1 => Just(-1), 1 => Just(1)])
            .prop_map(|(who, call, off_ms)| Step::Extend { who, call, off_ms }),
        3 => device.prop_map(Step::Up),
        4 => who.prop_map(Step::Down),
        1 => (0..PEOPLE, any::<bool>()).prop_map(|(person, wish)| Step::Undisturbed { person, wish }),
        4 => wait.prop_map(Step::Wait),
        1 => (call, prop_oneof![Just(EndReason::Removed), Just(EndReason::ServerShutdown)])
            .prop_map(|(call, reason)| Step::Terminate { call, reason }),
        1 => (0..100_000u64).prop_map(|down_ms| Step::Restart { down_ms }),
    ]
}

struct World {
    clinic: Clinic,
    devices: Vec<Actor>,
    calls: Vec<CallId>,
}

impl World {
    fn new() -> Self {
        let mut clinic = Clinic::new();
        let devices = (0..PEOPLE)
            .flat_map(|_| {
                let first = clinic.person();
                [first, clinic.second_device(first)]
            })
            .collect();
        Self { clinic, devices, calls: Vec::new() }
    }

    fn nth_newest(&self, n: usize) -> Option<CallRecord> {
        let id = self.calls.iter().rev().nth(n)?;
        self.clinic.stored.iter().rev().find(|record| record.call_id == *id).cloned()
    }

    /// Mostly a participant's device, sometimes anybody's.
    fn actor(&self, who: usize, call: &CallRecord) -> Actor {
        let party = if who.is_multiple_of(2) { &call.caller } else { &call.callee };
        let of_party = |actor: &&Actor| {
            actor.user == party.user_id && party.device_id.is_none_or(|device| device == actor.device)
        };
        match self.devices.get(who) {
            Some(anybody) => *anybody,
            None => *self.devices.iter().find(of_party).expect("everybody has devices"),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Call { from, to, voice } => {
                let call_type = if voice { CallType::Voice } else { CallType::Video };
                let (from, to) = (self.devices[from], self.devices[to]);
                if let Ok(call) = self.clinic.call_as(from, to, call_type)
                    && !self.calls.contains(&call.call_id)
                {
                    self.calls.push(call.call_id);
                }
            }
            Step::Converse { from, to } => {
                self.run(Step::Call { from, to, voice: false });
                if let Some(call) = self.nth_newest(0) {
                    let _ = self.clinic.accept(self.devices[to], &call);
                    for who in [from, to] {
                        let _ = self.clinic.act(self.devices[who], &call, Act::Media { flowing: true });
                    }
                }
            }
            Step::Act { who, call, act } => {
                if let Some(call) = self.nth_newest(call) {
                    let _ = self.clinic.act(self.actor(who, &call), &call, act);
                }
            }
            Step::Signal { who, call, kind } => {
                let Some(call) = self.nth_newest(call) else { return };
                let (now, who) = (self.clinic.now, self.actor(who, &call));
                if let Ok(to) = self.clinic.exchange.route_signal(now, call.call_id, who, kind) {
                    let ends = [call.caller.device_id, call.callee.device_id];
                    assert!(call.phase.is_answered(), "relayed while {}", call.phase);
                    assert!(
                        ends.contains(&Some(who.device))
                            && ends.contains(&Some(to.device))
                            && to.user != who.user
                    );
                }
                self.clinic.drain();
            }
            Step::Extend { who, call, off_ms } => {
                let Some(call) = self.nth_newest(call) else { return };
                let ends_at = Timestamp(call.ends_at.unwrap_or(self.clinic.now).0 + off_ms);
                let outcome = self.clinic.act(self.actor(who, &call), &call, Act::Extend { ends_at });
                if let Ok(after) = outcome {
                    assert!(off_ms <= 0, "an end was put off that the call does not have");
                    assert_eq!(after.ends_at > call.ends_at, off_ms == 0, "put off once, and not again");
                }
            }
            Step::Up(device) => self.clinic.connect(self.devices[device]),
            Step::Down(who) => {
                let device = match self.nth_newest(0) {
                    Some(call) => self.actor(who, &call),
                    None => self.devices[who % DEVICES],
                };
                self.clinic.disconnect(device);
            }
            Step::Undisturbed { person, wish } => {
                self.clinic.exchange.set_do_not_disturb(self.devices[person * 2].user, wish);
            }
            Step::Wait(millis) => self.clinic.wait(millis),
            Step::Terminate { call, reason } => {
                if let Some(call) = self.nth_newest(call) {
                    let _ = self.clinic.exchange.terminate(self.clinic.now, call.call_id, reason);
                    self.clinic.drain();
                }
            }
            Step::Restart { down_ms } => {
                self.clinic.restart(down_ms);
            }
        }
    }

    fn history(&self) -> BTreeMap<CallId, Vec<&CallRecord>> {
        let mut history: BTreeMap<CallId, Vec<&CallRecord>> = BTreeMap::new();
        for record in &self.clinic.stored {
            history.entry(record.call_id).or_default().push(record);
        }
        history
    }

    fn check(&self) {
        let history = self.history();
        let mut engaged: BTreeMap<UserId, Vec<CallId>> = BTreeMap::new();
        for versions in history.values() {
            check_versions(versions);
            let last = versions[versions.len() - 1];
            if !last.phase.is_final() {
                engaged.entry(last.caller.user_id).or_default().push(last.call_id);
                engaged.entry(last.callee.user_id).or_default().push(last.call_id);
            }
        }
        for device in &self.devices {
            let mine = engaged.get(&device.user).map_or(&[][..], Vec::as_slice);
            assert!(mine.len() <= 1, "somebody is in two calls");
            let known = self.clinic.exchange.call_of(device.user).map(|record| record.call_id);
            assert_eq!(known, mine.first().copied(), "the book and the calls differ");
            let shown = self.clinic.presence.get(&device.user).copied().flatten();
            assert!(shown.is_none() || shown == known, "shown as busy in a call that is over");
        }
        let live = history.values().filter(|versions| !versions[versions.len() - 1].phase.is_final()).count();
        assert_eq!(self.clinic.exchange.live(), live);
        assert_eq!(self.clinic.exchange.poll_timeout().is_some(), live > 0, "a live call without a deadline");
        if let Some(at) = self.clinic.exchange.poll_timeout() {
            assert!(at > self.clinic.now, "a deadline that has passed did not fire");
        }
        self.check_events(&history);
    }

    fn check_events(&self, history: &BTreeMap<CallId, Vec<&CallRecord>>) {
        let mut ends: BTreeSet<(CallId, String)> = BTreeSet::new();
        for (to, event) in &self.clinic.events {
            let Some((call_id, over)) = subject(event) else { continue };
            let call = history[&call_id][0];
            let user = match to {
                Recipient::Device(actor) => actor.user,
                Recipient::User(user) => *user,
            };
            assert!(
                user == call.caller.user_id || user == call.callee.user_id,
                "somebody who is not in the call was told of it"
            );
            if over {
                assert!(ends.insert((call_id, format!("{to:?}"))), "told twice that a call is over");
            }
        }
    }
}

fn check_versions(versions: &[&CallRecord]) {
    for pair in versions.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let legal = before.phase == after.phase || before.phase.can_become(after.phase);
        assert!(legal, "{} → {}", before.phase, after.phase);
        assert!(before.ends_at <= after.ends_at, "an end that was put off came nearer");
        assert!(!before.phase.is_final(), "a call changed after its end");
    }
    let last = versions[versions.len() - 1];
    assert_eq!(last.phase.is_final(), last.end_reason.is_some());
    assert_eq!(last.phase.is_final(), last.ended_at.is_some());
    let limits = CallLimits::default();
    assert_eq!(
        last.connected_at.is_some(),
        last.ends_at.is_some(),
        "a conversation without an end, or the reverse"
    );
    if let (Some(connected), Some(ends_at)) = (last.connected_at, last.ends_at) {
        let permitted = ends_at.millis_since(connected);
        assert!((limits.max_duration_ms..=limits.max_extended_ms).contains(&permitted));
        assert!(last.duration_s * 1000 <= permitted, "longer than it may last");
    }
    if let (Some(connected), Some(ended)) = (last.connected_at, last.ended_at) {
        assert!(connected <= ended);
        assert!(last.accepted_at.is_some_and(|accepted| accepted <= connected));
    }
    if last.phase == CallPhase::Missed {
        assert!(last.accepted_at.is_none(), "answered and missed");
    }
}

/// Which call an event is about and whether it says that the call is over.
fn subject(event: &Event) -> Option<(CallId, bool)> {
    match event {
        Event::CallRinging { call }
        | Event::CallAccepted { call, .. }
        | Event::CallConnecting { call }
        | Event::CallConnected { call }
        | Event::CallReconnecting { call, .. }
        | Event::CallTypeChanged { call, .. }
        | Event::CallExtended { call, .. } => Some((call.call_id, false)),
        Event::CallExpiring { call_id, .. } => Some((*call_id, false)),
        Event::CallDeclined { call }
        | Event::CallBusy { call }
        | Event::CallEnded { call, .. }
        | Event::CallMissed { call } => Some((call.call_id, true)),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn calls_keep_their_promises_under_any_interleaving(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
            world.check();
        }
        // Left alone, everything comes to an end and everybody is free again.
        world.clinic.wait(2 * CallLimits::default().max_extended_ms);
        world.check();
        prop_assert_eq!(world.clinic.exchange.live(), 0);
        for device in &world.devices {
            prop_assert!(world.clinic.presence.get(&device.user).copied().flatten().is_none());
        }
        for versions in world.history().values() {
            prop_assert_eq!(versions.iter().filter(|record| record.phase.is_final()).count(), 1);
        }
    }
}
