//! Somebody stands between two who call each other.

use bedside_protocol::{
    CallPhase, CallType, EndReason, EntryId, Sealed,
    conversation::{EntryKind, LogEntry, WaitingWelcome},
    socket::Event,
};
use bedside_testkit::interloper::Interloper;
use bedside_ui_contract::{CallView, Command, Notice, call::Protection};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    ghost::{Ghost, new_name},
    scene::{Scene, is_message, is_signal, refused},
};

/// Nothing of the call may have been heard.
fn assert_silence(scene: &Scene) {
    for desk in [&scene.doctor, &scene.patient] {
        let seen = desk.seat.eye.seen();
        assert_eq!((seen.loud_blocks, seen.counters.len()), (0, 0));
    }
}

/// Somebody on the way of the packets answers for the other side to both. What is sealed is not touched: it names the
/// certificates that the two would have shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_on_the_path_of_the_packets_is_found_out_and_hears_nothing() {
    let interloper = Interloper::take_up();
    let mut scene = Scene::talking_over(interloper.options()).await;
    scene.call().await;
    let mut told = 0;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        let over = |call: &CallView| call.phase == CallPhase::Failed || call.phase == CallPhase::Ended;
        let call = desk.seat.until_call("it ends", over).await;
        assert_eq!(call.end_reason, Some(EndReason::ConnectionFailed));
        let snapshot = desk.seat.until("the end", |snapshot| snapshot.call.is_some()).await;
        let warned = snapshot.notices.iter().find_map(|shown| match &shown.notice {
            Notice::NotAuthentic { conversation_id, .. } => Some(conversation_id.clone()),
            _ => None,
        });
        let call = snapshot.call.as_ref().expect("it was waited for");
        assert_eq!(warned.is_some(), call.not_authentic, "the notice and the call say the same");
        if let Some(conversation_id) = warned {
            assert!(conversation_id.is_some(), "it leads to a conversation");
            assert_eq!(conversation_id, call.conversation_id, "it leads to the conversation of the two");
            told += 1;
        }
    }
    assert!(told > 0, "whoever saw the wrong certificate says so");
    let (towards_doctor, towards_patient) = interloper.handshakes();
    assert!(towards_doctor + towards_patient > 0, "nobody was shown the wrong certificate");
    assert_eq!(interloper.media(), 0, "something was said to the interloper");
    interloper.leave();
    call_again(scene).await;
}

