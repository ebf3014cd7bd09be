//! A device that is killed at any write, before or after it took effect, goes on as if nothing had been.
//!
//! One long story with every operation is told again and again, killed each time at another write, until a telling ends
//! without having been killed.

use crate::common::{Log, Person, group, now};
use bedside_e2ee::mls::{Change, Event, GroupId, MessageId, MlsError};
use bedside_protocol::UserId;
use uuid::Uuid;

/// The hero's part, in calls that are repeated after a crash as the app would repeat them.
struct Story {
    hero: Person,
    friend: Person,
    log: Log,
    crashes: u32,
}

impl Story {
    /// Repeats a call until it isn't killed.
    fn call<T>(
        &mut self,
        mut act: impl FnMut(&mut Person, &mut Log) -> Result<T, MlsError>,
    ) -> Result<T, MlsError> {
        loop {
            match act(&mut self.hero, &mut self.log) {
                Err(MlsError::Store(_)) => {
                    self.crashes += 1;
                    self.hero.restart();
                }
                outcome => return outcome,
            }
        }
    }

    fn friend_says(&mut self, text: &str) {
        self.friend.say(text);
        self.friend.flush(&mut self.log).unwrap();
    }

    fn tell(kill: u32, written: bool) -> (u32, Vec<String>) {
        // Devices of one user, so that one may put out the other.
        let user = UserId::random();
        let mut story =
            Self { hero: Person::of(user), friend: Person::of(user), log: Log::default(), crashes: 0 };
        story.hero.store.die(kill, written);
        // The hero publishes a key package; one that a crash swallowed is simply never used.
        let package = story.call(|hero, _| Ok(hero.device.key_packages(1, false, now())?.remove(0))).unwrap();
        let info = story.friend.device.create(&group(), now()).unwrap();
        story.log.info = Some((info.0, 0));
        story.friend.device.commit(&group(), &Change::Add(vec![package])).unwrap();
        story.friend.flush(&mut story.log).unwrap();
        let (welcome, position) = story.log.welcomes.pop().unwrap();
        // A welcome that took effect just before the crash is used up; then the group is there.
        let joined = story.call(|hero, _| hero.device.join(&welcome, position));
        assert!(matches!(joined, Ok(_) | Err(MlsError::NotForThisDevice)), "{joined:?}");
        for round in 0..3_u128 {
            story.friend_says(&format!("friend {round}"));
            // The app gives a message its id once.
            let id = MessageId(Uuid::from_u128(round));
            let text = format!("hero {round}");
            story.call(|hero, _| hero.device.send(&group(), id, text.as_bytes())).unwrap();
            story.call(|hero, log| hero.flush(log)).unwrap();
            let committed = story.call(|hero, _| hero.device.commit(&group(), &Change::Update));
            assert!(matches!(committed, Ok(_) | Err(MlsError::CommitPending)), "{committed:?}");
            // The friend is quicker every other time.
            if round == 1 {
                story.friend.device.commit(&group(), &Change::Update).unwrap();
                story.friend.flush(&mut story.log).unwrap();
            }
            story.call(|hero, log| hero.flush(log)).unwrap();
        }
        // The hero loses everything, comes from outside, and is removed.
        let (info, position) = story.log.info.clone().unwrap();
        story.call(|hero, _| hero.device.rejoin(&info, position)).unwrap();
        story.call(|hero, log| hero.flush(log)).unwrap();
        story.friend_says("farewell");
        let hero = story.hero.identity.device;
        story.friend.device.commit(&group(), &Change::Remove(vec![hero])).unwrap();
        story.friend.flush(&mut story.log).unwrap();
        story.call(|hero, log| hero.catch_up(log)).unwrap();
        assert!(matches!(story.hero.last(), Event::Removed { .. }), "{:?}", story.hero.last());
        let refused = story.hero.shown.values().filter(|event| matches!(event, Event::Refused(_))).count();
        assert_eq!(refused, 0, "{:?}", story.hero.shown);
        let shown = story.hero.heard().into_iter().map(|(_, _, text)| text).collect();
        assert_eq!(
            story.friend.heard().iter().map(|(_, _, text)| text.clone()).collect::<Vec<_>>(),
            ["friend 0", "hero 0", "friend 1", "hero 1", "friend 2", "hero 2", "farewell"]
        );
        story.call(|hero, _| hero.device.forget(&group())).unwrap();
        assert_eq!(story.hero.device.groups().unwrap(), std::collections::BTreeSet::<GroupId>::new());
        (story.crashes, shown)
    }
}

#[test]
fn a_device_killed_at_any_write_loses_nothing_and_repeats_nothing() {
    let (crashes, undisturbed) = Story::tell(u32::MAX - 1, false);
    assert_eq!(crashes, 0);
    let mut kill = 0;
    loop {
        let mut died = false;
        for written in [false, true] {
            let (crashes, shown) = Story::tell(kill, written);
            died |= crashes > 0;
            assert_eq!(
                shown,
                undisturbed,
                "killed at write {kill}, {}",
                if written { "after" } else { "before" }
            );
        }
        if !died {
            break;
        }
        kill += 1;
    }
    println!("killed at each of {kill} writes");
    assert!(kill > 30, "the story has only {kill} writes");
}
