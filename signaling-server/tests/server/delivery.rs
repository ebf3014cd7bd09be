//! What one participant can't do to a conversation through a server that means well: what does not belong where it was
//! sent is refused, what nobody can follow is replaced, and nobody fills the disk.

use std::time::Duration;

use bedside_protocol::{
    ConversationId, ErrorCode, Sealed,
    conversation::{Append, AppendCommit, EntryKind, Founded, GroupInfo},
    mls::Credential,
    rest::SignedIn,
};
use serde_json::json;

use crate::{
    fixture::{Clinic, entry, log_entry, problem},
    log::{acknowledge, commit, look, read, say, send_commit, welcomes},
    mls::{self, Content},
};

#[tokio::test]
async fn what_does_not_belong_where_it_was_sent_is_refused_and_the_log_stays_as_it_is() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let elsewhere = ConversationId::random();
    let herself = Credential { user: patient.user.id, device: patient.device_id };
    for (what, body) in [
        ("no message", Sealed(vec![1])),
        ("a commit", mls::private(log, 0, Content::Commit, b"change")),
        ("a commit from outside", mls::from_outside(log, 0, herself, b"change")),
        ("another group's", mls::private(elsewhere, 0, Content::Application, b"hello")),
        ("a later epoch's", mls::private(log, 900, Content::Application, b"hello")),
        ("a welcome", mls::welcome(b"come in")),
    ] {
        let refused = say(&mut ana, &Append { body, ..entry(log, 0, b"") }).await;
        assert_eq!(refused, Err(ErrorCode::InvalidValue), "{what} is no message");
    }
    let good = commit(log, 0, b"change");
    let info = |epoch| mls::group_info(log, epoch, b"after");
    for (what, bad) in [
        ("no message", AppendCommit { body: Sealed(vec![1]), ..good.clone() }),
        ("a message", AppendCommit { body: entry(log, 0, b"hello").body, ..good.clone() }),
        ("another group's", AppendCommit { body: commit(elsewhere, 0, b"change").body, ..good.clone() }),
        ("a later epoch's", AppendCommit { body: commit(log, 1, b"change").body, ..good.clone() }),
        ("without group information", AppendCommit { group_info: Sealed(vec![1]), ..good.clone() }),
        ("with information of the epoch before", AppendCommit { group_info: info(0), ..good.clone() }),
        (
            "with a welcome that is none",
            AppendCommit {
                welcome: Some(Sealed(vec![1])),
                welcome_for: vec![patient.device_id],
                ..good.clone()
            },
        ),
    ] {
        let refused = send_commit(&clinic, &patient, log, &bad).await;
        assert_eq!(refused, Err(ErrorCode::InvalidValue), "{what} is no change");
    }
    let kept = look(&clinic, &doctor, log).await;
    assert_eq!((kept.epoch, kept.next_position), (0, 0));
    say(&mut osei, &entry(log, 0, b"undisturbed")).await.unwrap();
    send_commit(&clinic, &patient, log, &good).await.unwrap();
    clinic.close().await;
}

#[tokio::test]
async fn who_is_not_in_the_group_writes_nothing_into_its_log_until_it_comes_in() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let laptop = clinic.sign_in("ana").await;
    let phone = clinic.sign_in("ana").await;
    let (mut on_laptop, mut on_phone) = (clinic.connect(&laptop).await, clinic.connect(&phone).await);
    assert_eq!(say(&mut on_laptop, &entry(log, 0, b"hello")).await, Err(ErrorCode::NotAMember));
    let private = send_commit(&clinic, &laptop, log, &commit(log, 0, b"change")).await;
    assert_eq!(private, Err(ErrorCode::NotAMember));

    let coming = |user, device| {
        let body = mls::from_outside(log, 0, Credential { user, device }, b"here I am");
        AppendCommit { body, ..commit(log, 0, b"here I am") }
    };
    for posing in [coming(doctor.user.id, laptop.device_id), coming(laptop.user.id, phone.device_id)] {
        assert_eq!(send_commit(&clinic, &laptop, log, &posing).await, Err(ErrorCode::Forbidden));
    }
    let coming = coming(laptop.user.id, laptop.device_id);
    send_commit(&clinic, &laptop, log, &coming).await.unwrap();
    say(&mut on_laptop, &entry(log, 1, b"hello")).await.unwrap();
    assert_eq!(say(&mut on_phone, &entry(log, 1, b"hello?")).await, Err(ErrorCode::NotAMember));
    let welcoming = AppendCommit {
        welcome: Some(mls::welcome(b"come in")),
        welcome_for: vec![phone.device_id],
        ..commit(log, 1, b"add the phone")
    };
    send_commit(&clinic, &doctor, log, &welcoming).await.unwrap();
    say(&mut on_phone, &entry(log, 2, b"hello!")).await.unwrap();
    clinic.close().await;
}

