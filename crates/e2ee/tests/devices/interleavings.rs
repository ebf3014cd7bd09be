//! Whatever happens in whatever order, everybody ends with the same messages in the same order, each once.
//!
//! Three devices, of which two belong to one user, do what proptest says: write, change keys, bring in guests and send
//! them away, lose their connection and find it again, send some of what waits, read some of the log, die before or after
//! any write, restart. The server is a model that orders one commit per epoch; whoever comes second with one has lost.

use std::collections::BTreeSet;

use crate::common::{Answer, Log, Person, gather, group};
use bedside_e2ee::{
    PublicIdentity,
    mls::{Change, Event, MlsError},
};
use bedside_protocol::DeviceId;
use proptest::prelude::*;

/// One step of one device.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Writes a message, and doesn't send it yet.
    Write,
    /// Makes new keys for itself, and doesn't send that yet.
    Update,
    /// Brings in a guest, and doesn't send that yet.
    Invite,
    /// Sends a guest away, and doesn't send that yet.
    Dismiss,
    /// There is no way to the server from here on.
    Disconnect,
    /// There is one again.
    Connect,
    /// Offers the server the first `0` of what waits, and learns the answers.
    Offer(usize),
    /// Reads at most `0` entries of the log.
    Read(usize),
    /// The process ends and starts again.
    Restart,
    /// Dies at write `0` from now, after it took effect or before.
    Die(u32, bool),
    /// Sends and reads until nothing is left.
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Write),
        2 => Just(Step::Update),
        1 => Just(Step::Invite),
        1 => Just(Step::Dismiss),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Connect),
        3 => (1..4_usize).prop_map(Step::Offer),
        3 => (1..5_usize).prop_map(Step::Read),
        1 => Just(Step::Restart),
        3 => (0..4_u32, any::<bool>()).prop_map(|(after, written)| Step::Die(after, written)),
        1 => Just(Step::Flush),
    ]
}

/// What a crash does to a call: nothing is told, and the process starts again.
fn survive<T>(person: &mut Person, outcome: Result<T, MlsError>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(MlsError::Store(_)) => {
            person.restart();
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Changes the group, unless a change waits already.
fn change(person: &mut Person, change: &Change) {
    match person.device.commit(&group(), change) {
        Err(MlsError::CommitPending) => {}
        outcome => drop(survive(person, outcome)),
    }
}

/// What is the same in every step.
struct Scene {
    log: Log,
    /// Texts whose writing was not cut short.
    written: BTreeSet<String>,
    /// Devices that are no guests.
    regulars: BTreeSet<DeviceId>,
}

fn take(person: &mut Person, online: &mut bool, scene: &mut Scene, step: Step, number: usize) {
    let id = group();
    let Scene { log, written, regulars } = scene;
    match step {
        Step::Offer(_) | Step::Read(_) | Step::Flush if !*online => {}
        Step::Disconnect => *online = false,
        Step::Connect => *online = true,
        // A further device of the same user, which it may put out again.
        Step::Invite => {
            let mut guest = Person::of(person.identity.user);
            change(person, &Change::Add(vec![guest.key_package()]));
        }
        Step::Dismiss => {
            let outcome = person.device.members(&id);
            let members = survive(person, outcome).unwrap_or_default();
            let own = |one: &&PublicIdentity| one.user == person.identity.user;
            let mut owned = members.iter().map(|member| &member.identity).filter(own);
            if let Some(guest) = owned.find(|one| !regulars.contains(&one.device)) {
                change(person, &Change::Remove(vec![guest.device]));
            }
        }
        Step::Write => {
            let text = format!("{number}");
            let message = bedside_e2ee::mls::MessageId(uuid::Uuid::from_u128(number as u128));
            let outcome = person.device.send(&id, message, text.as_bytes());
            if survive(person, outcome).is_some() {
                written.insert(text);
            }
        }
        Step::Update => change(person, &Change::Update),
        Step::Offer(count) => {
            let outcome = person.device.unsent(&id);
            for outgoing in survive(person, outcome).unwrap_or_default().iter().take(count) {
                if log.offer(outgoing) == Answer::Stale {
                    break;
                }
            }
        }
        Step::Read(count) => {
            let until = usize::try_from(person.device.position(&id).unwrap_or(0)).unwrap() + count;
            let part = Log { entries: log.entries.iter().take(until).cloned().collect(), ..Log::default() };
            let outcome = person.catch_up(&part);
            survive(person, outcome);
        }
        Step::Restart => person.restart(),
        Step::Die(after, written) => person.store.die(after, written),
        Step::Flush => {
            let outcome = person.flush(log);
            survive(person, outcome);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn everybody_ends_with_the_same_messages_in_the_same_order(
        steps in prop::collection::vec((0..3_usize, step()), 1..60),
    ) {
        let ana = Person::new();
        let tablet = Person::of(ana.identity.user);
        let mut people = [ana, tablet, Person::new()];
        let log = gather(&mut people);
        let regulars = people.iter().map(|person| person.identity.device).collect();
        let mut scene = Scene { log, written: BTreeSet::new(), regulars };
        let mut online = [true; 3];
        for (number, (who, step)) in steps.into_iter().enumerate() {
            take(&mut people[who], &mut online[who], &mut scene, step, number);
        }
        let Scene { mut log, written, .. } = scene;
        // In the end all are well, send what waits, and read everything; twice, as one may change what another waits for.
        for _ in 0..2 {
            for person in &mut people {
                person.restart();
                person.flush(&mut log).unwrap();
            }
        }
        for person in &mut people {
            person.catch_up(&log).unwrap();
            prop_assert_eq!(person.device.unsent(&group()), Ok(vec![]));
        }
        let heard = people[0].heard();
        let texts: Vec<&String> = heard.iter().map(|(_, _, text)| text).collect();
        let once: BTreeSet<&String> = texts.iter().copied().collect();
        prop_assert_eq!(texts.len(), once.len(), "something was heard twice: {:?}", texts);
        for text in &written {
            prop_assert!(once.contains(text), "{} was written and never heard", text);
        }
        for person in &people {
            prop_assert_eq!(&person.heard(), &heard);
            for event in person.shown.values() {
                prop_assert!(!matches!(event, Event::Refused(_)), "{:?}", event);
                prop_assert!(!matches!(event, Event::Message { missing: 1.., .. }), "{:?}", event);
            }
        }
        let [ana, tablet, ben] = &mut people;
        let state = ana.device.epoch_authenticator(&group());
        prop_assert_eq!(&state, &tablet.device.epoch_authenticator(&group()));
        prop_assert_eq!(&state, &ben.device.epoch_authenticator(&group()));
        for sender in [0, 1, 2] {
            // What one device wrote is heard in the order in which it wrote it.
            let device = people[sender].identity.device;
            let numbers: Vec<usize> = heard
                .iter()
                .filter(|(from, _, _)| *from == device)
                .map(|(_, _, text)| text.parse().unwrap())
                .collect();
            prop_assert!(numbers.is_sorted(), "{:?}", numbers);
        }
    }
}
