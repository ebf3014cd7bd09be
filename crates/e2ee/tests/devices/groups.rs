//! What a group of devices does, and what it refuses, with a server that keeps to its task.

use crate::common::{Answer, Log, Person, devices_together, gather, group, now, together};
use bedside_e2ee::mls::{
    Change, Event, GroupId, MlsError, Refusal, key_packages_outdated, key_packages_wanted,
};
use bedside_protocol::{Sealed, UserId};

/// What a device shows after reading `entry` as the next of the log.
fn after(person: &mut Person, entry: &[u8]) -> Event {
    let position = person.device.position(&group()).unwrap();
    person.device.receive(&group(), position, entry, None).unwrap().unwrap()
}

#[test]
fn everybody_reads_what_somebody_writes_in_the_logs_order() {
    let (mut log, mut people) = together::<3>();
    for round in 0..3 {
        for person in &mut people {
            person.say(&format!("{round}"));
            person.flush(&mut log).unwrap();
        }
    }
    for person in &mut people {
        person.catch_up(&log).unwrap();
    }
    let [ana, ben, chi] = &people;
    assert_eq!(ana.heard().len(), 9);
    assert_eq!(ana.heard(), ben.heard());
    assert_eq!(ana.heard(), chi.heard());
    let own = |event: &&Event| matches!(event, Event::Message { own: true, .. });
    assert_eq!(chi.shown.values().filter(own).count(), 3);
}

#[test]
fn a_device_is_added_removed_and_its_messages_refused_at_once() {
    let (mut log, [mut ana, mut ben, mut chi]) = devices_together::<3>();
    // Chi's message is sealed, and not yet with the server, when Ana removes Chi.
    chi.say("late");
    let late = chi.device.unsent(&group()).unwrap();
    ana.device.commit(&group(), &Change::Remove(vec![chi.identity.device])).unwrap();
    ana.flush(&mut log).unwrap();
    ben.catch_up(&log).unwrap();
    let Event::Changed { by, left, joined, own: false, external: false, .. } = ben.last() else {
        panic!("{:?}", ben.last())
    };
    assert_eq!((by, left.as_slice(), joined.as_slice()), (&ana.identity, &[chi.identity][..], &[][..]));
    assert_eq!(log.offer(&late[0]), Answer::Stale);
    // A server that takes it all the same changes nothing.
    let refused = after(&mut ben, &late[0].entry.0);
    assert_eq!(refused, Event::Refused(Refusal::WrongEpoch { ours: 2, theirs: 1 }));
    chi.catch_up(&log).unwrap();
    assert_eq!(*chi.last(), Event::Removed { by: ana.identity });
    assert_eq!(chi.device.send(&group(), common_id(), b"x"), Err(MlsError::Removed));
    assert_eq!(chi.device.members(&group()), Err(MlsError::Removed));
    assert_eq!(ana.devices(), ben.devices());
    // Let in again, Chi is back.
    let package = chi.key_package();
    log.entries.pop_if(|entry| *entry == late[0].entry.0);
    ana.device.commit(&group(), &Change::Add(vec![package])).unwrap();
    ana.flush(&mut log).unwrap();
    let (welcome, position) = log.welcomes.pop().unwrap();
    let (joined, inviter) = chi.device.join(&welcome, position).unwrap();
    assert_eq!((joined, inviter), (group(), ana.identity));
    assert_eq!(ana.devices(), chi.devices());
}

fn common_id() -> bedside_e2ee::mls::MessageId {
    bedside_e2ee::mls::MessageId(uuid::Uuid::new_v4())
}

#[test]
fn of_two_commits_in_one_epoch_the_second_is_told_that_it_lost() {
    let (mut log, [mut ana, mut ben, mut chi]) = together::<3>();
    let mut dee = Person::new();
    let add = Change::Add(vec![dee.key_package()]);
    let winner = ana.device.commit(&group(), &Change::Update).unwrap();
    let loser = ben.device.commit(&group(), &add).unwrap();
    assert_eq!(ben.device.commit(&group(), &Change::Update), Err(MlsError::CommitPending));
    assert_eq!(log.offer(&winner), Answer::Taken);
    assert_eq!(log.offer(&loser), Answer::Stale);
    ben.catch_up(&log).unwrap();
    let Event::Changed { by, own: false, lost, .. } = ben.last() else { panic!("{:?}", ben.last()) };
    assert_eq!((by, lost.as_ref()), (&ana.identity, Some(&add)));
    // Asked for again, it goes through with the same key package.
    ben.device.commit(&group(), &add).unwrap();
    ben.flush(&mut log).unwrap();
    let (welcome, position) = log.welcomes.pop().unwrap();
    dee.device.join(&welcome, position).unwrap();
    ana.catch_up(&log).unwrap();
    chi.catch_up(&log).unwrap();
    let devices = dee.devices();
    assert_eq!(devices.len(), 4);
    for person in [&mut ana, &mut ben, &mut chi] {
        assert_eq!(person.devices(), devices);
    }
}

