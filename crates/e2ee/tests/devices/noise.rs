//! Bytes from a peer or the server, of any kind, never make the crate panic, and never change a group.

use crate::common::{Person, group, together};
use bedside_e2ee::mls::{Change, Event, MlsError};
use bedside_protocol::Sealed;
use proptest::prelude::*;

/// What a device is given, and what it must answer: an error, or a refusal that is noted.
fn offer_everything(person: &mut Person, bytes: &[u8]) {
    let position = person.device.position(&group()).unwrap();
    let event = person.device.receive(&group(), position, bytes, None).unwrap().unwrap();
    assert!(matches!(event, Event::Refused(_)), "{event:?}");
    assert!(person.device.join(bytes, 0).is_err());
    assert!(person.device.rejoin(bytes, 0).is_err());
    let added = person.device.commit(&group(), &Change::Add(vec![Sealed(bytes.to_vec())]));
    assert!(added.is_err());
}

/// Genuine bytes of every kind, to be damaged: message, commit, welcome, group information, key package, and a commit
/// from outside.
fn genuine() -> Vec<Vec<u8>> {
    let (_log, [mut ana, _ben]) = together::<2>();
    ana.say("hello");
    let message = ana.device.unsent(&group()).unwrap()[0].entry.0.clone();
    let mut chi = Person::new();
    let package = chi.key_package();
    let commit = ana.device.commit(&group(), &Change::Add(vec![package.clone()])).unwrap();
    let (welcome, info) = (commit.welcome.unwrap().0, commit.group_info.unwrap().0);
    let mut tablet = Person::of(ana.identity.user);
    let outside = tablet.device.rejoin(&info, 0).unwrap().entry.0;
    vec![message, commit.entry.0, welcome, info, package.0, outside]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let (_log, [mut ana, _ben]) = together::<2>();
        let before = ana.device.epoch_authenticator(&group());
        offer_everything(&mut ana, &bytes);
        prop_assert_eq!(ana.device.epoch_authenticator(&group()), before);
    }
}

#[test]
fn random_bytes_behind_a_genuine_beginning_are_refused() {
    let (_log, [mut ana, _ben]) = together::<2>();
    let samples = genuine();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(600));
    let cell = std::cell::RefCell::new(&mut ana);
    let damage = (0..samples.len(), any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..80));
    runner
        .run(&damage, |(which, at, tail)| {
            let mut bytes = samples[which].clone();
            bytes.truncate(at.index(bytes.len()));
            bytes.extend_from_slice(&tail);
            offer_everything(&mut cell.borrow_mut(), &bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn genuine_bytes_with_one_changed_bit_are_refused() {
    let (mut log, [mut ana, mut ben, mut chi]) = together::<3>();
    ana.say("hello");
    let message = ana.device.unsent(&group()).unwrap()[0].entry.0.clone();
    let commit = ben.device.commit(&group(), &Change::Update).unwrap();
    let before = chi.device.epoch_authenticator(&group());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(600));
    let cell = std::cell::RefCell::new(&mut chi);
    let damage = (any::<bool>(), any::<prop::sample::Index>(), 0..8_u32);
    runner
        .run(&damage, |(which, at, bit)| {
            let mut bytes = if which { message.clone() } else { commit.entry.0.clone() };
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            offer_everything(&mut cell.borrow_mut(), &bytes);
            Ok(())
        })
        .unwrap();
    assert_eq!(chi.device.epoch_authenticator(&group()), before);
    // After all that, the genuine ones are still read.
    for entry in [&message, &commit.entry.0] {
        let position = chi.device.position(&group()).unwrap();
        let event = chi.device.receive(&group(), position, entry, None).unwrap().unwrap();
        assert!(!matches!(event, Event::Refused(_)), "{event:?}");
    }
    assert_eq!(log.offer(&commit), crate::common::Answer::Taken);
}

#[test]
fn welcomes_and_group_information_with_one_changed_bit_are_refused() {
    let (mut log, [mut ana, ben]) = together::<2>();
    let mut chi = Person::new();
    let package = chi.key_package();
    let commit = ana.device.commit(&group(), &Change::Add(vec![package])).unwrap();
    log.offer(&commit);
    let (welcome, info) = (commit.welcome.unwrap().0, commit.group_info.unwrap().0);
    let mut tablet = Person::of(ben.identity.user);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let cell = std::cell::RefCell::new((&mut chi, &mut tablet));
    runner
        .run(&(any::<prop::sample::Index>(), 0..8_u32), |(at, bit)| {
            let changed = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                let at = at.index(bytes.len());
                bytes[at] ^= 1_u8 << bit;
                bytes
            };
            let (chi, tablet) = &mut *cell.borrow_mut();
            let joined = chi.device.join(&changed(&welcome), 2);
            prop_assert!(
                matches!(joined, Err(MlsError::BadWelcome | MlsError::NotForThisDevice)),
                "{:?}",
                joined
            );
            prop_assert!(tablet.device.rejoin(&changed(&info), 2).is_err());
            Ok(())
        })
        .unwrap();
    assert!(chi.device.join(&welcome, 2).is_ok(), "the genuine one is still good");
    assert!(tablet.device.rejoin(&info, 2).is_ok());
}
