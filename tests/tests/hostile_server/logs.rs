//! What is said is withheld, repeated, exchanged, described wrongly.

use bedside_protocol::{
    CallId, ConversationId, DeviceId, EntryId, Sealed, Timestamp,
    conversation::{EntryKind, LogEntry, Typing},
    socket::Event,
};
use bedside_testkit::{desk::Desk, mallory::Mallory};
use bedside_ui_contract::{
    chat::{ChatEvent, MessageState, MessageView},
    snapshot::ConnectionView,
};

use crate::scene::{Scene, happenings, is_message, is_receipt, missing, refused, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_told_twice_is_shown_once_and_the_second_is_refused() {
    let mut scene = Scene::talking().await;
    scene.before_patient.twist_log(
        |entry| {
            if is_message(&entry) { vec![entry.clone(), entry] } else { vec![entry] }
        },
    );
    scene.doctor.write("take one");
    let items = scene.patient.until_items("one is refused", |items| refused(items) == 1).await;
    assert_eq!(happenings(&items), [ChatEvent::Refused { count: 1 }]);
    let texts = scene.patient.texts().await;
    assert_eq!(texts, ["good morning", "hello", "take one"]);
    scene.before_patient.behave();
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_message_told_as_a_new_one_is_refused() {
    let mut scene = Scene::talking().await;
    let old = scene.before_patient.genuine(&scene.conversation()).into_iter().find(is_message).unwrap();
    scene.before_patient.append(LogEntry { id: EntryId::random(), at: Timestamp(i64::MAX), ..old });
    scene.patient.until_items("it is refused", |items| refused(items) == 1).await;
    assert_eq!(scene.patient.texts().await, ["good morning", "hello"]);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_told_again_in_its_place_changes_nothing() {
    let mut scene = Scene::talking().await;
    for entry in scene.before_patient.told(&scene.conversation()) {
        for _ in 0..3 {
            scene.before_patient.say(&Event::of_entry(entry.clone()));
        }
    }
    scene.doctor.write("and now?");
    scene.patient.until_texts("what follows", |texts| texts.len() == 3).await;
    let items = scene.patient.items().await;
    assert_eq!(happenings(&items), []);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_another_conversation_is_refused() {
    let mut scene = Scene::talking().await;
    let mut colleague = Desk::new(&scene.clinic, "lind").await;
    colleague.open("ana").await;
    colleague.write("between us");
    let with_doctor = scene.conversation();
    let with_colleague = colleague.conversation.clone();
    scene.patient.conversation = with_colleague.clone();
    scene.patient.until_texts("the colleague's message", |texts| texts == ["between us"]).await;
    let entry = scene.before_patient.genuine(&with_colleague).into_iter().find(is_message).unwrap();
    scene.patient.conversation = with_doctor.clone();
    scene.before_patient.append(LogEntry { conversation_id: with_doctor.parse().unwrap(), ..entry });
    scene.patient.until_items("it is refused", |items| refused(items) == 1).await;
    assert_eq!(scene.patient.texts().await, ["good morning", "hello"]);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_in_another_order_show_as_missing_and_refused_never_in_that_order() {
    let mut scene = Scene::talking().await;
    let mut held: Option<LogEntry> = None;
    scene.before_patient.twist_log(move |entry| {
        if !is_message(&entry) {
            return vec![entry];
        }
        match held.take() {
            Some(first) => vec![entry, first],
            None => {
                held = Some(entry);
                Vec::new()
            }
        }
    });
    scene.doctor.write("start with one tablet");
    scene.doctor.write("then two");
    let items = scene
        .patient
        .until_items("one missing, one refused", |items| missing(items) == 1 && refused(items) == 1)
        .await;
    let name = "osei of the clinic".to_owned();
    let seen = happenings(&items);
    assert_eq!(seen, [ChatEvent::Missing { name, count: 1 }, ChatEvent::Refused { count: 1 }]);
    assert_eq!(scene.patient.texts().await, ["good morning", "hello", "then two"]);
    scene.before_patient.behave();
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withheld_messages_show_with_the_next_one() {
    let mut scene = Scene::talking().await;
    swallow(&scene.before_patient, 3);
    for text in ["do not", "under any circumstances", "stop at once", "take it"] {
        scene.doctor.write(text);
    }
    let items = scene.patient.until_items("three are missing", |items| missing(items) == 3).await;
    let name = "osei of the clinic".to_owned();
    assert_eq!(happenings(&items), [ChatEvent::Missing { name, count: 3 }]);
    assert_eq!(scene.patient.texts().await, ["good morning", "hello", "take it"]);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withheld_message_never_shows_as_delivered_or_read() {
    let mut scene = Scene::talking().await;
    swallow(&scene.before_patient, 1);
    scene.doctor.write("stop at once");
    scene.doctor.write("or as you like");
    scene.patient.until_items("one is missing", |items| missing(items) == 1).await;
    scene.patient.read_all().await;
    let newest_is_read =
        |items: &[MessageView]| items.last().is_some_and(|item| item.state == MessageState::Read);
    let items = scene.doctor.until_items("the second is read", newest_is_read).await;
    let withheld = &items[items.len() - 2];
    assert_eq!((withheld.state, withheld.receipts.len()), (MessageState::Sent, 0));
    scene.still_talk().await;
}

/// Swallows the first so many messages from now on.
fn swallow(line: &Mallory, mut count: u32) {
    line.twist_log(move |entry| {
        if is_message(&entry) && count > 0 {
            count -= 1;
            return Vec::new();
        }
        vec![entry]
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_messages_of_all_are_missed_when_they_are_withheld() {
    let mut scene = Scene::signed_in().await;
    swallow(&scene.before_patient, 2);
    scene.doctor.open("ana").await;
    scene.patient.open("osei").await;
    for text in ["do not", "take it", "call me"] {
        scene.doctor.write(text);
    }
    let items = scene.patient.until_items("two are missing", |items| missing(items) == 2).await;
    let name = "osei of the clinic".to_owned();
    assert_eq!(happenings(&items), [ChatEvent::Missing { name, count: 2 }]);
    assert_eq!(scene.patient.texts().await, ["call me"]);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_messages_after_coming_back_are_missed_when_they_are_withheld() {
    let mut scene = Scene::talking().await;
    scene.patient = scene.patient.restart_without_messages().await;
    scene.patient.open("osei").await;
    // Both are in the same epoch, and nothing of before is missing.
    scene.doctor.write("there you are");
    scene.patient.until_texts("somebody who came back", |texts| texts == ["there you are"]).await;
    assert_eq!(missing(&scene.patient.items().await), 0);
    scene.patient = scene.patient.restart_without_messages().await;
    swallow(&scene.before_patient, 1);
    scene.patient.open("osei").await;
    scene.doctor.write("not the blue ones");
    scene.doctor.write("take them");
    scene.patient.until_items("one is missing", |items| missing(items) == 1).await;
    assert_eq!(scene.patient.texts().await, ["take them"]);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_says_of_a_message_is_not_believed() {
    let mut scene = Scene::talking().await;
    scene.before_patient.twist_log(|entry| {
        let (at, call_id, kind) = (Timestamp(0), Some(CallId::random()), EntryKind::Read);
        vec![LogEntry { id: EntryId::random(), at, call_id, kind, epoch: 77, ..entry }]
    });
    scene.doctor.write("it was me, today");
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    let (seen, sent) =
        (scene.patient.items().await.pop().unwrap(), scene.doctor.items().await.pop().unwrap());
    assert_eq!((&*seen.sender_name, &seen.sender_id), ("osei of the clinic", &sent.sender_id));
    assert_eq!((seen.sent_at, seen.id), (sent.sent_at, sent.id));
    assert!(!seen.own && !seen.in_call);
    assert_eq!(happenings(&scene.patient.items().await), []);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_somebody_else_is_said_to_have_posted_is_refused_in_sight() {
    let mut scene = Scene::talking().await;
    scene.before_patient.twist_log(|entry| {
        let from_device = if is_message(&entry) { DeviceId::random() } else { entry.from_device };
        vec![LogEntry { from_device, ..entry }]
    });
    send(&mut scene.doctor, "it was me").await;
    scene.patient.until_items("it is refused", |items| refused(items) == 1).await;
    assert_eq!(scene.patient.texts().await, ["good morning", "hello"]);
    scene.before_patient.behave();
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_message_is_refused_and_the_genuine_one_still_arrives() {
    let mut scene = Scene::talking().await;
    scene.before_patient.twist_log(|entry| {
        let mut forged = entry.clone();
        if let Some(byte) = forged.body.as_mut().and_then(|body| body.0.last_mut()) {
            *byte ^= 1;
        }
        if is_message(&entry) { vec![forged, entry] } else { vec![entry] }
    });
    scene.doctor.write("5 mg");
    scene
        .patient
        .until_texts("the genuine one", |texts| texts.last().is_some_and(|text| text == "5 mg"))
        .await;
    assert_eq!(refused(&scene.patient.items().await), 1);
    scene.before_patient.behave();
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_that_the_server_makes_show_nothing_as_delivered_or_read() {
    let mut scene = Scene::talking().await;
    let id: ConversationId = scene.conversation().parse().unwrap();
    scene.before_doctor.twist_log(|entry| if is_receipt(&entry) { Vec::new() } else { vec![entry] });
    scene.doctor.write("have you read this?");
    let sent = |items: &[MessageView]| {
        items.iter().filter(|item| item.own).all(|item| item.state != MessageState::Queued)
    };
    scene.doctor.until_items("sent", |items| items.len() == 3 && sent(items)).await;
    let items = scene.doctor.items().await;
    let question = items.iter().rfind(|item| item.own).unwrap().id.clone();
    let receipt = format!(r#"{{"receipt":{{"delivered":["{question}"],"read":["{question}"]}}}}"#);
    for kind in [EntryKind::Delivered, EntryKind::Read] {
        scene.before_doctor.append(LogEntry {
            conversation_id: id,
            position: 0,
            id: EntryId::random(),
            epoch: 1,
            kind,
            from_user: scene.doctor.seat.person("ana").parse().unwrap(),
            from_device: DeviceId::random(),
            call_id: None,
            at: Timestamp(0),
            body: Some(Sealed(receipt.clone().into_bytes())),
        });
    }
    let items = scene.doctor.until_items("both are refused", |items| refused(items) == 2).await;
    let last = items.iter().rfind(|item| item.own).unwrap();
    assert_eq!((last.state, last.receipts.len()), (MessageState::Sent, 0));
    scene.before_doctor.behave();
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_seen_writing_on_the_servers_word() {
    let mut scene = Scene::talking().await;
    let id: ConversationId = scene.conversation().parse().unwrap();
    for body in [Vec::new(), vec![1; 17], vec![0; 64], vec![255; 4096]] {
        let typing = Typing { conversation_id: id, from_device: None, body: Sealed(body) };
        scene.before_patient.say(&Event::ChatTyping(typing));
    }
    scene.doctor.write("after that");
    scene.patient.until_texts("what came after", |texts| texts.len() == 3).await;
    assert!(scene.patient.until("the list", |_| true).await.typing.is_empty());
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_while_the_server_refused_to_serve_arrives_once_and_in_order() {
    let mut scene = Scene::talking().await;
    for line in [&scene.before_doctor, &scene.before_patient] {
        line.go_away(true);
    }
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.seat.until("offline", |snapshot| snapshot.connection != ConnectionView::Online).await;
    }
    for number in 0..3 {
        scene.doctor.write(&format!("doctor {number}"));
        scene.patient.write(&format!("patient {number}"));
    }
    scene.doctor.until("three wait", |one| one.waiting == 3).await;
    for line in [&scene.before_doctor, &scene.before_patient] {
        line.go_away(false);
    }
    let seen = scene.doctor.until_texts("all arrived", |texts| texts.len() == 8).await;
    assert_eq!(scene.patient.until_texts("all arrived", |texts| texts.len() == 8).await, seen);
    for who in ["doctor", "patient"] {
        let theirs: Vec<_> = seen.iter().filter(|text| text.starts_with(who)).cloned().collect();
        assert_eq!(theirs, (0..3).map(|number| format!("{who} {number}")).collect::<Vec<_>>());
    }
    assert_eq!(happenings(&scene.doctor.items().await), []);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_the_server_swallows_on_the_way_in_are_sent_again() {
    let mut scene = Scene::talking().await;
    scene.before_doctor.twist_frames(|frame| (frame["type"] != "chat:message").then_some(frame));
    scene.doctor.write("swallowed");
    scene.doctor.until("it waits", |one| one.waiting == 1).await;
    scene.before_doctor.behave();
    // The app looks again when its line is new.
    scene.before_doctor.cut();
    scene
        .patient
        .until_texts("it arrives", |texts| texts.last().is_some_and(|text| text == "swallowed"))
        .await;
    scene.doctor.until("none waits", |one| one.waiting == 0).await;
    scene.still_talk().await;
}