#[test]
fn messages_that_wait_while_the_epoch_changes_are_sealed_anew_and_stay_in_order() {
    let (mut log, [mut ana, mut ben]) = together::<2>();
    let said = ["one", "two", "three"].map(|text| ben.say(text));
    let before = ben.device.unsent(&group()).unwrap();
    ana.device.commit(&group(), &Change::Update).unwrap();
    ana.flush(&mut log).unwrap();
    assert!(before.iter().all(|outgoing| log.offer(outgoing) == Answer::Stale));
    ben.flush(&mut log).unwrap();
    ana.catch_up(&log).unwrap();
    let ids: Vec<_> = ana.heard().into_iter().map(|(_, id, _)| id).collect();
    assert_eq!(ids, said);
    assert!(ana.shown.values().all(|event| !matches!(event, Event::Message { missing: 1.., .. })));
}

#[test]
fn secrets_and_check_codes_are_the_same_for_all_and_change_with_the_members() {
    let (mut log, [mut ana, mut ben, chi]) = devices_together::<3>();
    let id = group();
    let secret = |person: &mut Person| person.device.export_secret(&id, "label", b"context", 32).unwrap();
    let before = secret(&mut ana);
    assert_eq!(before, secret(&mut ben));
    assert_ne!(before, ana.device.export_secret(&id, "label", b"other", 32).unwrap());
    let code = ana.device.check_code(&id).unwrap();
    assert_eq!(code, ben.device.check_code(&id).unwrap());
    assert_eq!(ana.device.epoch_authenticator(&id), ben.device.epoch_authenticator(&id));
    ana.device.commit(&id, &Change::Remove(vec![chi.identity.device])).unwrap();
    ana.flush(&mut log).unwrap();
    assert_ne!(before, secret(&mut ana));
    assert_ne!(code, ana.device.check_code(&id).unwrap());
}

#[test]
fn frames_sealed_with_the_groups_secret_open_at_the_others_and_not_after_removal() {
    use bedside_e2ee::sframe::{FrameError, FrameOpener, FrameSealer};
    let (mut log, [mut ana, mut ben, mut chi]) = devices_together::<3>();
    let (secret, leaf) = ana.device.frame_secret(&group(), b"call").unwrap();
    let mut sealer = FrameSealer::new(&secret, leaf, 0).unwrap();
    let (mut at_ben, mut at_chi) = (FrameOpener::default(), FrameOpener::default());
    at_ben.enter(ben.device.frame_secret(&group(), b"call").unwrap().0).unwrap();
    at_chi.enter(chi.device.frame_secret(&group(), b"call").unwrap().0).unwrap();
    let (mut sealed, mut frame) = (Vec::new(), Vec::new());
    sealer.seal(b"picture", b"", &mut sealed).unwrap();
    assert_eq!(at_ben.open(&sealed, b"", &mut frame).unwrap().leaf, leaf);
    assert_eq!(frame, b"picture");
    assert!(at_chi.open(&sealed, b"", &mut frame).is_ok());
    ana.device.commit(&group(), &Change::Remove(vec![chi.identity.device])).unwrap();
    ana.flush(&mut log).unwrap();
    chi.catch_up(&log).unwrap();
    assert_eq!(chi.device.frame_secret(&group(), b"call").unwrap_err(), MlsError::Removed);
    let (secret, leaf) = ana.device.frame_secret(&group(), b"call").unwrap();
    FrameSealer::new(&secret, leaf, 0).unwrap().seal(b"next", b"", &mut sealed).unwrap();
    assert_eq!(at_chi.open(&sealed, b"", &mut frame), Err(FrameError::NoKey));
    ben.catch_up(&log).unwrap();
    at_ben.enter(ben.device.frame_secret(&group(), b"call").unwrap().0).unwrap();
    assert!(at_ben.open(&sealed, b"", &mut frame).is_ok());
}

