//! Conversations as devices see them: one log each, in one order, for everybody in it and nobody else.

use std::time::Duration;

use bedside_protocol::{
    ConversationId, EntryId, ErrorCode, Role, Sealed,
    conversation::{
        Append, AppendCommit, Appended, Conversation, EntryKind, GroupInfo, LogEntry, MAX_ENTRY_BYTES,
        MAX_INLINE_ENTRY_BYTES, WaitingWelcome,
    },
    rest::{CallTicket, ClinicInfo, Page, SignedIn},
    socket::Event,
};
use serde_json::{Value, json};

use crate::fixture::{Clinic, Socket, entry, log_entry, problem};

async fn say(socket: &mut Socket, append: &Append) -> Result<Appended, ErrorCode> {
    let answer = socket.request("chat:message", serde_json::to_value(append).unwrap()).await;
    answer.map(|value| serde_json::from_value(value).unwrap()).map_err(|problem| problem.code)
}

fn commit(epoch: u64, body: &[u8]) -> AppendCommit {
    AppendCommit {
        id: EntryId::random(),
        epoch,
        body: Sealed(body.to_vec()),
        welcome: None,
        welcome_for: Vec::new(),
        group_info: Sealed([b"after ", body].concat()),
    }
}

async fn send_commit(
    clinic: &Clinic,
    who: &SignedIn,
    log: ConversationId,
    commit: &AppendCommit,
) -> Result<Appended, ErrorCode> {
    let path = format!("/api/conversations/{log}/commits");
    let response = clinic.post(who, &path, serde_json::to_value(commit).unwrap()).await;
    match response.status().as_u16() {
        200 => Ok(response.json().await.unwrap()),
        _ => Err(problem(response).await.code),
    }
}

async fn read(clinic: &Clinic, who: &SignedIn, log: ConversationId, query: &str) -> Page<LogEntry> {
    let response = clinic.get(who, &format!("/api/conversations/{log}/messages{query}")).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

async fn look(clinic: &Clinic, who: &SignedIn, log: ConversationId) -> Conversation {
    clinic.get(who, &format!("/api/conversations/{log}")).await.json().await.unwrap()
}

async fn welcomes(clinic: &Clinic, who: &SignedIn) -> Vec<WaitingWelcome> {
    clinic.get(who, "/api/welcomes").await.json::<Page<WaitingWelcome>>().await.unwrap().items
}

async fn acknowledge(socket: &mut Socket, log: ConversationId, next_position: u64) {
    let ack = json!({"conversation_id": log, "next_position": next_position});
    socket.request("chat:ack", ack).await.unwrap();
}

#[tokio::test]
async fn there_is_one_direct_conversation_per_pair_and_both_are_told() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let (mut osei, mut ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    let create = async |who: &SignedIn, with: &SignedIn| -> Conversation {
        let wish = json!({"kind": "direct", "participants": [with.user.id]});
        clinic.post(who, "/api/conversations", wish).await.json().await.unwrap()
    };
    let first = create(&doctor, &patient).await;
    assert_eq!((first.founded, first.epoch, first.next_position), (false, 0, 0));
    assert_eq!(first.participants.len(), 2);
    assert_eq!(create(&patient, &doctor).await, first);
    let group = json!({"kind": "group", "participants": [patient.user.id]});
    let group: Conversation = clinic.post(&doctor, "/api/conversations", group).await.json().await.unwrap();
    assert_ne!(group.id, first.id);
    let changed = |event: &Event| match event {
        Event::ConversationChanged { conversation_id } => Some(*conversation_id),
        _ => None,
    };
    for socket in [&mut osei, &mut ana] {
        assert_eq!(socket.event_where(changed).await, first.id);
        assert_eq!(socket.event_where(changed).await, group.id, "told once of each");
    }
    let page: Page<Conversation> = clinic.get(&patient, "/api/conversations").await.json().await.unwrap();
    assert_eq!((page.total, page.items.len()), (2, 2));
    clinic.close().await;
}

#[tokio::test]
async fn strangers_are_not_taken_in_and_find_nothing() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let stranger = clinic.person("tom", Role::Patient).await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut osei = clinic.connect(&doctor).await;
    let message = entry(log, 0, b"for ana");
    say(&mut osei, &message).await.unwrap();
    let mut tom = clinic.connect(&stranger).await;

    for participants in [vec![doctor.user.id], vec![bedside_protocol::UserId::random()]] {
        let wish = json!({"kind": "direct", "participants": participants});
        let refused = problem(clinic.post(&stranger, "/api/conversations", wish).await).await;
        assert_eq!(refused.code, ErrorCode::NotAContact);
    }
    let mine = serde_json::to_value(entry(log, 0, b"let me in")).unwrap();
    for (path, body) in [
        (format!("conversations/{log}/found"), json!({"group_info": "AAAA"})),
        (format!("conversations/{log}/commits"), serde_json::to_value(commit(0, b"me")).unwrap()),
        (format!("conversations/{log}/send-message"), mine.clone()),
        (format!("messages/{}/mark-read", message.id), mine.clone()),
    ] {
        let refused = problem(clinic.post(&stranger, &format!("/api/{path}"), body).await).await;
        assert_eq!(refused.code, ErrorCode::NotFound, "{path}");
    }
    for path in ["", "/messages", "/group-info"] {
        for id in [log, ConversationId::random()] {
            let refused =
                problem(clinic.get(&stranger, &format!("/api/conversations/{id}{path}")).await).await;
            assert_eq!(refused.code, ErrorCode::NotFound, "{path}");
        }
    }
    for (kind, data) in [
        ("chat:message", mine.clone()),
        ("chat:delivered", mine.clone()),
        ("chat:read", mine),
        ("chat:typing", json!({"conversation_id": log, "body": "AAAA"})),
        ("chat:ack", json!({"conversation_id": log, "next_position": 0})),
    ] {
        assert_eq!(tom.request(kind, data).await.unwrap_err().code, ErrorCode::NotFound, "{kind}");
    }
    assert!(tom.events_so_far().await.is_empty());
    let page: Page<Conversation> = clinic.get(&stranger, "/api/conversations").await.json().await.unwrap();
    assert_eq!(page.total, 0);
    clinic.close().await;
}

