//! What was so once and is no longer, and is said to be so still: a member that was put out, a key package that was used.

use bedside_e2ee::mls::Event;
use bedside_protocol::{
    CallPhase, EndReason, EntryId, Sealed,
    conversation::{EntryKind, LogEntry},
    mls::Credential,
};
use bedside_session::chat::body::Body;
use bedside_testkit::{desk::Desk, mallory::Mallory};
use bedside_ui_contract::{
    CallView, Command,
    call::Protection,
    chat::{ChatEvent, ConversationState},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    ghost::{Ghost, name_of, new_name},
    groups::with_a_compared_second_device,
    scene::{Scene, happenings, is_message, joined, others_devices, own_devices, send},
};

/// What the doctor's app hands in, to a server that gives it to nobody but the thief: an entry as the thief and the
/// doctor are told it.
async fn written(handed_in: &mut mpsc::UnboundedReceiver<Value>, genuine: &LogEntry) -> LogEntry {
    loop {
        let frame = handed_in.recv().await.expect("the doctor's app runs");
        if frame["type"] == "chat:message" {
            let part = |name: &str| frame["data"][name].clone();
            return LogEntry {
                id: serde_json::from_value(part("id")).unwrap(),
                epoch: serde_json::from_value(part("epoch")).unwrap(),
                body: serde_json::from_value::<Option<Sealed>>(part("body")).unwrap(),
                ..genuine.clone()
            };
        }
    }
}

