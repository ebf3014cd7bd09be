//! Keys of a device in a group in which nobody comes or goes: they are renewed all the same, and nobody notices.

use bedside_protocol::{CallId, ConversationId, Timestamp};
use bedside_ui_contract::call::Protection;

use super::*;
use crate::chat::journal::Journal;

const DAY: i64 = 24 * 3600 * 1000;

impl Person {
    /// In this conversation, the keys of this closed app were made so many days ago.
    fn keys_are_of(&self, id: &str, days: i64) {
        let vault = self.at_rest();
        let journal = Journal::new(vault.local.clone());
        let mut room = journal.rooms().unwrap().into_iter().find(|room| room.id().to_string() == id).unwrap();
        assert!(room.renewed.is_some(), "it is known when they were made");
        room.renewed = Some(Timestamp(crate::clock::now().0 - days * DAY));
        journal.write(&room).unwrap();
        vault.barrier().unwrap();
    }

    fn write_in(&self, id: &str, text: &str) {
        let (conversation_id, text) = (id.to_owned(), text.to_owned());
        self.tell(Input::Command(Command::SendMessage { conversation_id, text, reply_to: None }));
    }

    async fn epoch(&self, id: &str) -> u64 {
        let id: ConversationId = id.parse().unwrap();
        self.api.conversation(id).await.unwrap().epoch
    }

    async fn until_epoch(&self, id: &str, wanted: u64) {
        let changed = async {
            while self.epoch(id).await < wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, changed).await.expect("a new epoch");
        assert_eq!(self.epoch(id).await, wanted);
    }

    /// What this person sees that happened in the conversation, beside what was said.
    async fn happened(&self) -> Vec<MessageContent> {
        let is_event = |content: &MessageContent| matches!(content, MessageContent::Event { .. });
        self.list().await.unwrap().into_iter().map(|item| item.content).filter(is_event).collect()
    }
}

/// One says something and the other reads it.
async fn says(one: &Person, other: &mut Person, text: &str) {
    one.write_in(&other.conversation, text);
    assert!(other.until_list(text, |items| has(items, text)).await);
}

/// Another who talks to the hero, who began it.
async fn colleague(clinic: &Clinic, hero: &mut Person) -> Person {
    clinic.add("lind", Role::Clinician).await;
    clinic.befriend("lind", "ana").await;
    let mut colleague = Person::new(clinic, "lind").await;
    colleague.until_online().await;
    let users = vec![colleague.signed_in.user.id.to_string()];
    hero.tell(Input::Command(Command::StartConversation { user_ids: users, title: None }));
    let ready = |one: &ConversationView| one.state == ConversationState::Ready;
    colleague.conversation = colleague.until("a conversation", ready).await.expect("alive").id;
    let id = colleague.conversation.clone();
    hero.until("the same", |one| one.id == id && one.state == ConversationState::Ready).await.expect("alive");
    colleague
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_with_keys_of_a_week_ago_has_new_ones_then_and_nobody_notices() {
    let clinic = Clinic::open_with(|config| config.limits.rest_burst = 100_000).await;
    let (mut hero, mut friend) = acquainted(&clinic).await;
    let mut colleague = colleague(&clinic, &mut hero).await;
    let (old, young) = (hero.conversation.clone(), colleague.conversation.clone());
    hero.tell(Input::Command(Command::ShowCheckCode { conversation_id: old.clone() }));
    let shown = hero.until("a code", |one| one.id == old && one.check_code.is_some()).await.unwrap();
    let code = shown.check_code.unwrap();
    let with = vec![friend.signed_in.user.id.to_string()];
    let conversation_id = old.clone();
    hero.tell(Input::Command(Command::ConfirmCheckCode { conversation_id, code: code.clone(), with }));
    let verified = |one: &ConversationView| one.id == old && one.protection == Protection::Verified;
    hero.until("verified", verified).await.unwrap();
    let seen = (hero.happened().await, friend.happened().await);
    let before = (hero.epoch(&old).await, hero.epoch(&young).await);

    hero.close().await;
    hero.keys_are_of(&old, 8);
    hero.keys_are_of(&young, 6);
    hero.start();
    // Its turn to renew anything in the younger one is over by the time it renews in the older.
    says(&hero, &mut colleague, "to the colleague").await;
    says(&hero, &mut friend, "under the old keys").await;
    friend.until_epoch(&old, before.0 + 1).await;
    assert_eq!(hero.epoch(&young).await, before.1, "they are good for a day more");
    says(&friend, &mut hero, "an answer").await;
    says(&hero, &mut friend, "under the new keys").await;

    let after = hero.until("still verified", verified).await.unwrap();
    assert!(after.changed.is_empty());
    assert_eq!((hero.happened().await, friend.happened().await), seen);
    hero.tell(Input::Command(Command::ShowCheckCode { conversation_id: old.clone() }));
    let shown = hero.until("a code", |one| one.id == old && one.check_code.is_some()).await.unwrap();
    assert_eq!(shown.check_code.unwrap(), code);

    // Not again, also after a restart: the colleague, who is second in her conversation and speaks later, comes last.
    for person in [&mut hero, &mut colleague] {
        person.close().await;
    }
    colleague.keys_are_of(&young, 30);
    for person in [&mut hero, &mut colleague] {
        person.start();
    }
    says(&hero, &mut friend, "once more").await;
    colleague.write("and I");
    colleague.until_epoch(&young, before.1 + 1).await;
    assert_eq!(hero.epoch(&old).await, before.0 + 1);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_with_old_keys_both_have_new_ones_in_the_end() {
    let clinic = Clinic::open_with(|config| config.limits.rest_burst = 100_000).await;
    let (mut hero, mut friend) = acquainted(&clinic).await;
    let id = hero.conversation.clone();
    let before = hero.epoch(&id).await;
    for person in [&mut hero, &mut friend] {
        person.close().await;
        person.keys_are_of(&id, 30);
        person.start();
    }
    hero.write("one");
    friend.write("two");
    hero.until_epoch(&id, before + 2).await;
    says(&hero, &mut friend, "three").await;
    says(&friend, &mut hero, "four").await;
    let said = texts(&hero.list().await.unwrap());
    assert_eq!(said.len(), 4);
    assert_eq!(texts(&friend.list().await.unwrap()), said);
    assert_eq!((hero.happened().await, friend.happened().await), (Vec::new(), Vec::new()));
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_not_renewed_in_a_call_but_after_it() {
    let clinic = Clinic::open_with(|config| config.limits.rest_burst = 100_000).await;
    let (mut hero, mut friend) = acquainted(&clinic).await;
    let mut colleague = colleague(&clinic, &mut hero).await;
    let (here, there) = (hero.conversation.clone(), colleague.conversation.clone());
    let before = (hero.epoch(&here).await, hero.epoch(&there).await);
    for (person, id) in [(&mut hero, &here), (&mut colleague, &there)] {
        person.close().await;
        person.keys_are_of(id, 30);
        person.start();
    }
    hero.tell(Input::InCall(Some((CallId::random(), friend.signed_in.user.id))));
    says(&hero, &mut friend, "can you hear me?").await;
    // The colleague, who is second in the other conversation, speaks later and is in no call.
    colleague.write("call me");
    colleague.until_epoch(&there, before.1 + 1).await;
    assert_eq!(hero.epoch(&here).await, before.0, "the call keeps its keys");
    hero.tell(Input::InCall(None));
    hero.until_epoch(&here, before.0 + 1).await;
    says(&friend, &mut hero, "I could").await;
    clinic.close().await;
}
