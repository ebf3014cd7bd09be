//! What is said into a conversation's log: its limits, its signals, its receipts, and that none of it is lost or told
//! twice.

use bedside_protocol::{
    ConversationId, EntryId, ErrorCode, Role, Sealed, Secret,
    conversation::{Append, AppendCommit, EntryKind, MAX_ENTRY_BYTES, MAX_INLINE_ENTRY_BYTES},
    socket::Event,
};
use serde_json::{Value, json};

use crate::{
    calls::{accept, hang_up, ring},
    fixture::{Clinic, Socket, entry, log_entry, problem},
    log::{commit, look, read, say, send_commit, welcomes},
    mls::{self, FRAME_BYTES, GROUP_INFO_FRAME_BYTES, WELCOME_FRAME_BYTES},
};

#[tokio::test]
async fn entries_reach_every_device_once_in_the_order_of_the_log() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let desk = clinic.sign_in("osei").await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut sockets =
        [clinic.connect(&doctor).await, clinic.connect(&desk).await, clinic.connect(&patient).await];
    let [osei, at_desk, ana] = &mut sockets;
    let talk = async |socket: &mut Socket, name: &str| {
        let mut positions = Vec::new();
        for n in 0..20 {
            let appended = say(socket, &entry(log, 0, format!("{name} {n}").as_bytes())).await.unwrap();
            positions.push(appended.position);
        }
        positions
    };
    let (one, two, three) = tokio::join!(talk(osei, "laptop"), talk(at_desk, "desk"), talk(ana, "patient"));
    let mut positions = [one, two, three].concat();
    positions.sort_unstable();
    assert_eq!(positions, (0..60).collect::<Vec<_>>(), "no gap, nothing twice");

    let kept = read(&clinic, &patient, log, "?per_page=100").await;
    assert_eq!(kept.total, 60);
    for socket in &mut sockets {
        for expected in &kept.items {
            assert_eq!(socket.event_where(log_entry).await, *expected);
        }
    }
    let page = read(&clinic, &patient, log, "?from=50&per_page=4&page=3").await;
    assert_eq!((page.total, page.pages), (10, 3));
    assert_eq!(page.items.iter().map(|entry| entry.position).collect::<Vec<_>>(), [58, 59]);
    let last = look(&clinic, &doctor, log).await;
    assert_eq!((last.next_position, last.last_message_at), (60, Some(kept.items[59].at)));
    clinic.close().await;
}

#[tokio::test]
async fn long_entries_are_told_without_their_body_and_too_long_ones_are_refused() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let path = format!("/api/conversations/{log}/send-message");
    let send = async |bytes: usize| {
        let content = vec![u8::try_from(bytes % 251).unwrap(); bytes - FRAME_BYTES];
        clinic.post(&doctor, &path, serde_json::to_value(entry(log, 0, &content)).unwrap()).await
    };
    say(&mut osei, &entry(log, 0, &vec![7; MAX_INLINE_ENTRY_BYTES - FRAME_BYTES])).await.unwrap();
    assert!(ana.event_where(log_entry).await.body.is_some());
    for bytes in [MAX_INLINE_ENTRY_BYTES + 1, MAX_ENTRY_BYTES] {
        assert_eq!(send(bytes).await.status(), 200);
        let told = ana.event_where(log_entry).await;
        assert_eq!(told.body, None);
        let fetched = read(&clinic, &patient, log, &format!("?from={}", told.position)).await;
        assert_eq!(fetched.items[0].body.as_ref().map(|body| body.0.len()), Some(bytes));
    }
    for bytes in [MAX_ENTRY_BYTES + 1, 3 * MAX_ENTRY_BYTES] {
        assert_eq!(problem(send(bytes).await).await.code, ErrorCode::TooLarge);
    }
    let empty = serde_json::to_value(Append { body: Sealed(Vec::new()), ..entry(log, 0, b"") }).unwrap();
    assert_eq!(problem(clinic.post(&doctor, &path, empty).await).await.code, ErrorCode::InvalidValue);

    let largest = AppendCommit {
        body: mls::private(log, 0, mls::Content::Commit, &vec![1; MAX_ENTRY_BYTES - FRAME_BYTES]),
        group_info: mls::group_info(log, 1, &vec![2; MAX_ENTRY_BYTES - GROUP_INFO_FRAME_BYTES]),
        welcome: Some(mls::welcome(&vec![3; MAX_ENTRY_BYTES - WELCOME_FRAME_BYTES])),
        welcome_for: vec![patient.device_id],
        ..commit(log, 0, b"")
    };
    let too_large = AppendCommit { welcome: Some(Sealed(vec![3; MAX_ENTRY_BYTES + 1])), ..largest.clone() };
    assert_eq!(send_commit(&clinic, &doctor, log, &too_large).await, Err(ErrorCode::TooLarge));
    send_commit(&clinic, &doctor, log, &largest).await.unwrap();
    let welcome = ana.event_where(|event| match event {
        Event::GroupWelcome(welcome) => Some(welcome.clone()),
        _ => None,
    });
    assert_eq!(welcome.await.welcome, None, "too long for a frame");
    assert_eq!(welcomes(&clinic, &patient).await[0].welcome, largest.welcome);
    clinic.close().await;
}