#[tokio::test]
async fn a_group_that_nobody_can_follow_is_founded_anew_once_and_what_was_made_before_is_not_taken() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let adding = AppendCommit {
        welcome: Some(mls::welcome(b"into nothing")),
        welcome_for: vec![patient.device_id],
        ..commit(log, 0, b"garbage")
    };
    send_commit(&clinic, &patient, log, &adding).await.unwrap();
    let info = async || -> GroupInfo {
        clinic.get(&doctor, &format!("/api/conversations/{log}/group-info")).await.json().await.unwrap()
    };
    let useless = info().await;
    let anew = |replaces: u64, name: &[u8]| json!({"group_info": mls::group_info(log, 0, name), "replaces": replaces});
    let early = clinic.found(&doctor, log, anew(useless.position - 1, b"anew")).await;
    assert_eq!(problem(early).await.code, ErrorCode::GroupExists, "only the newest is replaced");
    let founded = clinic.found(&doctor, log, anew(useless.position, b"anew")).await;
    let founded: Founded = founded.json().await.unwrap();
    assert_eq!(founded.position, 2, "after the entry that tells of it");
    let again = clinic.found(&doctor, log, anew(useless.position, b"anew")).await;
    assert_eq!(again.json::<Founded>().await.unwrap(), founded, "the same request again");
    let second = clinic.found(&patient, log, anew(useless.position, b"another")).await;
    assert_eq!(problem(second).await.code, ErrorCode::GroupExists);

    for socket in [&mut osei, &mut ana] {
        assert_eq!(socket.event_where(log_entry).await.kind, EntryKind::Commit);
        let told = socket.event_where(log_entry).await;
        assert_eq!((told.kind, told.position, told.from_device), (EntryKind::Founded, 1, doctor.device_id));
    }
    assert!(welcomes(&clinic, &patient).await.is_empty(), "they led into the former group");
    let new = info().await;
    assert_eq!((new.epoch, new.position), (0, 2));
    let of_the_former = entry(log, 0, b"sealed for the former group's epoch 0");
    assert_eq!(say(&mut osei, &of_the_former).await, Err(ErrorCode::StaleEpoch));
    let of_the_new = Append { next_position: 2, ..entry(log, 0, b"in the new group") };
    assert_eq!(say(&mut ana, &of_the_new).await, Err(ErrorCode::NotAMember));
    assert_eq!(say(&mut osei, &of_the_new).await.unwrap().position, 2);
    clinic.close().await;
}

#[tokio::test]
async fn who_changes_a_group_over_and_over_has_to_wait_and_others_have_not() {
    let clinic = Clinic::open_with(|config| {
        (config.limits.change_burst, config.limits.change_every) = (3, Duration::from_secs(3600));
    })
    .await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    for epoch in 0..3 {
        send_commit(&clinic, &patient, log, &commit(log, epoch, b"change")).await.unwrap();
    }
    let fourth = send_commit(&clinic, &patient, log, &commit(log, 3, b"change")).await;
    assert_eq!(fourth, Err(ErrorCode::RateLimited));
    let anew = json!({"group_info": mls::group_info(log, 0, b"anew"), "replaces": 3});
    assert_eq!(problem(clinic.found(&patient, log, anew).await).await.code, ErrorCode::RateLimited);
    send_commit(&clinic, &doctor, log, &commit(log, 3, b"change")).await.unwrap();
    clinic.close().await;
}

