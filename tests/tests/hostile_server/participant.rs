//! What somebody who takes part can do to the others, through a server that means well. The server can read neither what is
//! said nor what is changed: a commit that nobody can follow counts as the epoch's.

use std::time::{SystemTime, UNIX_EPOCH};

use bedside_e2ee::mls::{Change, MessageId, Outgoing};
use bedside_protocol::{CallPhase, EntryId, ErrorCode, Sealed};
use bedside_session::api::ApiError;
use bedside_testkit::desk::Desk;
use bedside_ui_contract::{Command, call::Protection, chat::ChatEvent};
use serde_json::json;

use crate::{
    ghost::{Ghost, name_of, new_name, now},
    scene::{Scene, happenings, refused, sees_coming, send, while_away},
};

/// The same bytes but for the last: what can be seen from outside is as it was.
fn spoilt(mut genuine: Sealed) -> Sealed {
    *genuine.0.last_mut().unwrap() ^= 1;
    genuine
}

/// A commit that nobody can follow, with group information that leads nowhere.
fn useless(commit: Outgoing) -> Outgoing {
    let group_info = commit.group_info.map(spoilt);
    Outgoing { entry: spoilt(commit.entry), group_info, ..commit }
}

/// Another device of the patient's, which both have seen come in and which has read what came before.
async fn one_more_device(scene: &mut Scene) -> Ghost {
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    ghost.walk_in(&scene.conversation()).await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        sees_coming(desk, "ana of the clinic").await;
    }
    ghost.read(&scene.conversation()).await;
    ghost
}

/// Each reads the other again, and whoever lost their place has said so.
async fn talk_again(scene: &mut Scene) {
    send(&mut scene.doctor, "are you there?").await;
    scene
        .patient
        .until_texts("the doctor is read", |texts| texts.last().is_some_and(|text| text == "are you there?"))
        .await;
    let mut rejoined = 0;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        let items = desk.items().await;
        rejoined += happenings(&items).iter().filter(|event| **event == ChatEvent::Rejoined).count();
    }
    assert!(rejoined > 0, "whoever lost their place says that they joined again");
}

