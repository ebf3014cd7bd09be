//! Key packages that grow old: whoever wants to let this device in finds some that are valid, and whose keys it has.

use bedside_e2ee::{
    mls::{Change, Device, GroupId, KEY_PACKAGES, MlsError, OwnDevicesLeave},
    store::MemoryStore,
};
use bedside_protocol::{DeviceId, Sealed, UserId, conversation::PublishKeyPackages};

use super::{
    super::{Channels, Worker, now_seconds, packages::HandedOut},
    *,
};
use crate::{
    api::ApiError,
    chat::{journal::Journal, vault::Local},
};

/// Fewer than are kept and more than are few: the server's count alone makes nobody publish any.
const SOME: usize = 30;
const DAY: i64 = 24 * 3600;

fn device_of(vault: &Vault) -> Device<Local> {
    Device::open(vault.identity().unwrap(), vault.local.clone(), Box::new(OwnDevicesLeave))
}

impl Person {
    /// What the server has of this closed app was made so many seconds ago.
    async fn handed_in(&self, ago: i64) {
        let vault = self.at_rest();
        let mut device = device_of(&vault);
        let made = now_seconds().checked_add_signed(-ago).unwrap();
        let packages = device.key_packages(SOME, false, made).unwrap();
        let last_resort = device.key_packages(1, true, made).unwrap().pop();
        let body = PublishKeyPackages { packages, last_resort, replace: true };
        assert_eq!(self.api.publish_key_packages(&body).await.unwrap().left, SOME);
        let handed_out = HandedOut { by: vault.identity().unwrap().public(), made };
        Journal::new(vault.local.clone()).write_value(HandedOut::NAME, &handed_out).unwrap();
        vault.barrier().unwrap();
    }

    /// The messenger of this closed app, which does what it is told and no more.
    fn worker(&self) -> Worker {
        let (heard, _) = mpsc::channel(1);
        let socket = Socket::start(self.api.clone(), heard, self.lives);
        let (events, _) = mpsc::unbounded_channel();
        let (outcomes, _) = mpsc::unbounded_channel();
        let (transfer_events, _) = mpsc::unbounded_channel();
        let (shown, _) = watch::channel(ChatView::default());
        let channels = Channels { events, shown, outcomes, transfer_events };
        Worker::open(self.config(socket), self.at_rest(), channels).unwrap()
    }

    fn records(&self) -> usize {
        self.disk.life().written.len()
    }