/// What the thief reads of an entry.
fn overheard(stolen: &mut Ghost, conversation: &str, entry: &LogEntry) -> Option<String> {
    let name = name_of(conversation);
    let position = stolen.device.position(&name).unwrap();
    let poster = Credential { user: entry.from_user, device: entry.from_device };
    let body = &entry.body.as_ref().unwrap().0;
    match stolen.device.receive(&name, position, body, Some(poster)).unwrap() {
        Some(Event::Message { body, .. }) => match Body::read(&body.0) {
            Some(Body::Text { text, .. }) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The server is in league with the thief of a device whose code was compared: it keeps its removal, and everything that
/// was said since, from the person at the other end. They can't know, and are told with the first thing that arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_neither_of_a_removal_nor_of_anything_after_it_talks_to_the_thief_until_something_arrives()
 {
    let (mut scene, mut stolen) = with_a_compared_second_device().await;
    let conversation = scene.conversation();
    stolen.read(&conversation).await;
    let osei = scene.doctor.id();
    let genuine = scene.before_doctor.genuine(&conversation);
    let genuine =
        genuine.into_iter().find(|one| is_message(one) && one.from_user.to_string() == osei).unwrap();
    let (hand_in, mut handed_in) = mpsc::unbounded_channel();
    scene.before_doctor.twist_log(|_| Vec::new());
    scene.before_doctor.twist_frames(move |frame| {
        let kind = frame["type"].as_str().unwrap_or_default();
        if kind.starts_with("webrtc:") || ["chat:message", "chat:delivered", "chat:read"].contains(&kind) {
            hand_in.send(frame).unwrap();
            return None;
        }
        Some(frame)
    });
    scene.patient.seat.ask(Command::RevokeInstallation { device_id: stolen.id.to_string() });
    scene.patient.until("it is out", |one| own_devices(one) == 1).await;

    // The doctor goes on in the old epoch, and the thief with him.
    scene.doctor.write("take two, as always");
    let entry = written(&mut handed_in, &genuine).await;
    scene.before_doctor.append(entry.clone());
    assert_eq!(overheard(&mut stolen, &conversation, &entry).as_deref(), Some("take two, as always"));
    let answer = stolen.seal(&conversation, new_name(), &json!({"text": {"text": "thanks", "sent_at": 1}}));
    scene.before_doctor.append(LogEntry {
        id: EntryId::random(),
        epoch: answer.epoch,
        from_user: stolen.user,
        from_device: stolen.id,
        body: Some(answer.entry),
        ..genuine
    });
    let all = ["good morning", "hello", "take two, as always", "thanks"];
    scene.doctor.until_texts("the thief is read", |texts| texts == all).await;
    let view =
        scene.doctor.until("as if nothing had happened", |one| one.state == ConversationState::Ready).await;
    assert_eq!((view.protection, others_devices(&view)), (Protection::Verified, 2));
    assert!(scene.doctor.items().await.iter().all(|item| !item.unchecked));
    // The patient has no part in it, and the two don't see the same code.
    send(&mut scene.patient, "my phone was stolen").await;
    assert_eq!(scene.patient.texts().await, ["good morning", "hello", "my phone was stolen"]);
    assert_ne!(scene.doctor.code().await, scene.patient.code().await);
    // A call does not come about.
    scene.call().await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        let over = |call: &CallView| call.phase == CallPhase::Failed || call.phase == CallPhase::Ended;
        let call = desk.seat.until_call("it ends", over).await;
        let failed = [Some(EndReason::ConnectionFailed), Some(EndReason::Timeout)];
        assert!(failed.contains(&call.end_reason), "{:?}", call.end_reason);
        assert_eq!((desk.seat.eye.seen().loud_blocks, desk.seat.eye.seen().counters.len()), (0, 0));
    }

    // The first thing of hers that arrives ends it.
    scene.before_doctor.behave();
    scene.patient.write("can you read this?");
    let left = ChatEvent::DeviceLeft { name: "ana of the clinic".to_owned() };
    scene
        .doctor
        .until_items("the doctor is told", |items| {
            let seen = happenings(items);
            seen.contains(&ChatEvent::Rejoined) && seen.contains(&left)
        })
        .await;
    let view = scene.doctor.until("it is out", |one| others_devices(one) == 1).await;
    assert_eq!((view.protection, view.changed), (Protection::Verified, Vec::new()));
    scene.still_talk().await;
}

/// A server that takes what it is given by the rules can't keep a removal from anybody who writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_without_knowing_of_a_removal_comes_back_without_the_removed_device_and_then_is_read()
{
    let (mut scene, mut stolen) = with_a_compared_second_device().await;
    let conversation = scene.conversation();
    stolen.read(&conversation).await;
    let thief = stolen.user;
    scene.before_doctor.twist_log(move |entry| {
        let withheld = entry.kind == EntryKind::Commit && entry.from_user == thief;
        if withheld { Vec::new() } else { vec![entry] }
    });
    scene.patient.seat.ask(Command::RevokeInstallation { device_id: stolen.id.to_string() });
    scene.patient.until("it is out", |one| own_devices(one) == 1).await;
    scene.doctor.write("for her alone");
    let rejoined = |event: &ChatEvent| *event == ChatEvent::Rejoined;
    scene.doctor.until("no other device", |one| others_devices(one) == 1).await;
    scene
        .patient
        .until_texts("it arrives", |texts| texts == ["good morning", "hello", "for her alone"])
        .await;
    scene.doctor.until_items("the doctor is told", |items| happenings(items).iter().any(rejoined)).await;
    for entry in scene.before_patient.genuine(&conversation) {
        let name = name_of(&conversation);
        let Some(body) = &entry.body else { continue };
        let position = stolen.device.position(&name).unwrap();
        let read = stolen.device.receive(&name, position, &body.0, None);
        // Receipts may be older than the removal.
        if let Ok(Some(Event::Message { body, .. })) = read {
            assert!(!matches!(Body::read(&body.0), Some(Body::Text { .. })), "the thief reads on");
        }
    }
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_package_that_is_handed_out_twice_lets_nobody_in_the_second_time_and_the_device_comes_in_by_itself()
 {
    let mut scene = Scene::signed_in().await;
    let (claims, mut claimed) = mpsc::unbounded_channel();
    scene.before_doctor.twist_answers(move |path, answer| {
        if path.contains("/key-packages/claim") && answer.as_array().is_some_and(|list| !list.is_empty()) {
            claims.send((path.to_owned(), answer.clone())).unwrap();
        }
        answer
    });
    scene.doctor.open("ana").await;
    scene.patient.open("osei").await;
    assert_eq!(happenings(&scene.patient.items().await), [], "she was let in with it");
    let ana = scene.doctor.seat.person("ana");
    let (path, used) = loop {
        let (path, list) = claimed.recv().await.unwrap();
        if path.contains(&ana) {
            break (path, list);
        }
    };
    let before_lind = Mallory::before(&scene.clinic).await;
    let claims = path.split('?').next().unwrap().to_owned();
    before_lind.answer_instead(move |_, asked, _| asked.contains(&claims).then(|| (200, used.clone())));
    let mut second = Desk::at(&scene.clinic, &before_lind.url(), "lind").await;
    second.open("ana").await;
    let mut patient = scene.patient;
    let first = patient.conversation.clone();
    patient.open("lind").await;
    second
        .until_items("it is announced", |items| {
            happenings(items).contains(&joined("ana of the clinic", true))
        })
        .await;
    second.write("can you read this?");
    patient
        .until_texts("the second doctor is read", |texts| {
            texts.last().is_some_and(|text| text == "can you read this?")
        })
        .await;
    assert_eq!(happenings(&patient.items().await), [ChatEvent::Rejoined]);
    patient.write("I can");
    second.until_texts("she is read, too", |texts| texts.last().is_some_and(|text| text == "I can")).await;
    patient.conversation = first;
    scene.patient = patient;
    scene.still_talk().await;
}