#[test]
fn a_users_new_device_comes_from_outside_and_everybody_is_told() {
    let (mut log, [mut ana, mut ben]) = together::<2>();
    let mut tablet = Person::of(ben.identity.user);
    let (info, position) = log.info.clone().unwrap();
    tablet.device.rejoin(&info, position).unwrap();
    assert_eq!(tablet.device.members(&group()), Err(MlsError::Joining));
    tablet.flush(&mut log).unwrap();
    assert!(matches!(tablet.last(), Event::Changed { own: true, external: true, .. }));
    for person in [&mut ana, &mut ben] {
        person.catch_up(&log).unwrap();
        let Event::Changed { by, joined, external: true, own: false, .. } = person.last() else {
            panic!("{:?}", person.last())
        };
        assert_eq!((by, joined.as_slice()), (&tablet.identity, &[tablet.identity][..]));
    }
    tablet.say("hello from my tablet");
    tablet.flush(&mut log).unwrap();
    ana.catch_up(&log).unwrap();
    assert_eq!(ana.heard().len(), 1);
}

#[test]
fn a_stranger_does_not_come_in_from_outside() {
    let (mut log, [mut ana, _ben]) = together::<2>();
    let (info, position) = log.info.clone().unwrap();
    let mut stranger = Person::new();
    assert_eq!(stranger.device.rejoin(&info, position), Err(MlsError::Unauthorised));
    // One whose app doesn't ask itself is refused by the others.
    struct Anything;
    impl bedside_e2ee::mls::Authority for Anything {
        fn permits(&self, _: &bedside_e2ee::mls::Act<'_>) -> bool {
            true
        }
    }
    let identity = bedside_e2ee::DeviceIdentity::generate(
        bedside_protocol::UserId::random(),
        bedside_protocol::DeviceId::random(),
    )
    .unwrap();
    let store = bedside_e2ee::store::MemoryStore::default();
    let mut rude = bedside_e2ee::mls::Device::open(identity, store, Box::new(Anything));
    let commit = rude.rejoin(&info, position).unwrap();
    assert_eq!(log.offer(&commit), Answer::Taken);
    ana.catch_up(&log).unwrap();
    assert_eq!(*ana.last(), Event::Refused(Refusal::Unauthorised));
    assert_eq!(ana.devices().len(), 2);
}

#[test]
fn a_device_that_lost_its_state_comes_back_as_itself() {
    let (mut log, [mut ana, mut ben]) = together::<2>();
    ben.say("before");
    ben.flush(&mut log).unwrap();
    ana.catch_up(&log).unwrap();
    ben.lose_state();
    let (info, position) = log.info.clone().unwrap();
    ben.device.rejoin(&info, position).unwrap();
    ben.flush(&mut log).unwrap();
    ben.say("after");
    ben.flush(&mut log).unwrap();
    ana.catch_up(&log).unwrap();
    let texts: Vec<_> = ana.heard().into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, ["before", "after"]);
    assert_eq!(ana.devices().len(), 2, "its former self is gone");
    assert!(ana.shown.values().any(|event| matches!(event, Event::Changed { external: true, .. })));
}

#[test]
fn who_comes_from_outside_too_late_is_told_and_tries_again() {
    let (mut log, [mut ana, ben]) = together::<2>();
    let mut tablet = Person::of(ben.identity.user);
    let (info, position) = log.info.clone().unwrap();
    tablet.device.rejoin(&info, position).unwrap();
    ana.say("in between");
    ana.device.commit(&group(), &Change::Update).unwrap();
    ana.flush(&mut log).unwrap();
    tablet.catch_up(&log).unwrap();
    let between = Event::Refused(Refusal::WrongEpoch { ours: 2, theirs: 1 });
    assert_eq!(tablet.shown.values().collect::<Vec<_>>(), [&between, &Event::JoinLost]);
    let (info, position) = log.info.clone().unwrap();
    tablet.device.rejoin(&info, position).unwrap();
    tablet.flush(&mut log).unwrap();
    ana.catch_up(&log).unwrap();
    assert_eq!(ana.devices(), tablet.devices());
}

#[test]
fn a_revoked_device_leaves_every_group() {
    let (mut log, [mut ana, mut ben]) = devices_together::<2>();
    let alone = GroupId::new(*b"alone").unwrap();
    ana.device.create(&alone, now()).unwrap();
    let asked = ana.device.revoke(ben.identity.device).unwrap();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].outcome.is_ok());
    ana.flush(&mut log).unwrap();
    ben.catch_up(&log).unwrap();
    assert_eq!(*ben.last(), Event::Removed { by: ana.identity });
}

