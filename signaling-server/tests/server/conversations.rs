//! Conversations as devices see them: who is in them, their groups, and one log each, in one order, for everybody in
//! it and nobody else.

use std::time::Duration;

use bedside_protocol::{
    ConversationId, EntryId, ErrorCode, Role, Sealed,
    conversation::{Append, AppendCommit, Appended, Conversation, EntryKind, Founded, GroupInfo},
    rest::{ClinicInfo, Page, SignedIn},
    socket::Event,
};
use bedside_server::{Config, StartError};
use serde_json::json;

use crate::{
    fixture::{Clinic, entry, log_entry, problem},
    log::{acknowledge, commit, look, read, say, send_commit, welcomes},
    mls,
};

#[tokio::test]
async fn there_is_one_direct_conversation_per_pair_and_both_are_told() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
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
        (format!("conversations/{log}/found"), json!({"group_info": mls::group_info(log, 0, b"mine")})),
        (format!("conversations/{log}/commits"), serde_json::to_value(commit(log, 0, b"me")).unwrap()),
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

    let mine = mls::group_info(log, 0, b"doctor's");
    let found =
        async |who: &SignedIn, info: &Sealed| clinic.found(who, log, json!({"group_info": info})).await;
    let theirs = mls::group_info(log, 0, b"patient's");
    assert_eq!(found(&doctor, &mine).await.json::<Founded>().await.unwrap().position, 0);
    assert_eq!(problem(found(&patient, &theirs).await).await.code, ErrorCode::GroupExists);
    assert_eq!(found(&doctor, &mine).await.status(), 200, "the same request again");
    assert_eq!(problem(found(&patient, &Sealed(Vec::new())).await).await.code, ErrorCode::InvalidValue);
    assert!(look(&clinic, &patient, log).await.founded);
    let info = clinic.get(&patient, &format!("/api/conversations/{log}/group-info")).await;
    let info: GroupInfo = info.json().await.unwrap();
    assert_eq!(info, GroupInfo { epoch: 0, position: 0, group_info: mine });
    clinic.close().await;
}

#[tokio::test]
async fn of_two_devices_that_commit_in_one_epoch_one_wins_and_the_other_is_told() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut ana = clinic.connect(&patient).await;
    for epoch in 0..5 {
        let bodies = [commit(log, epoch, b"doctor's"), commit(log, epoch, b"patient's")];
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
    let change = commit(log, 0, b"change");
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
    let other_body = Append { id: message.id, ..entry(log, 1, b"another") };
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
        welcome: Some(mls::welcome(b"come in")),
        welcome_for: devices.iter().map(|who| who.device_id).collect(),
        ..commit(log, epoch, format!("add {} at {epoch}", devices.len()).as_bytes())
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
        welcome: Some(mls::welcome(b"come in")),
        welcome_for: vec![patient.device_id],
        ..commit(log, 0, b"add ana")
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
async fn the_clinics_archive_takes_part_in_every_conversation_and_everybody_may_know() {
    let clinic = Clinic::open_with_archive(|_| {}).await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let archive = clinic.sign_in("archive").await;
    let wish = json!({"kind": "direct", "participants": [patient.user.id]});
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

    sqlx::query("UPDATE users SET disabled_at = 1 WHERE login = 'archive'")
        .execute(&clinic.server.app().db.write)
        .await
        .unwrap();
    let group = json!({"kind": "group", "participants": [patient.user.id]});
    let missing = problem(clinic.post(&doctor, "/api/conversations", group).await).await;
    assert_eq!(
        (missing.code, missing.status),
        (ErrorCode::NoArchive, 503),
        "not without the promised archive"
    );
    assert!(clinic.get(&doctor, "/api/conversations").await.status().is_success(), "the rest goes on");
    clinic.close().await;
}

#[tokio::test]
async fn a_server_without_the_archive_that_is_configured_does_not_start_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::for_tests(folder.path().join("test.db"));
    config.archive_user = Some("archive".to_owned());
    let Err(error) = bedside_server::start(config).await else { panic!("it started") };
    assert!(matches!(error, StartError::NoArchive), "{error}");
    assert!(error.to_string().contains("`bedside-server user add`"), "{error}");
}