#[tokio::test]
async fn a_conversation_of_nobody_or_of_too_many_is_refused() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let many: Vec<_> = (0..50).map(|_| bedside_protocol::UserId::random()).collect();
    for wish in [
        json!({"kind": "group", "participants": []}),
        json!({"kind": "direct", "participants": [doctor.user.id]}),
        json!({"kind": "group", "participants": many}),
        json!({"kind": "direct", "participants": [patient.user.id], "name": "x"}),
    ] {
        let refused = problem(clinic.post(&doctor, "/api/conversations", wish).await).await;
        assert_eq!(refused.code, ErrorCode::InvalidValue);
    }
    clinic.close().await;
}

#[tokio::test]
async fn a_group_is_founded_once_and_a_lost_answer_does_no_harm() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let wish = json!({"kind": "direct", "participants": [patient.user.id]});
    let log: Conversation = clinic.post(&doctor, "/api/conversations", wish).await.json().await.unwrap();
    let log = log.id;
    let mut osei = clinic.connect(&doctor).await;
    assert_eq!(say(&mut osei, &entry(log, 0, b"too early")).await, Err(ErrorCode::NoGroup));
    let early = problem(clinic.get(&doctor, &format!("/api/conversations/{log}/group-info")).await).await;
    assert_eq!(early.code, ErrorCode::NoGroup);

    let path = format!("/api/conversations/{log}/found");
    let found = async |who: &SignedIn, info: &[u8]| {
        clinic.post(who, &path, json!({"group_info": Sealed(info.to_vec())})).await
    };
    assert_eq!(found(&doctor, b"doctor's").await.status(), 204);
    assert_eq!(problem(found(&patient, b"patient's").await).await.code, ErrorCode::GroupExists);
    assert_eq!(found(&doctor, b"doctor's").await.status(), 204, "the same request again");
    assert_eq!(problem(found(&patient, b"").await).await.code, ErrorCode::InvalidValue);
    assert!(look(&clinic, &patient, log).await.founded);
    let info = clinic.get(&patient, &format!("/api/conversations/{log}/group-info")).await;
    let info: GroupInfo = info.json().await.unwrap();
    assert_eq!(info, GroupInfo { epoch: 0, position: 0, group_info: Sealed(b"doctor's".to_vec()) });
    clinic.close().await;
}

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
async fn of_two_devices_that_commit_in_one_epoch_one_wins_and_the_other_is_told() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut ana = clinic.connect(&patient).await;
    for epoch in 0..5 {
        let (one, two) = (commit(epoch, b"doctor's"), commit(epoch, b"patient's"));
        let bodies = [
            AppendCommit { body: Sealed(format!("doctor {epoch}").into_bytes()), ..one },
            AppendCommit { body: Sealed(format!("patient {epoch}").into_bytes()), ..two },
        ];
        let (one, two) = tokio::join!(
            send_commit(&clinic, &doctor, log, &bodies[0]),
            send_commit(&clinic, &patient, log, &bodies[1])
        );
        let (winner, appended) = match (one, two) {
            (Ok(appended), Err(ErrorCode::StaleEpoch)) => (0, appended),
            (Err(ErrorCode::StaleEpoch), Ok(appended)) => (1, appended),
            other => panic!("one wins: {other:?}"),
        };
        assert_eq!(appended.position, epoch);
        let told = ana.event_where(log_entry).await;
        assert_eq!((told.kind, told.epoch), (EntryKind::Commit, epoch));
        assert_eq!(told.body.as_ref(), Some(&bodies[winner].body));
        let path = format!("/api/conversations/{log}/group-info");
        let info: GroupInfo = clinic.get(&doctor, &path).await.json().await.unwrap();
        assert_eq!((info.epoch, info.position), (epoch + 1, appended.position + 1));
        assert_eq!(info.group_info, bodies[winner].group_info);
    }
    for epoch in [4, 6, u64::MAX] {
        assert_eq!(say(&mut ana, &entry(log, epoch, b"late")).await, Err(ErrorCode::StaleEpoch));
    }
    assert_eq!(say(&mut ana, &entry(log, 5, b"in time")).await.unwrap().position, 5);
    clinic.close().await;
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_repeated_without_a_second_entry() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut osei = clinic.connect(&doctor).await;
    let message = entry(log, 0, b"once");
    let first = say(&mut osei, &message).await.unwrap();
    let change = commit(0, b"change");
    let committed = send_commit(&clinic, &doctor, log, &change).await.unwrap();

    // In a later epoch, over either way, and after a power cut.
    let clinic = clinic.restart(false).await;
    let mut osei = clinic.connect(&doctor).await;
    assert_eq!(say(&mut osei, &message).await, Ok(first));
    let path = format!("/api/conversations/{log}/send-message");
    let mut body = serde_json::to_value(&message).unwrap();
    body.as_object_mut().unwrap().remove("conversation_id");
    assert_eq!(clinic.post(&doctor, &path, body).await.json::<Appended>().await.unwrap(), first);
    assert_eq!(send_commit(&clinic, &doctor, log, &change).await, Ok(committed));

    let other_id = Append { id: EntryId::random(), ..message.clone() };
    assert_eq!(say(&mut osei, &other_id).await, Ok(first), "equal bytes are the same entry");
    let other_body = Append { body: Sealed(b"another".to_vec()), epoch: 1, ..message };
    assert_eq!(say(&mut osei, &other_body).await, Err(ErrorCode::IdempotencyConflict));
    assert_eq!(read(&clinic, &patient, log, "").await.total, 2);
    assert_eq!(look(&clinic, &patient, log).await.epoch, 1);
    clinic.close().await;
}