#[test]
fn entries_seen_before_skipped_changed_or_foreign_are_each_answered_in_their_way() {
    let (mut log, [mut ana, mut ben]) = together::<2>();
    ana.say("one");
    ana.flush(&mut log).unwrap();
    ben.catch_up(&log).unwrap();
    let one = log.entries.last().unwrap().clone();
    // The server delivers the same position again.
    assert_eq!(ben.device.receive(&group(), 1, &one, None), Ok(None));
    // It delivers the same entry as a new one.
    assert_eq!(after(&mut ben, &one), Event::Refused(Refusal::Replayed));
    assert_eq!(after(&mut ana, &one), Event::Refused(Refusal::Replayed), "to its own sender, too");
    // It leaves one out.
    let gap = ben.device.receive(&group(), 9, &one, None);
    assert_eq!(gap, Err(MlsError::Gap { expected: 3, got: 9 }));
    // Bits change on the way.
    ana.say("two");
    let mut two = ana.device.unsent(&group()).unwrap()[0].entry.0.clone();
    let at = two.len() - 20;
    two[at] ^= 1;
    assert_eq!(after(&mut ben, &two), Event::Refused(Refusal::Unreadable));
    two[at] ^= 1;
    assert!(matches!(after(&mut ben, &two), Event::Message { missing: 0, .. }), "the real one still opens");
    // Another group's entry, nothing, too much, and something else of MLS.
    let (_, [mut other, _]) = {
        let mut people = [Person::new(), Person::new()];
        let name = GroupId::new(*b"another").unwrap();
        people[0].device.create(&name, now()).unwrap();
        (name, people)
    };
    let name = GroupId::new(*b"another").unwrap();
    let foreign = other.device.send(&name, common_id(), b"x").unwrap();
    assert_eq!(after(&mut ben, &foreign.entry.0), Event::Refused(Refusal::WrongGroup));
    assert_eq!(after(&mut ben, b""), Event::Refused(Refusal::Malformed));
    assert_eq!(after(&mut ben, &vec![0; 2 << 20]), Event::Refused(Refusal::TooLarge));
    let package = other.key_package();
    assert_eq!(after(&mut ben, &package.0), Event::Refused(Refusal::Malformed));
    assert_eq!(ben.devices(), ana.devices(), "and nothing changed");
}

#[test]
fn a_withheld_message_shows_with_the_next_one() {
    let (mut log, [mut ana, mut ben]) = together::<2>();
    for text in ["one", "two", "three", "four"] {
        ana.say(text);
    }
    let entries = ana.device.unsent(&group()).unwrap();
    // The server swallows "two" and "three" for Ben.
    assert!(matches!(after(&mut ben, &entries[0].entry.0), Event::Message { missing: 0, .. }));
    assert!(matches!(after(&mut ben, &entries[3].entry.0), Event::Message { missing: 2, .. }));
    assert_eq!(after(&mut ben, &entries[1].entry.0), Event::Refused(Refusal::Replayed), "too late");
    // When the log itself has them out of order, what was passed over is sent again.
    for position in [0, 3] {
        log.offer(&entries[position]);
    }
    ana.flush(&mut log).unwrap();
    let again: Vec<_> = ana.heard().into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(again, ["one", "four", "two", "three"]);
}

#[test]
fn a_welcome_does_not_lead_a_member_into_another_group_of_the_same_name() {
    let (_log, [_ana, mut ben]) = together::<2>();
    let mut mallory = Person::new();
    let package = ben.key_package();
    mallory.device.create(&group(), now()).unwrap();
    let trap = mallory.device.commit(&group(), &Change::Add(vec![package])).unwrap();
    let devices = ben.devices();
    assert_eq!(ben.device.join(&trap.welcome.unwrap().0, 0), Err(MlsError::GroupExists));
    assert_eq!(ben.devices(), devices);
}

