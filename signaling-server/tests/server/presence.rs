//! Who sees whom come and go.

use std::time::{Duration, Instant};

use bedside_protocol::{
    ErrorCode, PresenceStatus, Role,
    rest::{Page, SignedIn},
    socket::Event,
    user::{Contact, Presence},
};
use bedside_server::accounts::AccountError;
use serde_json::json;

use crate::fixture::{Clinic, PASSWORD, Socket, problem, some_call};

/// Whether an event says something of somebody's presence.
fn is_presence(event: &Event) -> bool {
    matches!(event, Event::PresenceUpdate(_) | Event::UserOnline { .. } | Event::UserOffline { .. })
}

/// The next status of somebody's that `watcher` is told.
async fn status(watcher: &mut Socket, of: &SignedIn) -> PresenceStatus {
    let user = of.user.id;
    watcher
        .event_where(|event| match event {
            Event::PresenceUpdate(presence) if presence.user_id == user => Some(presence.status),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn contacts_are_told_at_once_and_nobody_else_is() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let outsider = clinic.person("tom", Role::Patient).await;
    let mut watcher = clinic.connect(&doctor).await;
    let mut stranger = clinic.connect(&outsider).await;

    let mut ana = clinic.connect(&patient).await;
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Online);
    let online = |event: &Event| matches!(event, Event::UserOnline { .. }).then(|| event.clone());
    assert_eq!(watcher.event_where(online).await, Event::UserOnline { user_id: patient.user.id });

    let away = json!({"status": "away"});
    ana.request("presence:update", away).await.unwrap();
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Away);
    let quiet = json!({"status": "do_not_disturb"});
    assert_eq!(clinic.post(&patient, "/api/presence/update", quiet).await.status(), 200);
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::DoNotDisturb);

    let path = format!("/api/presence/{}", patient.user.id);
    let seen: Presence = clinic.get(&doctor, &path).await.json().await.unwrap();
    assert_eq!(seen.status, PresenceStatus::DoNotDisturb);
    assert_eq!(problem(clinic.get(&outsider, &path).await).await.code, ErrorCode::NotFound);
    assert!(!stranger.events_so_far().await.iter().any(is_presence));

    ana.say_goodbye().await;
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Offline);
    let offline =
        |event: &Event| matches!(event, Event::UserOffline { last_seen: Some(_), .. }).then_some(());
    watcher.event_where(offline).await;
    assert!(!stranger.events_so_far().await.iter().any(is_presence));
    clinic.close().await;
}

#[tokio::test]
async fn a_change_of_presence_reaches_a_watcher_in_less_than_half_a_second() {
    const LIMIT: Duration = Duration::from_millis(500);
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let mut watcher = clinic.connect(&doctor).await;
    let mut ana = clinic.connect(&patient).await;
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Online);
    // The median of many: what this machine is busy with besides delays some, what the server waits for delays most.
    let mut delays = Vec::new();
    for (word, said) in [("away", PresenceStatus::Away), ("online", PresenceStatus::Online)].repeat(12) {
        let begun = Instant::now();
        ana.request("presence:update", json!({"status": word})).await.unwrap();
        assert_eq!(status(&mut watcher, &patient).await, said);
        delays.push(begun.elapsed());
    }
    delays.sort();
    let median = delays[delays.len() / 2];
    assert!(median < LIMIT, "half of the changes took {median:?} or more: {delays:?}");
    clinic.close().await;
}

#[tokio::test]
async fn several_devices_are_one_person_and_a_call_makes_busy() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let mut watcher = clinic.connect(&doctor).await;
    let mut laptop = clinic.connect(&patient).await;
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Online);
    laptop.request("presence:update", json!({"status": "idle"})).await.unwrap();
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Idle);

    let tablet = clinic.connect(&clinic.sign_in("ana").await).await;
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Online);
    let call = some_call();
    clinic.server.app().presence.set_call(patient.user.id, Some(call));
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Busy);
    clinic.server.app().presence.set_call(patient.user.id, None);
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Online);
    tablet.say_goodbye().await;
    assert_eq!(status(&mut watcher, &patient).await, PresenceStatus::Idle);
    clinic.close().await;
}