#[tokio::test]
async fn a_welcome_is_kept_with_its_commit_or_not_at_all_until_its_device_has_joined() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let stranger = clinic.person("tom", Role::Patient).await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut ana = clinic.connect(&patient).await;
    let adding = |devices: &[&SignedIn], epoch| AppendCommit {
        welcome: Some(Sealed(b"come in".to_vec())),
        welcome_for: devices.iter().map(|who| who.device_id).collect(),
        ..commit(epoch, format!("add {} at {epoch}", devices.len()).as_bytes())
    };
    let foreign = send_commit(&clinic, &doctor, log, &adding(&[&patient, &stranger], 0)).await;
    assert_eq!(foreign, Err(ErrorCode::InvalidValue));
    assert_eq!(look(&clinic, &doctor, log).await.next_position, 0, "nothing of it was kept");
    let halves = AppendCommit { welcome: None, ..adding(&[&patient], 0) };
    assert_eq!(send_commit(&clinic, &doctor, log, &halves).await, Err(ErrorCode::InvalidValue));
    assert!(welcomes(&clinic, &patient).await.is_empty());

    let good = adding(&[&patient], 0);
    send_commit(&clinic, &doctor, log, &good).await.unwrap();
    let stale = send_commit(&clinic, &doctor, log, &adding(&[&patient, &doctor], 0)).await;
    assert_eq!(stale, Err(ErrorCode::StaleEpoch));
    send_commit(&clinic, &doctor, log, &good).await.unwrap();
    let waiting = welcomes(&clinic, &patient).await;
    assert_eq!(waiting.len(), 1, "neither the loser's nor a second one");
    assert_eq!((waiting[0].conversation_id, waiting[0].position), (log, 1));
    let told = ana.event_where(|event| match event {
        Event::GroupWelcome(welcome) => Some(welcome.clone()),
        _ => None,
    });
    assert_eq!(told.await, waiting[0]);
    assert!(welcomes(&clinic, &doctor).await.is_empty());

    let path = format!("/api/welcomes/{}", waiting[0].id);
    assert_eq!(problem(clinic.delete(&stranger, &path).await).await.code, ErrorCode::NotFound);
    assert_eq!(clinic.delete(&patient, &path).await.status(), 204);
    assert_eq!(problem(clinic.delete(&patient, &path).await).await.code, ErrorCode::NotFound);
    assert!(welcomes(&clinic, &patient).await.is_empty());
    clinic.close().await;
}