#[tokio::test]
async fn a_page_of_long_entries_ends_early_and_reading_on_loses_none() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let path = format!("/api/conversations/{log}/send-message");
    for n in 0..12 {
        let body = serde_json::to_value(entry(log, 0, &vec![n; MAX_ENTRY_BYTES - FRAME_BYTES])).unwrap();
        assert_eq!(clinic.post(&doctor, &path, body).await.status(), 200);
    }
    let mut positions = Vec::new();
    while positions.len() < 12 {
        let page = read(&clinic, &patient, log, &format!("?per_page=100&from={}", positions.len())).await;
        assert!((1..=8).contains(&page.items.len()));
        positions.extend(page.items.iter().map(|entry| entry.position));
    }
    assert_eq!(positions, (0..12).collect::<Vec<_>>());
    clinic.close().await;
}

#[tokio::test]
async fn malformed_entries_are_answered_and_the_socket_goes_on() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut osei = clinic.connect(&doctor).await;
    let good = serde_json::to_value(entry(log, 0, b"good")).unwrap();
    for (field, value) in [
        ("body", json!("not base64!")),
        ("epoch", json!(-1)),
        ("id", json!("not a uuid")),
        ("conversation_id", Value::Null),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let refused = osei.request("chat:message", bad.clone()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::MalformedMessage, "{field}");
    }
    let path = format!("/api/conversations/{log}/send-message");
    let mut elsewhere = good.clone();
    elsewhere["conversation_id"] = json!(ConversationId::random());
    for bad in [elsewhere, json!({"id": EntryId::random()})] {
        assert_eq!(problem(clinic.post(&doctor, &path, bad).await).await.code, ErrorCode::InvalidValue);
    }
    for query in ["?from=-1", "?per_page=101", "?page=0"] {
        let bad = clinic.get(&doctor, &format!("/api/conversations/{log}/messages{query}")).await;
        assert_eq!(problem(bad).await.code, ErrorCode::InvalidValue, "{query}");
    }
    osei.request("chat:message", good).await.unwrap();
    assert_eq!(read(&clinic, &doctor, log, "").await.total, 1);
    clinic.close().await;
}

#[tokio::test]
async fn typing_is_told_to_the_other_devices_that_are_there_and_not_kept() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let desk = clinic.sign_in("osei").await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let (mut osei, mut at_desk) = (clinic.connect(&doctor).await, clinic.connect(&desk).await);
    let mut ana = clinic.dial(patient.access_token.expose()).await;
    let session = ana.hello(None).await.session;
    let typing = |event: &Event| match event {
        Event::ChatTyping(typing) => Some(typing.clone()),
        _ => None,
    };
    let wish = json!({"conversation_id": log, "body": Sealed(b"yes".to_vec())});
    osei.request("chat:typing", wish.clone()).await.unwrap();
    for socket in [&mut ana, &mut at_desk] {
        let told = socket.event_where(typing).await;
        assert_eq!((told.from_device, told.body), (Some(doctor.device_id), Sealed(b"yes".to_vec())));
    }
    assert!(osei.events_so_far().await.iter().all(|event| typing(event).is_none()));

    let seen = ana.last_seq;
    drop(ana);
    // Told after the server has noticed.
    osei.event_where(|event| matches!(event, Event::UserOffline { .. }).then_some(())).await;
    osei.request("chat:typing", wish).await.unwrap();
    let mut ana = clinic.dial(patient.access_token.expose()).await;
    assert!(ana.hello(Some((session, seen))).await.resumed);
    assert!(ana.events_so_far().await.iter().all(|event| typing(event).is_none()));
    let long = json!({"conversation_id": log, "body": Sealed(vec![0; 2000])});
    assert_eq!(osei.request("chat:typing", long).await.unwrap_err().code, ErrorCode::TooLarge);
    assert_eq!(read(&clinic, &doctor, log, "").await.total, 0);
    clinic.close().await;
}

#[tokio::test]
async fn receipts_are_entries_and_a_read_message_must_exist() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let message = entry(log, 0, b"hello");
    say(&mut osei, &message).await.unwrap();
    ana.request("chat:delivered", serde_json::to_value(entry(log, 0, b"arrived")).unwrap()).await.unwrap();
    let receipt = entry(log, 0, b"seen");
    let body = serde_json::to_value(&receipt).unwrap();
    let read_it = async |id: EntryId| {
        clinic.post(&patient, &format!("/api/messages/{id}/mark-read"), body.clone()).await
    };
    assert_eq!(problem(read_it(EntryId::random()).await).await.code, ErrorCode::NotFound);
    assert_eq!(problem(read_it(receipt.id).await).await.code, ErrorCode::NotFound);
    assert_eq!(read_it(message.id).await.status(), 200);
    for (kind, name) in [
        (EntryKind::Message, "chat:message"),
        (EntryKind::Delivered, "chat:delivered"),
        (EntryKind::Read, "chat:read"),
    ] {
        let event =
            osei.event_where(|event| event.log_entry().map(|entry| (entry.kind, event.clone()))).await;
        assert_eq!(event.0, kind);
        assert_eq!(serde_json::to_value(event.1).unwrap()["type"], name);
    }
    clinic.close().await;
}

