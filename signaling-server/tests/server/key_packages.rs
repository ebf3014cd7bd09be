//! Key packages: published, counted, handed out once.

use bedside_protocol::{
    ErrorCode, Role, Sealed,
    conversation::{ClaimedKeyPackage, KeyPackagesLeft},
    rest::SignedIn,
    socket::Event,
};
use serde_json::{Value, json};

use crate::fixture::{Clinic, problem};

fn packages(prefix: &str, count: usize) -> Vec<Sealed> {
    (0..count).map(|n| Sealed(format!("{prefix} {n:03}").into_bytes())).collect()
}

async fn publish(clinic: &Clinic, who: &SignedIn, body: Value) -> KeyPackagesLeft {
    let response = clinic.put(who, "/api/key-packages", body).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

async fn left(clinic: &Clinic, who: &SignedIn) -> (usize, bool) {
    let left: KeyPackagesLeft = clinic.get(who, "/api/key-packages").await.json().await.unwrap();
    (left.left, left.last_resort)
}

async fn try_claim(clinic: &Clinic, who: &SignedIn, of: &SignedIn) -> reqwest::Response {
    clinic.post(who, &format!("/api/users/{}/key-packages/claim", of.user.id), json!({})).await
}

async fn claim(clinic: &Clinic, who: &SignedIn, of: &SignedIn) -> Vec<ClaimedKeyPackage> {
    let response = try_claim(clinic, who, of).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn each_is_handed_out_once_and_the_last_resort_whenever_no_other_is_left() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    assert!(claim(&clinic, &doctor, &patient).await.is_empty(), "the device has none");
    let last = Sealed(b"last resort".to_vec());
    let body = json!({"packages": packages("a", 3), "last_resort": last});
    let kept = publish(&clinic, &patient, body.clone()).await;
    assert_eq!((kept.left, kept.last_resort), (3, true));

    let mut seen = Vec::new();
    for _ in 0..5 {
        let claimed = claim(&clinic, &doctor, &patient).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].device_id, patient.device_id);
        seen.push(claimed[0].key_package.clone());
    }
    assert_eq!(seen[3..], [last.clone(), last]);
    let mut once = seen[..3].to_vec();
    once.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(once, packages("a", 3));
    assert_eq!(left(&clinic, &patient).await, (0, true));

    let again = publish(&clinic, &patient, body).await;
    assert_eq!((again.left, again.last_resort), (0, true), "what was handed out is not taken again");
    clinic.close().await;
}

#[tokio::test]
async fn a_claim_brings_one_for_each_signed_in_device_but_the_asking_one() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let (laptop, phone, lost) =
        (clinic.sign_in("ana").await, clinic.sign_in("ana").await, clinic.sign_in("ana").await);
    for (name, who) in [("desk", &patient), ("laptop", &laptop), ("phone", &phone), ("lost", &lost)] {
        publish(&clinic, who, json!({"packages": packages(name, 2)})).await;
    }
    assert_eq!(clinic.post(&phone, "/api/auth/sign-out", json!({})).await.status(), 204);
    assert_eq!(clinic.delete(&patient, &format!("/api/devices/{}", lost.device_id)).await.status(), 204);
    let devices = async |who: &SignedIn| {
        let mut devices: Vec<_> =
            claim(&clinic, who, &patient).await.into_iter().map(|claimed| claimed.device_id).collect();
        devices.sort_unstable();
        devices
    };
    let mut both = vec![patient.device_id, laptop.device_id];
    both.sort_unstable();
    assert_eq!(devices(&doctor).await, both);
    assert_eq!(devices(&laptop).await, [patient.device_id], "one's own others");
    clinic.close().await;
}

#[tokio::test]
async fn strangers_claim_nothing_until_they_share_a_conversation_and_claims_are_limited() {
    let clinic = Clinic::open_with_archive(|config| {
        config.limits.claim_burst = 3;
    })
    .await;
    let archive = clinic.sign_in("archive").await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let relative = clinic.person("tom", Role::Patient).await;
    clinic.befriend("osei", "tom").await;
    publish(&clinic, &patient, json!({"packages": packages("a", 100)})).await;
    publish(&clinic, &archive, json!({"packages": packages("archive", 1)})).await;
    for of in [&patient, &archive] {
        let refused = problem(try_claim(&clinic, &relative, of).await).await;
        assert_eq!(refused.code, ErrorCode::NotFound);
    }
    assert_eq!(left(&clinic, &patient).await.0, 100);
    let group = json!({"kind": "group", "participants": [patient.user.id, relative.user.id]});
    assert_eq!(clinic.post(&doctor, "/api/conversations", group).await.status(), 200);
    assert_eq!(claim(&clinic, &relative, &archive).await.len(), 1);
    for _ in 0..3 {
        assert_eq!(claim(&clinic, &relative, &patient).await.len(), 1);
    }
    let limited = problem(try_claim(&clinic, &relative, &patient).await).await;
    assert_eq!(limited.code, ErrorCode::RateLimited);
    assert!(limited.retry_after_s.is_some());
    assert_eq!(left(&clinic, &patient).await.0, 97, "nobody drains somebody's key packages");
    assert_eq!(claim(&clinic, &doctor, &patient).await.len(), 1, "others are not made to wait");
    clinic.close().await;
}