    /// How many the server has, once it has this many or the app has died.
    async fn until_left(&self, wanted: usize) -> usize {
        let counted = async {
            loop {
                let left = self.api.key_packages_left().await.unwrap().left;
                if left == wanted || self.disk.is_dead() {
                    return left;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, counted).await.expect("new key packages")
    }

    /// What somebody finds who wants to let this person in.
    async fn found_by(&self, other: &Person) -> Sealed {
        let claimed = other.api.claim_key_packages(self.signed_in.user.id).await.unwrap();
        claimed.into_iter().next().expect("one").key_package
    }

    /// Whether it lets this person in, whose app is closed.
    fn is_let_in_by(&self, package: Sealed) -> bool {
        let identity = DeviceIdentity::generate(UserId::random(), DeviceId::random()).unwrap();
        let mut host = Device::open(identity, MemoryStore::default(), Box::new(OwnDevicesLeave));
        let group = GroupId::new(*b"another").unwrap();
        host.create(&group, now_seconds()).unwrap();
        let added = match host.commit(&group, &Change::Add(vec![package])) {
            Ok(added) => added,
            Err(error) => {
                assert_eq!(error, MlsError::BadKeyPackage);
                return false;
            }
        };
        let mut own = device_of(&self.at_rest());
        let joined = own.join(&added.welcome.unwrap().0, 1);
        let _ = own.forget(&group);
        assert!(joined.is_ok() || joined == Err(MlsError::NotForThisDevice), "{joined:?}");
        joined.is_ok()
    }
}

/// A clinic that lets anybody claim as often as they like.
async fn generous() -> Clinic {
    Clinic::open_with(|config| {
        config.limits.rest_burst = 100_000;
        config.limits.claim_burst = 100_000;
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_away_until_nothing_they_had_handed_in_was_valid_can_be_let_in_after_the_next_start() {
    let clinic = generous().await;
    let (mut hero, friend) = acquainted(&clinic).await;
    // Young enough; half of the lifetime over; all of it; made by a clock that was ahead.
    for (age, replaced) in [(41 * DAY, false), (43 * DAY, true), (86 * DAY, true), (-2 * DAY, true)] {
        hero.close().await;
        hero.handed_in(age).await;
        let valid = (0..84 * DAY).contains(&age);
        assert_eq!(hero.is_let_in_by(hero.found_by(&friend).await), valid, "{} days", age / DAY);
        hero.start();
        hero.write(&format!("{} days", age / DAY));
        let said = |items: &[MessageView]| has(items, &format!("{} days", age / DAY));
        assert!(hero.until_list("it is said", |items| said(items)).await);
        let wanted = if replaced { KEY_PACKAGES } else { SOME - 1 };
        assert_eq!(hero.until_left(wanted).await, wanted);
        hero.close().await;
        // Each of them, and twice the one of last resort.
        for _ in 0..wanted + 2 {
            let found = hero.found_by(&friend).await;
            if replaced {
                assert!(hero.is_let_in_by(found), "{} days", age / DAY);
            }
        }
        hero.start();
    }
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_while_they_hand_in_new_ones_can_be_let_in_all_the_same() {
    let clinic = generous().await;
    let (mut hero, friend) = acquainted(&clinic).await;
    for end in [End::Killed, End::PowerCut] {
        for writes in 0.. {
            hero.close().await;
            hero.handed_in(86 * DAY).await;
            hero.disk.die_after(writes);
            hero.start();
            hero.until_left(KEY_PACKAGES).await;
            let died = !hero.disk.spare();
            if died {
                hero.app = None;
                hero.disk.revive(end);
                // Where the server has the new ones their keys are on the disk; where it does not, they are made again.
                let handed_in = hero.api.key_packages_left().await.unwrap().left > SOME;
                if handed_in {
                    assert!(hero.is_let_in_by(hero.found_by(&friend).await), "{end:?} at {writes}");
                }
                hero.start();
                if !handed_in {
                    hero.until_left(KEY_PACKAGES).await;
                }
            }
            hero.close().await;
            assert!(hero.is_let_in_by(hero.found_by(&friend).await), "{end:?} at {writes}, started again");
            hero.start();
            if !died {
                assert!(writes > 2, "only {writes} writes");
                break;
            }
        }
    }
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_package_of_last_resort_that_was_used_is_replaced() {
    let clinic = generous().await;
    let (mut hero, mut friend) = acquainted(&clinic).await;
    hero.close().await;
    hero.handed_in(0).await;
    for _ in 0..SOME {
        hero.found_by(&friend).await;
    }
    let used = hero.found_by(&friend).await;
    assert_eq!(hero.found_by(&friend).await, used, "it serves again and again");
    let users = vec![hero.signed_in.user.id.to_string()];
    friend.tell(Input::Command(Command::StartConversation { user_ids: users, title: Some("knee".into()) }));
    let group = |one: &ConversationView| one.title == "knee" && one.state == ConversationState::Ready;
    assert!(friend.until("the group", group).await.is_some());
    hero.start();
    assert!(hero.until("the group", group).await.is_some(), "let in by the last resort");
    hero.until_left(KEY_PACKAGES).await;
    let replaced = async {
        while device_of(&hero.at_rest()).last_resort_used().unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, replaced).await.expect("a new one");
    hero.close().await;
    for _ in 0..KEY_PACKAGES {
        hero.found_by(&friend).await;
    }
    let new = hero.found_by(&friend).await;
    assert_ne!(new, used);
    assert!(hero.is_let_in_by(new));
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_expired_key_packages_are_forgotten_though_nobody_wants_new_ones() {
    let clinic = generous().await;
    let (mut hero, _friend) = acquainted(&clinic).await;
    hero.close().await;
    hero.handed_in(86 * DAY).await;
    let before = hero.records();
    hero.worker().look_after_key_packages();
    assert!(hero.records() < before - SOME, "each had a record");
    assert_eq!(device_of(&hero.at_rest()).forget_expired_key_packages(now_seconds()), Ok(0));
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_did_not_take_is_handed_in_again_and_not_made_anew() {
    let clinic = generous().await;
    let (mut hero, friend) = acquainted(&clinic).await;
    hero.close().await;
    hero.handed_in(43 * DAY).await;
    let mut worker = hero.worker();
    worker.online = true;
    worker.look_after_key_packages();
    let made = hero.records();
    for _ in 0..2 {
        worker.key_packages_taken(Err(ApiError::Unreadable(None)));
        worker.look_after_key_packages();
        assert_eq!(hero.records(), made);
    }
    assert!(hero.is_let_in_by(hero.found_by(&friend).await), "whichever the server hands out");
    clinic.close().await;
}