#[tokio::test]
async fn busy_and_offline_cannot_be_claimed() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let mut socket = clinic.connect(&ana).await;
    for claim in ["busy", "offline"] {
        let refused = socket.request("presence:update", json!({"status": claim})).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidValue);
    }
    clinic.close().await;
}

#[tokio::test]
async fn contacts_list_relations_and_colleagues_with_their_presence_page_by_page() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let colleague = clinic.person("lind", Role::Clinician).await;
    clinic.add("tom", Role::Patient).await;
    let _ana = clinic.connect(&patient).await;

    let list = async |who: &SignedIn, query: &str| -> Page<Contact> {
        clinic.get(who, &format!("/api/contacts{query}")).await.json().await.unwrap()
    };
    let page = list(&doctor, "").await;
    let ids: Vec<_> = page.items.iter().map(|contact| contact.user.id).collect();
    assert_eq!(ids, [patient.user.id, colleague.user.id]);
    assert_eq!(page.items[0].presence.status, PresenceStatus::Online);
    assert_eq!(page.items[1].presence.status, PresenceStatus::Offline);
    let second = list(&doctor, "?page=2&per_page=1").await;
    assert_eq!((second.total, second.pages, second.current_page), (2, 2, 2));
    assert_eq!(second.items[0].user.id, colleague.user.id);
    assert_eq!(list(&patient, "").await.total, 1);
    let refused = problem(clinic.get(&doctor, "/api/contacts?per_page=101").await).await;
    assert_eq!(refused.code, ErrorCode::InvalidValue);
    clinic.close().await;
}

#[tokio::test]
async fn what_the_command_line_changes_reaches_those_who_are_connected() {
    let clinic = Clinic::open().await;
    let doctor = clinic.person("osei", Role::Clinician).await;
    let patient = clinic.person("ana", Role::Patient).await;
    let mut osei = clinic.connect(&doctor).await;
    let mut ana = clinic.connect(&patient).await;
    clinic.befriend("osei", "ana").await;
    for socket in [&mut osei, &mut ana] {
        socket.event_where(|event| (*event == Event::ContactsChanged).then_some(())).await;
    }
    clinic.add("lind", Role::Clinician).await;
    osei.event_where(|event| (*event == Event::ContactsChanged).then_some(())).await;

    let password = bedside_protocol::Secret::new("anvil nine tulip".to_owned());
    clinic.accounts().set_password("ana", password).await.unwrap();
    assert_eq!(ana.close_code().await, 4001, "a new password ends what the old one opened");
    clinic.close().await;
}

#[tokio::test]
async fn access_that_the_command_line_takes_away_ends_at_once_and_can_be_given_back() {
    let (clinic, [_, patient], [mut osei, mut ana]) = Clinic::online().await;
    let contacts_changed = |event: &Event| (*event == Event::ContactsChanged).then_some(());
    // What made them contacts need not be told any more.
    let told = sqlx::query("UPDATE users SET contacts_changed_at = NULL");
    told.execute(&clinic.server.app().db.write).await.unwrap();
    for socket in [&mut osei, &mut ana] {
        socket.events_so_far().await;
    }
    clinic.accounts().remove_contact("ana", "osei").await.unwrap();
    for socket in [&mut osei, &mut ana] {
        socket.event_where(contacts_changed).await;
    }
    let path = format!("/api/presence/{}", patient.user.id);
    let doctor = clinic.sign_in("osei").await;
    assert_eq!(problem(clinic.get(&doctor, &path).await).await.code, ErrorCode::NotFound);
    let both = clinic.accounts().remove_contact("ana", "ana").await.unwrap_err();
    assert!(matches!(both, AccountError::SamePerson));

    clinic.befriend("osei", "ana").await;
    osei.event_where(contacts_changed).await;
    clinic.accounts().set_disabled("ana", true).await.unwrap();
    assert_eq!(problem(clinic.get(&patient, "/api/users/me").await).await.code, ErrorCode::TokenExpired);
    assert_eq!(ana.close_code().await, 4001);
    osei.event_where(contacts_changed).await;
    assert_eq!(clinic.get(&doctor, "/api/contacts").await.json::<Page<Contact>>().await.unwrap().total, 0);
    let refused = problem(clinic.try_sign_in("ana", PASSWORD, None).await).await;
    assert_eq!(refused.code, ErrorCode::WrongCredentials);

    clinic.accounts().set_disabled("ana", false).await.unwrap();
    osei.event_where(contacts_changed).await;
    assert_eq!(clinic.get(&doctor, "/api/contacts").await.json::<Page<Contact>>().await.unwrap().total, 1);
    assert_eq!(problem(clinic.get(&patient, "/api/users/me").await).await.code, ErrorCode::TokenExpired);
    clinic.connect(&clinic.sign_in("ana").await).await;
    clinic.close().await;
}