#[test]
fn whoever_asks_for_key_packages_without_end_gets_them_and_the_disk_does_not_fill() {
    let mut ben = Person::new();
    let resort = ben.device.key_packages(1, true, now()).unwrap().remove(0);
    let first = ben.device.key_packages(50, false, now()).unwrap().remove(0);
    let records = |ben: &Person| ben.store.inner.records().len();
    for _ in 0..4 {
        ben.device.key_packages(50, false, now()).unwrap();
    }
    let most = records(&ben);
    let newest = ben.device.key_packages(50, false, now()).unwrap().remove(49);
    assert_eq!(records(&ben), most, "as many are erased as are made");
    for _ in 0..4 {
        ben.device.key_packages(1, true, now()).unwrap();
    }
    for (package, known) in [(first, false), (newest, true), (resort, true)] {
        let mut ana = Person::new();
        ana.device.create(&group(), now()).unwrap();
        let added = ana.device.commit(&group(), &Change::Add(vec![package])).unwrap();
        let joined = ben.device.join(&added.welcome.unwrap().0, 1);
        assert_eq!(joined.is_ok(), known, "{joined:?}");
        let _ = ben.device.forget(&group());
    }
}

#[test]
fn a_key_package_serves_once_and_the_last_resort_again_and_again() {
    let mut ana = Person::new();
    let mut ben = Person::new();
    let once = ben.key_package();
    let resort = ben.device.key_packages(1, true, now()).unwrap().remove(0);
    let invite = |ana: &mut Person, name: &str, package: &Sealed| {
        let name = GroupId::new(name.as_bytes()).unwrap();
        ana.device.create(&name, now()).unwrap();
        ana.device.commit(&name, &Change::Add(vec![package.clone()])).unwrap().welcome.unwrap().0
    };
    let one = invite(&mut ana, "one", &once);
    let two = invite(&mut ana, "two", &once);
    assert!(ben.device.join(&one, 1).is_ok());
    assert_eq!(ben.device.join(&two, 1), Err(MlsError::NotForThisDevice));
    assert_eq!(ben.device.last_resort_used(), Ok(false));
    for name in ["three", "four"] {
        let welcome = invite(&mut ana, name, &resort);
        assert!(ben.device.join(&welcome, 1).is_ok());
    }
    assert_eq!(ben.device.groups().unwrap().len(), 3);
    ben.restart();
    assert_eq!(ben.device.last_resort_used(), Ok(true), "known after a restart, too");
    ben.device.last_resort_replaced().unwrap();
    assert_eq!(ben.device.last_resort_used(), Ok(false));
}

#[test]
fn key_packages_are_outdated_long_before_they_expire_and_when_the_clock_went_back() {
    let (hour, day) = (3600, 24 * 3600);
    let made = now();
    assert!(!key_packages_outdated(made, made));
    assert!(!key_packages_outdated(made, made + 41 * day));
    assert!(key_packages_outdated(made, made + 42 * day));
    assert!(key_packages_outdated(made, made + 400 * day));
    assert!(!key_packages_outdated(made, made - hour), "clocks may be so far apart");
    assert!(key_packages_outdated(made, made - hour - 1), "others take them to be of the future");
    assert!(key_packages_outdated(0, made), "made by a clock that had lost the time");
}

#[test]
fn expired_key_packages_are_refused_and_their_keys_erased() {
    let (_log, [mut ana, _ben]) = together::<2>();
    let mut chi = Person::new();
    let year = 365 * 24 * 3600;
    let old = chi.device.key_packages(2, false, now() - year).unwrap();
    chi.key_package();
    let add = Change::Add(vec![old[0].clone()]);
    assert_eq!(ana.device.commit(&group(), &add), Err(MlsError::BadKeyPackage));
    let records = chi.store.inner.records().len();
    assert_eq!(chi.device.forget_expired_key_packages(now()), Ok(2));
    assert_eq!(chi.store.inner.records().len(), records - 2);
    assert_eq!(chi.device.forget_expired_key_packages(now()), Ok(0));
    assert_eq!((key_packages_wanted(50), key_packages_wanted(20), key_packages_wanted(19)), (0, 0, 31));
}