#[tokio::test]
async fn who_writes_without_end_has_to_wait_though_everything_is_fetched_and_others_have_not() {
    let clinic = Clinic::open_with(|config| {
        (config.limits.entry_burst_kib, config.limits.entry_kib_every) = (50, Duration::from_secs(3600));
    })
    .await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let (mut osei, mut ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    let long = |n: u8| entry(log, 0, &vec![n; 20 * 1024]);
    for n in 0..2 {
        let position = say(&mut ana, &long(n)).await.unwrap().position;
        acknowledge(&mut osei, log, position + 1).await;
        acknowledge(&mut ana, log, position + 1).await;
    }
    assert_eq!(say(&mut ana, &long(2)).await, Err(ErrorCode::RateLimited));
    say(&mut ana, &entry(log, 0, b"a word")).await.unwrap();
    say(&mut osei, &long(3)).await.unwrap();
    clinic.close().await;
}

#[tokio::test]
async fn one_person_fills_their_quota_and_not_the_disk_and_the_others_go_on() {
    const QUOTA: u64 = 64 * 1024;
    let clinic = Clinic::open_with(|config| {
        (config.logs.person_bytes, config.logs.conversation_bytes) = (QUOTA, 2 * QUOTA);
    })
    .await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let (mut osei, mut ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    let long = |n: u8| entry(log, 0, &vec![n; 20 * 1024]);
    for n in 0..3 {
        say(&mut ana, &long(n)).await.unwrap();
    }
    assert_eq!(say(&mut ana, &long(3)).await, Err(ErrorCode::StorageFull));
    let changing = AppendCommit {
        welcome: Some(mls::welcome(&[0; 8 * 1024])),
        welcome_for: vec![doctor.device_id],
        ..commit(log, 0, b"change")
    };
    let full = send_commit(&clinic, &patient, log, &changing).await;
    assert_eq!(full, Err(ErrorCode::StorageFull), "welcomes count");
    say(&mut osei, &entry(log, 0, b"undisturbed")).await.unwrap();

    // What every device has fetched is not kept, and counts no more.
    acknowledge(&mut osei, log, 3).await;
    acknowledge(&mut ana, log, 3).await;
    assert_eq!(say(&mut ana, &long(3)).await.unwrap().position, 4);
    // Rows count too: those of entries that are gone, and those of empty ones.
    assert_eq!(usage(&clinic, &patient).await, 4 * 256 + i64::try_from(long(3).body.0.len()).unwrap());
    clinic.close().await;
}

#[tokio::test]
async fn what_is_kept_of_a_conversation_is_counted_until_it_is_gone() {
    let clinic = Clinic::open_with(|config| config.message_retention = Duration::ZERO).await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let founding = usage(&clinic, &doctor).await;
    let mut osei = clinic.connect(&doctor).await;
    say(&mut osei, &entry(log, 0, b"hello?")).await.unwrap();
    let adding = AppendCommit {
        welcome: Some(mls::welcome(b"come in")),
        welcome_for: vec![patient.device_id],
        ..commit(log, 0, b"add ana")
    };
    send_commit(&clinic, &doctor, log, &adding).await.unwrap();
    let bodies = entry(log, 0, b"hello?").body.0.len() + adding.body.0.len();
    let welcome = adding.welcome.as_ref().unwrap().0.len();
    let all = 3 * 256 + bodies + welcome + adding.group_info.0.len();
    assert_eq!(usage(&clinic, &doctor).await, i64::try_from(all).unwrap(), "it was {founding} before");
    clinic.server.app().conversations.sweep().await.unwrap();
    assert_eq!(read(&clinic, &doctor, log, "").await.items.len(), 0);
    let left = i64::try_from(adding.group_info.0.len()).unwrap();
    assert_eq!(usage(&clinic, &doctor).await, left, "group information stays");
    clinic.close().await;
}

/// What is kept of somebody in logs, bytes.
async fn usage(clinic: &Clinic, who: &SignedIn) -> i64 {
    let sql = "SELECT COALESCE(SUM(bytes), 0) FROM log_usage WHERE user_id = ?1";
    sqlx::query_scalar(sql).bind(who.user.id.0).fetch_one(&clinic.server.app().db.read).await.unwrap()
}