#[tokio::test]
async fn a_device_whose_key_packages_run_out_is_told() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let mut ana = clinic.connect(&patient).await;
    publish(&clinic, &patient, json!({"packages": packages("a", 22)})).await;
    let low = |event: &Event| match event {
        Event::KeyPackagesLow(left) => Some(*left),
        _ => None,
    };
    claim(&clinic, &doctor, &patient).await;
    assert!(ana.events_so_far().await.iter().all(|event| low(event).is_none()));
    claim(&clinic, &doctor, &patient).await;
    assert_eq!(ana.event_where(low).await, KeyPackagesLeft { left: 20, last_resort: false });
    clinic.close().await;
}

#[tokio::test]
async fn who_shares_a_conversation_is_told_of_a_devices_first_key_packages_only() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let relative = clinic.person("tom", Role::Patient).await;
    clinic.befriend("osei", "tom").await;
    let (mut osei, mut tom) = (clinic.connect(&doctor).await, clinic.connect(&relative).await);
    let direct = json!({"kind": "direct", "participants": [patient.user.id]});
    assert_eq!(clinic.post(&doctor, "/api/conversations", direct).await.status(), 200);
    assert!(claim(&clinic, &doctor, &patient).await.is_empty(), "there is nobody to let in yet");
    publish(&clinic, &patient, json!({"packages": packages("a", 2)})).await;
    let published = |event: &Event| match event {
        Event::KeyPackagesPublished { user_id } => Some(*user_id),
        _ => None,
    };
    assert_eq!(osei.event_where(published).await, patient.user.id);
    publish(&clinic, &patient, json!({"packages": packages("b", 2), "replace": true})).await;
    publish(&clinic, &doctor, json!({"packages": packages("c", 2)})).await;
    for socket in [&mut osei, &mut tom] {
        assert!(socket.events_so_far().await.iter().all(|event| published(event).is_none()));
    }
    clinic.close().await;
}

#[tokio::test]
async fn what_has_certainly_expired_is_not_handed_out_and_new_ones_are_told_of_as_the_first_were() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let mut osei = clinic.connect(&doctor).await;
    let direct = json!({"kind": "direct", "participants": [patient.user.id]});
    assert_eq!(clinic.post(&doctor, "/api/conversations", direct).await.status(), 200);
    let body = json!({"packages": packages("a", 2), "last_resort": Sealed(b"last resort".to_vec())});
    publish(&clinic, &patient, body).await;
    let published = |event: &Event| match event {
        Event::KeyPackagesPublished { user_id } => Some(*user_id),
        _ => None,
    };
    assert_eq!(osei.event_where(published).await, patient.user.id);
    let app = clinic.server.app();
    for (days, kept) in [(84_i64, (2, true)), (1, (0, false))] {
        sqlx::query("UPDATE key_packages SET created_at = created_at - ?1")
            .bind(days * 24 * 3600 * 1000)
            .execute(&app.db.write)
            .await
            .unwrap();
        app.key_packages.sweep().await.unwrap();
        assert_eq!(left(&clinic, &patient).await, kept, "{days} more days");
    }
    assert!(claim(&clinic, &doctor, &patient).await.is_empty());
    publish(&clinic, &patient, json!({"packages": packages("b", 1)})).await;
    assert_eq!(osei.event_where(published).await, patient.user.id, "who waits for some tries again");
    assert_eq!(claim(&clinic, &doctor, &patient).await[0].key_package, packages("b", 1)[0]);
    clinic.close().await;
}

#[tokio::test]
async fn what_is_published_is_checked_and_can_be_replaced() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let refuse =
        async |body: Value| problem(clinic.put(&patient, "/api/key-packages", body).await).await.code;
    assert_eq!(refuse(json!({"packages": packages("a", 101)})).await, ErrorCode::InvalidValue);
    assert_eq!(refuse(json!({"packages": [""]})).await, ErrorCode::InvalidValue);
    assert_eq!(refuse(json!({"packages": ["?"]})).await, ErrorCode::InvalidValue);
    assert_eq!(refuse(json!({"packages": [Sealed(vec![0; 20_000])]})).await, ErrorCode::TooLarge);
    assert_eq!(refuse(json!({"packages": [], "extra": 1})).await, ErrorCode::InvalidValue);
    assert_eq!(left(&clinic, &patient).await, (0, false));

    let full: Vec<_> = (0..100).map(|n| Sealed(vec![n; 16_000])).collect();
    assert_eq!(publish(&clinic, &patient, json!({"packages": full})).await.left, 100, "as many as may be");
    let body = json!({"packages": packages("new", 2), "replace": true});
    assert_eq!(publish(&clinic, &patient, body).await.left, 2);
    let resort = json!({"packages": [], "last_resort": Sealed(b"one".to_vec())});
    publish(&clinic, &patient, resort).await;
    let resort = json!({"packages": [], "last_resort": Sealed(b"two".to_vec())});
    publish(&clinic, &patient, resort).await;
    for _ in 0..2 {
        claim(&clinic, &doctor, &patient).await;
    }
    assert_eq!(claim(&clinic, &doctor, &patient).await[0].key_package, Sealed(b"two".to_vec()));
    clinic.close().await;
}