#[tokio::test]
async fn what_every_device_has_is_deleted_and_who_asks_for_it_is_told() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let laptop = clinic.sign_in("ana").await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut osei = clinic.connect(&doctor).await;
    let (mut ana, mut on_laptop) = (clinic.connect(&patient).await, clinic.connect(&laptop).await);
    let sent = entry(log, 0, b"message 0");
    let first = say(&mut osei, &sent).await.unwrap();
    for n in 1..5 {
        say(&mut osei, &entry(log, 0, format!("message {n}").as_bytes())).await.unwrap();
    }
    acknowledge(&mut osei, log, 5).await;
    acknowledge(&mut ana, log, 3).await;
    assert_eq!(look(&clinic, &doctor, log).await.first_position, 0, "the laptop has nothing yet");
    acknowledge(&mut on_laptop, log, 4).await;
    let kept = look(&clinic, &doctor, log).await;
    assert_eq!((kept.first_position, kept.next_position), (3, 5));
    acknowledge(&mut ana, log, 1).await;
    assert_eq!(look(&clinic, &doctor, log).await.first_position, 3, "an acknowledgement is not taken back");

    let path = format!("/api/conversations/{log}/messages?from=2");
    assert_eq!(problem(clinic.get(&doctor, &path).await).await.code, ErrorCode::Expired);
    let rest = read(&clinic, &doctor, log, "").await;
    assert_eq!(rest.items.iter().map(|entry| entry.position).collect::<Vec<_>>(), [3, 4]);
    assert!(rest.items.iter().all(|entry| entry.body.is_some()));
    assert!(read(&clinic, &doctor, log, "?from=5").await.items.is_empty());
    assert_eq!(say(&mut osei, &sent).await, Ok(first), "what is gone is still known");
    let info = clinic.get(&doctor, &format!("/api/conversations/{log}/group-info")).await;
    assert_eq!(info.status(), 200, "the group can still be joined");
    let beyond = ana.request("chat:ack", json!({"conversation_id": log, "next_position": 6})).await;
    assert_eq!(beyond.unwrap_err().code, ErrorCode::InvalidValue);

    // A revoked device holds nothing back.
    acknowledge(&mut osei, log, 5).await;
    assert_eq!(clinic.delete(&patient, &format!("/api/devices/{}", laptop.device_id)).await.status(), 204);
    acknowledge(&mut ana, log, 5).await;
    assert_eq!(look(&clinic, &doctor, log).await.first_position, 5);
    clinic.close().await;
}

#[tokio::test]
async fn what_nobody_comes_for_is_deleted_after_the_retention() {
    let clinic = Clinic::open_with(|config| config.message_retention = Duration::ZERO).await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut osei = clinic.connect(&doctor).await;
    say(&mut osei, &entry(log, 0, b"hello?")).await.unwrap();
    let adding = AppendCommit {
        welcome: Some(Sealed(b"come in".to_vec())),
        welcome_for: vec![patient.device_id],
        ..commit(0, b"add ana")
    };
    send_commit(&clinic, &doctor, log, &adding).await.unwrap();
    clinic.server.app().conversations.sweep().await.unwrap();
    let kept = look(&clinic, &patient, log).await;
    assert_eq!((kept.first_position, kept.next_position, kept.epoch), (2, 2, 1));
    assert!(welcomes(&clinic, &patient).await.is_empty());
    let path = format!("/api/conversations/{log}/messages?from=0");
    assert_eq!(problem(clinic.get(&patient, &path).await).await.code, ErrorCode::Expired);
    assert_eq!(say(&mut osei, &entry(log, 1, b"again")).await.unwrap().position, 2, "positions go on");
    clinic.close().await;
}