#[test]
fn changes_that_make_no_sense_are_refused_before_they_are_sent() {
    let (_log, [mut ana, mut ben]) = together::<2>();
    let mut tried = |change: Change| ana.device.commit(&group(), &change).unwrap_err();
    let bens = ben.device.key_packages(2, false, now()).unwrap();
    assert_eq!(tried(Change::Add(bens)), MlsError::AlreadyMember(ben.identity.device));
    let twice = Person::new().device.key_packages(2, false, now()).unwrap();
    assert!(matches!(tried(Change::Add(twice)), MlsError::AlreadyMember(_)));
    assert_eq!(tried(Change::Add(vec![])), MlsError::NothingToDo);
    assert_eq!(tried(Change::Add(vec![Sealed(vec![1, 2, 3])])), MlsError::BadKeyPackage);
    assert_eq!(tried(Change::Remove(vec![Person::new().identity.device])), MlsError::NothingToDo);
    let own = ana.identity.device;
    assert_eq!(ana.device.commit(&group(), &Change::Remove(vec![own])), Err(MlsError::OwnDevice));
    let unknown = GroupId::new(*b"unknown").unwrap();
    assert_eq!(ana.device.members(&unknown), Err(MlsError::UnknownGroup));
    assert_eq!(ana.device.send(&group(), common_id(), &vec![0; 40_000]), Err(MlsError::TooLarge));
    assert_eq!(ana.device.create(&group(), now()), Err(MlsError::GroupExists));
    assert_eq!(ana.device.unsent(&group()), Ok(vec![]), "nothing of it waits to be sent");
}

#[test]
fn a_group_of_fifty_devices_works() {
    let user = UserId::random();
    let mut people: Vec<Person> = (0..50).map(|_| Person::of(user)).collect();
    let mut log = gather(&mut people);
    people[49].say("hello, all of you");
    people[49].flush(&mut log).unwrap();
    for person in &mut people {
        person.catch_up(&log).unwrap();
        assert_eq!(person.heard().len(), 1);
    }
    let gone: Vec<_> = people[10..20].iter().map(|person| person.identity.device).collect();
    people[0].device.commit(&group(), &Change::Remove(gone)).unwrap();
    people[0].flush(&mut log).unwrap();
    people[30].catch_up(&log).unwrap();
    assert_eq!(people[30].devices().len(), 40);
    people[15].catch_up(&log).unwrap();
    assert!(matches!(people[15].last(), Event::Removed { .. }));
}

#[test]
fn a_forgotten_group_leaves_no_key_behind() {
    let (_log, [mut ana, _ben]) = together::<2>();
    ana.say("never sent");
    ana.device.forget(&group()).unwrap();
    assert_eq!(ana.device.groups().unwrap().len(), 0);
    let left: Vec<String> = ana
        .store
        .inner
        .records()
        .keys()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .filter(|name| name != "mls groups null")
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn the_server_sees_neither_texts_nor_who_is_added() {
    let (mut log, [mut ana, ben]) = together::<2>();
    ana.say("a secret nobody else may read");
    let chi = Person::new().key_package();
    ana.device.commit(&group(), &Change::Add(vec![chi])).unwrap();
    ana.flush(&mut log).unwrap();
    let has = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).any(|part| part == needle);
    let Log { entries, .. } = &log;
    for entry in entries {
        assert!(!has(entry, b"secret nobody"));
        assert!(!has(entry, ben.identity.user.0.as_bytes()));
    }
}

#[test]
fn a_device_can_move_to_another_thread() {
    fn moves<T: Send>() {}
    moves::<bedside_e2ee::mls::Device<bedside_e2ee::store::MemoryStore>>();
}

#[test]
fn a_group_lives_in_a_sealed_store_and_nothing_of_it_can_be_read_there() {
    use bedside_e2ee::{
        DeviceIdentity,
        at_rest::{RecordKey, SealedStore},
        mls::{Device, OwnDevicesLeave},
        store::MemoryStore,
    };
    let (disk, key) = (MemoryStore::default(), RecordKey::generate().unwrap());
    let identity =
        DeviceIdentity::generate(bedside_protocol::UserId::random(), bedside_protocol::DeviceId::random())
            .unwrap();
    let (public, exported) = (identity.public(), identity.export());
    let open = |identity| {
        Device::open(identity, SealedStore::new(disk.clone(), key.clone()), Box::new(OwnDevicesLeave))
    };
    let mut device = open(identity);
    device.create(&group(), now()).unwrap();
    let waiting = device.send(&group(), common_id(), b"a secret nobody else may read").unwrap();
    // After a restart it is all there, for who has the key.
    let mut device = open(DeviceIdentity::import(&exported).unwrap());
    assert_eq!(device.unsent(&group()), Ok(vec![waiting]));
    assert_eq!(device.members(&group()).unwrap()[0].identity, public);
    let has = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).any(|part| part == needle);
    for (name, value) in disk.records() {
        for plain in [b"conversation".as_slice(), b"mls", b"{\"", public.device.to_string().as_bytes()] {
            assert!(!has(&name, plain));
            assert!(plain.len() < 4 || !has(&value, plain));
        }
    }
}