#[tokio::test]
async fn two_clinicians_are_not_separated_and_what_is_noted_of_them_stays() {
    let clinic = Clinic::open().await;
    for login in ["osei", "lind"] {
        clinic.add(login, Role::Clinician).await;
    }
    clinic.befriend("osei", "lind").await;
    let refused = clinic.accounts().remove_contact("osei", "lind").await.unwrap_err();
    assert!(matches!(refused, AccountError::Colleagues), "{refused}");
    let noted = sqlx::query("SELECT 1 FROM contacts").fetch_all(&clinic.server.app().db.read).await.unwrap();
    assert_eq!(noted.len(), 1, "what was refused has changed nothing");
    clinic.close().await;
}

#[tokio::test]
async fn a_change_that_the_database_kept_from_being_told_is_told_later() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    ana.request("presence:update", json!({"status": "idle"})).await.unwrap();
    while status(&mut osei, &patient).await != PresenceStatus::Idle {}
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&clinic.server.app().db.write).await.unwrap();
    };
    rename("contacts", "lost").await;
    ana.request("presence:update", json!({"status": "away"})).await.unwrap();
    assert_eq!(clinic.get(&doctor, "/api/contacts").await.status(), 500);
    let told = |event: &Event| matches!(event, Event::PresenceUpdate(_));
    assert!(!osei.events_so_far().await.iter().any(told));
    rename("lost", "contacts").await;
    assert_eq!(status(&mut osei, &patient).await, PresenceStatus::Away);
    clinic.close().await;
}

#[tokio::test]
async fn a_disk_that_is_full_keeps_nobody_from_learning_who_comes_and_leaves() {
    let (clinic, [_, patient], [mut osei, ana]) = Clinic::online().await;
    while status(&mut osei, &patient).await != PresenceStatus::Online {}
    let full =
        "CREATE TRIGGER full BEFORE UPDATE OF last_seen_at ON users BEGIN SELECT RAISE(ABORT, 'full'); END";
    sqlx::query(full).execute(&clinic.server.app().db.write).await.unwrap();
    ana.say_goodbye().await;
    assert_eq!(status(&mut osei, &patient).await, PresenceStatus::Offline);
    let _ana = clinic.connect(&patient).await;
    assert_eq!(status(&mut osei, &patient).await, PresenceStatus::Online);
    clinic.close().await;
}

#[tokio::test]
async fn a_power_cut_leaves_when_those_who_were_connected_were_last_seen() {
    let (clinic, [doctor, patient], _sockets) = Clinic::online().await;
    let set = async |clinic: &Clinic, at: Option<i64>| {
        let sql = sqlx::query("UPDATE users SET last_seen_at = ?1").bind(at);
        sql.execute(&clinic.server.app().db.write).await.unwrap();
    };
    let written = async |clinic: &Clinic| {
        let directory = &clinic.server.app().directory;
        while directory.last_seen(patient.user.id).await.unwrap().at.is_none() {}
    };
    let seen = async |clinic: &Clinic| {
        let path = format!("/api/presence/{}", patient.user.id);
        let presence: Presence = clinic.get(&doctor, &path).await.json().await.unwrap();
        presence.last_seen
    };
    written(&clinic).await;
    let clinic = clinic.restart(false).await;
    let connected = seen(&clinic).await.expect("when she connected");

    set(&clinic, None).await;
    let _ana = clinic.connect(&patient).await;
    // That she came is written down: what is written from here on is that she is still there.
    written(&clinic).await;
    set(&clinic, Some(1)).await;
    clinic.server.app().presence.note_present().await.unwrap();
    let clinic = clinic.restart(false).await;
    assert!(seen(&clinic).await.expect("when she was there last") >= connected);
    clinic.close().await;
}