#[tokio::test]
async fn long_entries_are_told_without_their_body_and_too_long_ones_are_refused() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let (mut osei, mut ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    let path = format!("/api/conversations/{log}/send-message");
    let send = async |bytes: usize| {
        let body =
            serde_json::to_value(entry(log, 0, &vec![u8::try_from(bytes % 251).unwrap(); bytes])).unwrap();
        clinic.post(&doctor, &path, body).await
    };
    say(&mut osei, &entry(log, 0, &vec![7; MAX_INLINE_ENTRY_BYTES])).await.unwrap();
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
    assert_eq!(problem(send(0).await).await.code, ErrorCode::InvalidValue);

    let largest = AppendCommit {
        body: Sealed(vec![1; MAX_ENTRY_BYTES]),
        group_info: Sealed(vec![2; MAX_ENTRY_BYTES]),
        welcome: Some(Sealed(vec![3; MAX_ENTRY_BYTES])),
        welcome_for: vec![patient.device_id],
        ..commit(0, b"")
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
        let body = serde_json::to_value(entry(log, 0, &vec![n; MAX_ENTRY_BYTES])).unwrap();
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
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let (mut osei, mut ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
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
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let nurse = clinic.person("nurse", Role::Clinician).await;
    let laptop = clinic.sign_in("ana").await;
    let (mut osei, mut ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    let mut on_laptop = clinic.connect(&laptop).await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let other_log = clinic.conversation(&doctor, nurse.user.id).await;
    let wish = json!({"callee_id": patient.user.id, "call_type": "video"});
    let ticket: CallTicket =
        serde_json::from_value(osei.request("initiate_call", wish).await.unwrap()).unwrap();
    let call = ticket.call_id;
    ana.request("accept_call", json!({"call_id": call, "call_type": "video"})).await.unwrap();
    let signal = |log, call, body: &str| {
        serde_json::to_value(Append { call_id: call, ..entry(log, 0, body.as_bytes()) }).unwrap()
    };
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
    osei.request("hangup_call", json!({"call_id": call, "reason": "user_hangup"})).await.unwrap();
    let late = ana.request("webrtc:ice", signal(log, Some(call), "late")).await.unwrap_err();
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
        assert_eq!((entry.position, entry.body.unwrap().0), (n, format!("message {n}").into_bytes()));
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
    send_commit(&clinic, &doctor, log, &commit(0, b"change")).await.unwrap();
    let before = (look(&clinic, &patient, log).await, read(&clinic, &patient, log, "").await);
    let clinic = clinic.restart(false).await;
    let after = (look(&clinic, &patient, log).await, read(&clinic, &patient, log, "").await);
    assert_eq!(after, before);
    let mut osei = clinic.connect(&doctor).await;
    assert_eq!(say(&mut osei, &entry(log, 1, b"after")).await.unwrap().position, 2);
    clinic.close().await;
}

#[tokio::test]
async fn the_clinics_archive_takes_part_in_every_conversation_and_everybody_may_know() {
    let clinic = Clinic::open_with(|config| config.archive_user = Some("archive".to_owned())).await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let wish = json!({"kind": "direct", "participants": [patient.user.id]});
    let missing = clinic.post(&doctor, "/api/conversations", wish.clone()).await;
    assert_eq!(problem(missing).await.code, ErrorCode::Internal, "not without the archive that was promised");

    let archive = clinic.person("archive", Role::Admin).await;
    let info: ClinicInfo =
        clinic.http.get(clinic.url("/api/clinic")).send().await.unwrap().json().await.unwrap();
    assert_eq!(info.archive.map(|profile| profile.id), Some(archive.user.id));
    let direct: Conversation = clinic.post(&doctor, "/api/conversations", wish).await.json().await.unwrap();
    let ids: Vec<_> = direct.participants.iter().map(|profile| profile.id).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.contains(&archive.user.id));
    assert_eq!(look(&clinic, &archive, direct.id).await.id, direct.id);
    let alone = json!({"kind": "direct", "participants": [archive.user.id]});
    assert_eq!(clinic.post(&patient, "/api/conversations", alone).await.status(), 200);
    clinic.close().await;
}