/// The call is given up, and the next one, with nobody in between, connects.
async fn call_again(mut scene: Scene) {
    scene.doctor.seat.ask(Command::HangUp);
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.seat
            .until_call("over", |call| call.phase == CallPhase::Ended || call.phase == CallPhase::Failed)
            .await;
    }
    assert_silence(&scene);
    scene.before_patient.behave();
    scene.before_doctor.behave();
    scene.call().await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.seat.until_call("protected", |call| call.protection == Protection::Encrypted).await;
        desk.seat.eye.until("the voice", |seen| seen.loud_blocks > 0).await;
    }
    scene.clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_with_changed_bits_are_refused_and_the_call_fails_in_silence() {
    let mut scene = Scene::talking().await;
    for line in [&scene.before_doctor, &scene.before_patient] {
        line.twist_log(|mut entry| {
            // Whatever it is called: what did not arrive is said again, as a message like any other.
            if entry.kind != EntryKind::Commit
                && let Some(body) = &mut entry.body
            {
                let middle = body.0.len() / 2;
                body.0[middle] ^= 0x20;
            }
            vec![entry]
        });
    }
    scene.call().await;
    scene.patient.until_items("the person is told", |items| refused(items) > 0).await;
    let call = scene
        .doctor
        .seat
        .until_call("it fails", |call| call.phase == CallPhase::Failed || call.phase == CallPhase::Ended)
        .await;
    assert_eq!(call.end_reason, Some(EndReason::ConnectionFailed));
    assert_ne!(call.protection, Protection::Verified);
    assert_silence(&scene);
    scene.clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_exchanged_for_other_ciphertext_connect_nobody() {
    let mut scene = Scene::talking().await;
    let other = scene.before_patient.genuine(&scene.conversation()).into_iter().find(is_message).unwrap();
    scene.before_patient.twist_log(move |mut entry| {
        if is_signal(&entry) {
            entry.body.clone_from(&other.body);
        }
        vec![entry]
    });
    scene.call().await;
    scene.patient.until_items("the person is told", |items| refused(items) > 0).await;
    call_again(scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptions_that_the_server_writes_itself_connect_nobody() {
    let mut scene = Scene::talking().await;
    scene.before_patient.twist_log(|mut entry| {
        if is_signal(&entry) {
            let fingerprint = ["5A"; 32].join(":");
            let sdp = format!("v=0\r\na=fingerprint:sha-256 {fingerprint}\r\n");
            let body =
                json!({"signal": {"call": entry.call_id, "signal": {"offer": {"sdp": sdp, "round": 1}}}});
            entry.body = Some(Sealed(body.to_string().into_bytes()));
        }
        vec![entry]
    });
    scene.call().await;
    scene.patient.until_items("the person is told", |items| refused(items) > 0).await;
    call_again(scene).await;
}

/// The server leads the patient into a second conversation with a device that claims to be the doctor's, and lets that
/// one speak for the doctor in a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_in_another_conversation_cannot_speak_for_the_person_in_a_call() {
    let mut scene = Scene::verified().await;
    let mut ghost = Ghost::of(&scene.clinic, "osei").await;
    let conversation = bedside_protocol::ConversationId::random();
    let packages =
        ghost.api.claim_key_packages(scene.doctor.seat.person("ana").parse().unwrap()).await.unwrap();
    let commit =
        ghost.found(&conversation.to_string(), packages.into_iter().map(|one| one.key_package).collect());
    let known = ghost.api.conversation(scene.conversation().parse().unwrap()).await.unwrap();
    let made_up = json!({
        "id": conversation, "kind": "group", "participants": known.participants, "created_at": known.created_at,
        "founded": true, "epoch": 1, "first_position": 1, "next_position": 1,
    });
    scene.before_patient.answer_instead(move |_, path, _| {
        let page = json!({"items": [], "total": 0, "pages": 1, "current_page": 1});
        let answer = if path.contains("/messages") { page } else { made_up.clone() };
        path.contains(&conversation.to_string()).then_some((200, answer))
    });
    let line = &scene.before_patient;
    line.say(&Event::GroupWelcome(WaitingWelcome {
        id: EntryId::random(),
        conversation_id: conversation,
        position: 1,
        welcome: commit.welcome.clone(),
    }));
    let snapshot = scene
        .patient
        .seat
        .until("led into it", |snapshot| {
            snapshot
                .chat
                .conversations
                .iter()
                .any(|one| one.id == conversation.to_string() && !one.changed.is_empty())
        })
        .await;
    assert_eq!(snapshot.chat.conversations.len(), 2);
    // She looks at it and goes on all the same; what is said there still says nothing about calls.
    let led = snapshot.chat.conversations.iter().find(|one| one.id == conversation.to_string());
    let changes = led.expect("it was there").changed.clone();
    let conversation_id = conversation.to_string();
    scene.patient.seat.ask(Command::AcknowledgeKeyChange { conversation_id, changes });
    scene.before_patient.twist_log(|entry| if is_signal(&entry) { Vec::new() } else { vec![entry] });
    scene.call().await;
    let call = scene.patient.seat.until_call("answered", |call| call.accepted_at.is_some()).await;
    let offer = json!({"signal": {"call": call.call_id, "signal": {"offer": {"sdp": "v=0", "round": 1}}}});
    let body = ghost.seal(&conversation.to_string(), new_name(), &offer).entry;
    scene.before_patient.say(&Event::of_entry(LogEntry {
        conversation_id: conversation,
        position: 1,
        id: EntryId::random(),
        epoch: 1,
        kind: bedside_protocol::conversation::EntryKind::Offer,
        from_user: ghost.user,
        from_device: ghost.id,
        call_id: call.call_id.parse().ok(),
        at: bedside_protocol::Timestamp(0),
        body: Some(body),
    }));
    scene.patient.seat.ask(Command::HangUp);
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.seat
            .until_call("over", |call| call.phase == CallPhase::Ended || call.phase == CallPhase::Failed)
            .await;
    }
    assert_silence(&scene);
    scene.before_patient.twist_log(|entry| vec![entry]);
    scene.call().await;
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.seat.until_call("with the right one", |call| call.protection == Protection::Verified).await;
        desk.seat.eye.until("the voice", |seen| seen.loud_blocks > 0).await;
    }
    scene.clinic.close().await;
}

/// The ends of earlier calls are told once more while the next one is being placed. It rings all the same, and is the one
/// that the patient sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_earlier_call_is_not_taken_for_that_of_the_call_being_placed() {
    let mut scene = Scene::talking().await;
    let (keep, mut ends) = mpsc::unbounded_channel();
    scene.before_doctor.twist_events(move |event| {
        if event["type"] == "call:ended" {
            let _ = keep.send(event.clone());
        }
        vec![event]
    });
    let callee = scene.doctor.seat.person("ana");
    let mut earlier = Vec::new();
    for _ in 0..2 {
        scene.doctor.seat.ask(Command::Call { user_id: callee.clone(), call_type: CallType::Voice });
        scene.doctor.seat.until_call("it rings there", |call| call.phase == CallPhase::Ringing).await;
        scene.doctor.seat.ask(Command::HangUp);
        scene.doctor.seat.until_call("it is over", |call| call.phase == CallPhase::Ended).await;
        let end = ends.recv().await.expect("the server says that it is over");
        earlier.push(serde_json::from_value::<Event>(end).expect("an event"));
    }
    let tell = scene.before_doctor.voice();
    scene.before_doctor.twist_frames(move |frame| {
        if frame["type"] == "initiate_call" {
            earlier.iter().for_each(&tell);
        }
        Some(frame)
    });
    scene.doctor.seat.ask(Command::Call { user_id: callee, call_type: CallType::Voice });
    let placed = scene.doctor.seat.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
    let rings = scene.patient.seat.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
    assert_eq!(placed.call_id, rings.call_id);
    scene.patient.seat.ask(Command::Answer { call_type: CallType::Voice });
    scene.doctor.seat.eye.until("the voice", |seen| seen.loud_blocks > 0).await;
    scene.clinic.close().await;
}