#[tokio::test]
async fn signaling_belongs_to_a_live_call_of_this_device_between_these_two() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let nurse = clinic.person("nurse", Role::Clinician).await;
    let laptop = clinic.sign_in("ana").await;
    let mut on_laptop = clinic.connect(&laptop).await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let other_log = clinic.conversation(&doctor, nurse.user.id).await;
    let ticket = ring(&mut osei, &patient).await;
    let call = ticket.call_id;
    let mine = accept(&mut ana, call).await;
    let signal_with = |token: Option<&Secret>, log, call, body: &str| {
        let entry = entry(log, 0, body.as_bytes());
        serde_json::to_value(Append { call_id: call, room_token: token.cloned(), ..entry }).unwrap()
    };
    let signal = |log, call, body: &str| signal_with(Some(&ticket.room_token), log, call, body);
    let unknown = Some(bedside_protocol::CallId::random());
    for (call, log, expected) in [
        (None, log, ErrorCode::InvalidValue),
        (unknown, log, ErrorCode::CallNotFound),
        (Some(call), other_log, ErrorCode::InvalidValue),
        (Some(call), ConversationId::random(), ErrorCode::NotFound),
    ] {
        for kind in ["webrtc:offer", "webrtc:answer", "webrtc:ice"] {
            let refused = osei.request(kind, signal(log, call, kind)).await.unwrap_err();
            assert_eq!(refused.code, expected, "{kind}");
        }
    }
    for token in [None, Some(&mine.room_token), Some(&Secret::new("made up".into()))] {
        let refused = osei.request("webrtc:offer", signal_with(token, log, Some(call), "no token")).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::Forbidden);
    }
    let foreign = on_laptop.request("webrtc:offer", signal(log, Some(call), "mine")).await.unwrap_err();
    assert_eq!(foreign.code, ErrorCode::AnsweredElsewhere);
    let in_call = osei.request("chat:message", signal(log, unknown, "in no call of mine")).await;
    assert_eq!(in_call.unwrap_err().code, ErrorCode::CallNotFound);

    osei.request("webrtc:offer", signal(log, Some(call), "offer")).await.unwrap();
    osei.request("chat:message", signal(log, Some(call), "in the call")).await.unwrap();
    for socket in [&mut ana, &mut on_laptop] {
        let offer = socket.event_where(log_entry).await;
        assert_eq!((offer.kind, offer.call_id, offer.position), (EntryKind::Offer, Some(call), 0));
        assert_eq!(socket.event_where(log_entry).await.kind, EntryKind::Message);
    }
    hang_up(&mut osei, call).await;
    let late = ana
        .request("webrtc:ice", signal_with(Some(&mine.room_token), log, Some(call), "late"))
        .await
        .unwrap_err();
    assert_eq!(late.code, ErrorCode::IllegalTransition);
    ana.request("chat:message", signal(log, Some(call), "about the call")).await.unwrap();
    clinic.close().await;
}

#[tokio::test]
async fn a_device_that_lost_its_socket_gets_every_entry_once_and_in_order() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut osei = clinic.connect(&doctor).await;
    let mut ana = clinic.dial(patient.access_token.expose()).await;
    let session = ana.hello(None).await.session;
    for n in 0..3 {
        say(&mut osei, &entry(log, 0, format!("message {n}").as_bytes())).await.unwrap();
        assert_eq!(ana.event_where(log_entry).await.position, n);
    }
    let seen = ana.last_seq;
    drop(ana);
    for n in 3..20 {
        say(&mut osei, &entry(log, 0, format!("message {n}").as_bytes())).await.unwrap();
    }
    let mut ana = clinic.dial(patient.access_token.expose()).await;
    assert!(ana.hello(Some((session, seen))).await.resumed);
    for n in 3..20 {
        let entry = ana.event_where(log_entry).await;
        let body = mls::private(log, 0, mls::Content::Application, format!("message {n}").as_bytes());
        assert_eq!((entry.position, entry.body), (n, Some(body)));
    }
    assert!(ana.events_so_far().await.is_empty());
    clinic.close().await;
}

#[tokio::test]
async fn logs_survive_a_power_cut() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut osei = clinic.connect(&doctor).await;
    say(&mut osei, &entry(log, 0, b"before")).await.unwrap();
    send_commit(&clinic, &doctor, log, &commit(log, 0, b"change")).await.unwrap();
    let before = (look(&clinic, &patient, log).await, read(&clinic, &patient, log, "").await);
    let clinic = clinic.restart(false).await;
    let after = (look(&clinic, &patient, log).await, read(&clinic, &patient, log, "").await);
    assert_eq!(after, before);
    let mut osei = clinic.connect(&doctor).await;
    assert_eq!(say(&mut osei, &entry(log, 1, b"after")).await.unwrap().position, 2);
    clinic.close().await;
}