/// Chat and a call are as they were.
async fn still_talk_and_call(mut scene: Scene) {
    talk_again(&mut scene).await;
    scene.call().await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.seat.until_call("protected", |call| call.protection == Protection::Encrypted).await;
        desk.seat.eye.until("the voice", |seen| seen.loud_blocks > 0).await;
    }
    scene.doctor.seat.ask(Command::HangUp);
    scene.patient.seat.until_call("over", |call| call.phase == CallPhase::Ended).await;
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_nobody_can_follow_costs_a_moment_and_not_the_conversation() {
    let scene = Scene::talking().await;
    let conversation = scene.conversation();
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    let commit = ghost.coming(&conversation).await;
    ghost.offer(&conversation, useless(commit)).await;
    still_talk_and_call(scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_members_change_that_nobody_can_follow_costs_a_moment_and_not_the_conversation() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let mut ghost = one_more_device(&mut scene).await;
    let commit = ghost.device.commit(&name_of(&conversation), &Change::Update).unwrap();
    ghost.offer(&conversation, useless(commit)).await;
    still_talk_and_call(scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_change_with_a_way_in_is_followed_by_that_way_in_sight_of_all() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    let commit = ghost.coming(&conversation).await;
    ghost.offer(&conversation, Outgoing { entry: spoilt(commit.entry.clone()), ..commit }).await;
    // Who comes in later than a word was said can't read it.
    let rejoined = |event: &ChatEvent| *event == ChatEvent::Rejoined;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.until_items("joined again", |items| happenings(items).iter().any(rejoined)).await;
    }
    still_talk_and_call(scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_under_the_name_of_others_are_refused_in_sight_and_change_nothing() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let known = scene.doctor.items().await.into_iter().find(|item| item.own).unwrap();
    let mut ghost = one_more_device(&mut scene).await;
    let text = json!({"text": {"text": "something else", "sent_at": 1}});
    let name = MessageId(known.id.parse().unwrap());
    ghost.say(&scene.clinic, &conversation, name, &text).await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.until_items("it is refused", |items| refused(items) == 1).await;
        assert_eq!(desk.texts().await, ["good morning", "hello"]);
    }
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_from_outside_under_the_name_of_another() {
    let scene = Scene::talking().await;
    let conversation = scene.conversation();
    let patient = Ghost::of(&scene.clinic, "ana").await;
    let mut doctor = patient.posing_as(scene.doctor.id().parse().unwrap());
    let commit = doctor.coming(&conversation).await;
    let refused = doctor.try_to_offer(&conversation, commit).await.unwrap_err();
    assert!(
        matches!(&refused, ApiError::Problem(problem) if problem.code == ErrorCode::Forbidden),
        "{refused}"
    );
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_made_up_device_of_somebody_else_can_join_and_neither_speak_nor_change_what_was_said() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let theirs = scene.doctor.items().await.into_iter().find(|item| item.own).unwrap().id;
    let mut ghost = one_more_device(&mut scene).await;
    let mut posing = ghost.posing_as(scene.doctor.id().parse().unwrap());
    // The doctor's own app would put it out at once.
    while_away(&scene.before_doctor, &mut scene.doctor, async || {
        let package = posing.claimed(now()).key_package;
        let commit = ghost.device.commit(&name_of(&conversation), &Change::Add(vec![package])).unwrap();
        ghost.offer(&conversation, commit.clone()).await;
        ghost.read(&conversation).await;
        let position = ghost.device.position(&name_of(&conversation)).unwrap();
        posing.device.join(&commit.welcome.unwrap().0, position).unwrap();
        for body in [
            json!({"text": {"text": "take fifty", "sent_at": 1}}),
            json!({"edit": {"message": theirs, "text": "good night"}}),
            json!({"delete": {"message": theirs}}),
        ] {
            let sealed = posing.seal(&conversation, new_name(), &body);
            ghost.post(&scene.clinic, &conversation, &sealed).await;
        }
        scene.patient.until_items("all is refused", |items| refused(items) == 3).await;
    })
    .await;
    scene.doctor.until_items("all is refused", |items| refused(items) == 3).await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        assert_eq!(desk.texts().await, ["good morning", "hello"]);
    }
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_of_two_takes_no_other_name() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let mut ghost = one_more_device(&mut scene).await;
    for body in [
        json!({"title": {"title": "lind of the clinic", "sent_at": 1}}),
        json!({"text": {"text": "do you know me?", "sent_at": 1}}),
    ] {
        ghost.say(&scene.clinic, &conversation, new_name(), &body).await;
    }
    scene.doctor.until_texts("she is read", |texts| texts.len() == 3).await;
    assert_eq!(scene.doctor.until("the list", |_| true).await.title, "ana of the clinic");
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_time_that_has_not_come_is_shown_as_of_now_and_keeps_no_place() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let mut ghost = one_more_device(&mut scene).await;
    for (sent_at, text) in [(i64::MIN, "long ago"), (i64::MAX, "for ever")] {
        let body = json!({"text": {"text": text, "sent_at": sent_at}});
        ghost.say(&scene.clinic, &conversation, new_name(), &body).await;
    }
    scene.doctor.until_texts("both", |texts| texts.len() == 4).await;
    let items = scene.doctor.items().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let times: Vec<_> = items.iter().rev().take(2).map(|item| item.sent_at.0).collect();
    assert!(times[0] > 0 && u128::try_from(times[0]).unwrap() <= now, "{times:?}");
    assert_eq!(times[1], 0, "the earliest that there is");
    // Whoever writes next stands above it.
    let mut colleague = Desk::new(&scene.clinic, "lind").await;
    colleague.open("osei").await;
    colleague.write("a word");
    let above = colleague.conversation.clone();
    scene
        .doctor
        .seat
        .until("the newest first", |snapshot| {
            let first = snapshot.chat.conversations.first();
            first.is_some_and(|one| one.id == above && one.preview.is_some())
        })
        .await;
    scene.doctor = scene.doctor.restart().await;
    scene.doctor.until_texts("all is there", |texts| texts.len() == 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_one_participant_that_make_no_sense_put_nobody_out() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let mut ghost = one_more_device(&mut scene).await;
    send(&mut scene.doctor, "in this epoch").await;
    send(&mut scene.patient, "both are understood").await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.until_texts("both", |texts| texts.len() == 4).await;
    }
    for number in 0..20 {
        let name = MessageId(EntryId::random().0);
        let sealed = ghost.device.send(&name_of(&conversation), name, &[number]).unwrap();
        let entry = spoilt(sealed.entry.clone());
        ghost.post(&scene.clinic, &conversation, &Outgoing { entry, ..sealed }).await;
    }
    for desk in [&mut scene.doctor, &mut scene.patient] {
        let items = desk.until_items("all are refused", |items| refused(items) == 20).await;
        assert!(!happenings(&items).contains(&ChatEvent::Rejoined), "nobody was put out");
    }
    scene.still_talk().await;
}
