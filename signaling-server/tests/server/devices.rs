//! One's own devices.

use bedside_protocol::{
    ErrorCode, Role,
    conversation::{AppendCommit, OwnDevice},
    rest::{Page, SignedIn},
    socket::Event,
};
use serde_json::json;

use crate::{
    fixture::{Clinic, PASSWORD, problem},
    log::commit,
    mls,
};

async fn devices(clinic: &Clinic, who: &SignedIn) -> Vec<OwnDevice> {
    clinic.get(who, "/api/devices").await.json::<Page<OwnDevice>>().await.unwrap().items
}

fn changed(event: &Event) -> Option<()> {
    matches!(event, Event::DevicesChanged).then_some(())
}

#[tokio::test]
async fn a_new_device_is_told_to_the_others_and_a_known_one_is_not() {
    let clinic = Clinic::open().await;
    let desk = clinic.person("ana", Role::Patient).await;
    let mut at_desk = clinic.connect(&desk).await;
    let laptop = clinic.sign_in("ana").await;
    at_desk.event_where(changed).await;
    let again = clinic.try_sign_in("ana", PASSWORD, Some(laptop.device_id)).await;
    assert_eq!(again.json::<SignedIn>().await.unwrap().device_id, laptop.device_id);
    assert!(at_desk.events_so_far().await.iter().all(|event| changed(event).is_none()));

    let listed = devices(&clinic, &desk).await;
    assert_eq!(listed.len(), 2);
    for device in &listed {
        assert_eq!(device.current, device.id == desk.device_id);
        assert!(device.last_used_at.is_some());
    }
    clinic.close().await;
}

#[tokio::test]
async fn a_device_keeps_the_name_that_its_owner_gave_it() {
    let clinic = Clinic::open().await;
    let desk = clinic.person("ana", Role::Patient).await;
    let laptop = clinic.sign_in("ana").await;
    let mut on_laptop = clinic.connect(&laptop).await;
    let stranger = clinic.person("tom", Role::Patient).await;
    let path = format!("/api/devices/{}", laptop.device_id);
    let renamed = clinic.patch(&desk, &path, json!({"name": "  Ana's laptop "})).await;
    let renamed: OwnDevice = renamed.json().await.unwrap();
    assert_eq!(renamed.name.reveal(), "Ana's laptop");
    assert!(!renamed.current);
    on_laptop.event_where(changed).await;
    for name in ["", "   ", &"x".repeat(61), "two\nlines"] {
        let refused = problem(clinic.patch(&desk, &path, json!({"name": name})).await).await;
        assert_eq!(refused.code, ErrorCode::InvalidValue, "{name:?}");
    }
    let foreign = clinic.patch(&stranger, &path, json!({"name": "mine"})).await;
    assert_eq!(problem(foreign).await.code, ErrorCode::NotFound);

    clinic.try_sign_in("ana", PASSWORD, Some(laptop.device_id)).await;
    let listed = devices(&clinic, &desk).await;
    let laptop = listed.iter().find(|device| device.id == laptop.device_id).unwrap();
    assert_eq!(laptop.name.reveal(), "Ana's laptop");
    clinic.close().await;
}

#[tokio::test]
async fn a_revoked_device_is_out_at_once_and_never_comes_back() {
    let clinic = Clinic::open().await;
    let (doctor, desk) = clinic.doctor_and_patient().await;
    let laptop = clinic.sign_in("ana").await;
    let phone = clinic.sign_in("ana").await;
    let (mut on_phone, mut on_laptop) = (clinic.connect(&phone).await, clinic.connect(&laptop).await);
    let log = clinic.conversation(&doctor, desk.user.id).await;
    let adding = |epoch: u64, body: &str| {
        serde_json::to_value(AppendCommit {
            welcome: Some(mls::welcome(b"come in")),
            welcome_for: vec![laptop.device_id],
            ..commit(log, epoch, body.as_bytes())
        })
        .unwrap()
    };
    let commits = format!("/api/conversations/{log}/commits");
    assert_eq!(clinic.post(&doctor, &commits, adding(0, "add the laptop")).await.status(), 200);
    clinic.put(&laptop, "/api/key-packages", json!({"packages": ["AAAA"]})).await;

    let path = format!("/api/devices/{}", laptop.device_id);
    assert_eq!(problem(clinic.delete(&doctor, &path).await).await.code, ErrorCode::NotFound);
    assert_eq!(clinic.delete(&desk, &path).await.status(), 204);
    assert_eq!(on_laptop.close_code().await, 4001);
    on_phone.event_where(changed).await;
    assert_eq!(problem(clinic.get(&laptop, "/api/users/me").await).await.code, ErrorCode::TokenExpired);
    let refresh = json!({"refresh_token": laptop.refresh_token.expose()});
    let refresh = clinic.http.post(clinic.url("/api/auth/refresh")).json(&refresh).send().await.unwrap();
    assert_eq!(problem(refresh).await.code, ErrorCode::TokenExpired);
    assert_eq!(devices(&clinic, &desk).await.len(), 2);
    assert_eq!(problem(clinic.delete(&desk, &path).await).await.code, ErrorCode::NotFound);
    let claimed = format!("/api/users/{}/key-packages/claim", desk.user.id);
    assert_eq!(clinic.post(&doctor, &claimed, json!({})).await.text().await.unwrap(), "[]");
    let refused = problem(clinic.post(&doctor, &commits, adding(1, "add it again")).await).await;
    assert_eq!(refused.code, ErrorCode::InvalidValue, "nobody is welcomed on a revoked device");

    let back = clinic.try_sign_in("ana", PASSWORD, Some(laptop.device_id)).await;
    let back: SignedIn = back.json().await.unwrap();
    assert_ne!(back.device_id, laptop.device_id);
    let welcomes = clinic.get(&back, "/api/welcomes").await.text().await.unwrap();
    assert!(welcomes.contains("\"total\":0"), "{welcomes}");
    clinic.close().await;
}

#[tokio::test]
async fn a_device_may_revoke_itself() {
    let clinic = Clinic::open().await;
    let desk = clinic.person("ana", Role::Patient).await;
    let mut socket = clinic.connect(&desk).await;
    assert_eq!(clinic.delete(&desk, &format!("/api/devices/{}", desk.device_id)).await.status(), 204);
    assert_eq!(socket.close_code().await, 4001);
    assert_eq!(clinic.get(&desk, "/api/users/me").await.status(), 401);
    clinic.close().await;
}
