//! A server that says whose device this is, and what becomes of devices that are revoked.

use bedside_protocol::DeviceId;
use bedside_testkit::{clinic::PASSWORD, desk::Desk};
use bedside_ui_contract::{
    Command, Failure, Snapshot,
    call::Protection,
    chat::{ChatEvent, ConversationState},
    snapshot::AccountView,
};
use serde_json::json;

use super::scene::{Scene, happenings, others_devices, own_devices};

/// The app has opened nothing, and says why.
fn refuses(snapshot: &Snapshot) -> bool {
    matches!(snapshot.account, AccountView::SignedOut { failure: Some(Failure::OtherDevice), .. })
        && snapshot.chat.conversations.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_a_device_for_another_one_opens_nothing_and_what_was_compared_stays_so() {
    let mut scene = Scene::verified().await;
    let before = scene.doctor.texts().await;
    scene.before_doctor.twist_answers(|path, mut answer| {
        if path.contains("/auth/refresh") {
            answer["device_id"] = json!(DeviceId::random().to_string());
        }
        answer
    });
    scene.doctor = scene.doctor.restart().await;
    scene.doctor.seat.until("the server is not believed", refuses).await;
    scene.before_doctor.behave();
    // Signing in makes it a new device, and takes nothing from what is here.
    let url = scene.before_doctor.url();
    scene.doctor.seat.sign_in(&url, "osei", PASSWORD).await;
    scene.doctor.until("the conversation", |one| one.total > 0).await;
    assert_eq!(scene.doctor.texts().await, before, "everything that was said is there");
    scene
        .doctor
        .until_items("it comes back, in sight of all", |items| {
            happenings(items).contains(&ChatEvent::Rejoined)
        })
        .await;
    scene
        .doctor
        .until("with the one who was compared", |one| {
            one.protection == Protection::Verified && own_devices(one) == 1
        })
        .await;
    scene
        .patient
        .until("stopped by the new device", |one| {
            one.state == ConversationState::Blocked && others_devices(one) == 1
        })
        .await;
    scene.patient.acknowledge_key_change();
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_the_server_refuses_to_revoke_leaves_all_the_same_and_is_asked_for_again_after_a_restart()
 {
    let mut scene = Scene::talking().await;
    let mut stolen = Desk::new(&scene.clinic, "ana").await;
    stolen.open("osei").await;
    scene.patient.until("two devices", |one| own_devices(one) == 2).await;
    scene.before_patient.answer_instead(|method, path, _| {
        (method.as_str() == "DELETE" && path.contains("/api/devices/")).then(|| (500, json!({})))
    });
    scene.patient.seat.ask(Command::LoadInstallations);
    let listed = scene.patient.seat.until("both listed", |one| one.chat.installations.len() == 2).await;
    let other = listed.chat.installations.iter().find(|one| !one.current).unwrap().device_id.clone();
    scene.patient.seat.ask(Command::RevokeInstallation { device_id: other.clone() });
    scene.doctor.until("it has left", |one| others_devices(one) == 1).await;
    let revoking = |snapshot: &Snapshot| {
        snapshot.chat.installations.iter().any(|one| one.device_id == other && one.revoking)
    };
    scene.patient.seat.until("not shut out yet", revoking).await;
    scene.patient = scene.patient.restart().await;
    scene.patient.seat.until("still not", revoking).await;
    scene.before_patient.behave();
    scene.patient.seat.until("gone at last", |one| one.chat.installations.len() == 1).await;
    scene.still_talk().await;
}
