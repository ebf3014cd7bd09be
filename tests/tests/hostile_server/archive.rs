//! A server that says who the clinic's archive is, and says something else later.

use bedside_ui_contract::{
    Notice,
    call::Protection,
    chat::{ChatEvent, ConversationState},
};
use serde_json::{Value, json};

use crate::scene::{Scene, cannot_write, happenings, others_devices, send};

/// Somebody, as the server names people.
fn profile(id: &str, name: &str) -> Value {
    json!({"id": id, "name": name, "role": "clinician"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_the_server_names_later_stops_a_compared_conversation_and_nothing_is_sealed_for_it() {
    let mut scene = Scene::verified().await;
    let (osei, lind) = (scene.patient.seat.person("osei"), scene.patient.seat.person("lind"));
    let archive = profile(&lind, "lind of the clinic");
    scene.before_patient.twist_answers(move |path, mut answer| {
        if path.ends_with("/api/clinic") {
            answer["archive"] = archive.clone();
        }
        if path.contains("/api/conversations") {
            for one in answer["items"].as_array_mut().into_iter().flatten() {
                one["participants"].as_array_mut().unwrap().push(archive.clone());
            }
        }
        answer
    });
    scene.patient = scene.patient.restart().await;
    let view = scene.patient.until("stopped", |one| one.state == ConversationState::Blocked).await;
    assert!(view.changed[0].archive && !view.changed[0].own);
    assert_ne!(view.protection, Protection::Verified);
    assert_eq!(view.peer_id, Some(osei), "who the two are stays so");
    let told = ChatEvent::ArchiveChanged { present: true };
    scene.patient.until_items("it is said", |items| happenings(items).contains(&told)).await;
    scene
        .patient
        .seat
        .until("told loudly", |one| one.notices.iter().any(|shown| shown.notice == Notice::ArchiveChanged))
        .await;
    cannot_write(&mut scene.patient).await;
    assert!(!scene.doctor.texts().await.contains(&"must not leave".to_owned()));
    scene.clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_was_compared_is_taken_out_of_a_conversation_or_replaced_by_calling_them_the_archive() {
    let mut scene = Scene::verified().await;
    let genuine = scene.conversation();
    let (osei, lind) = (scene.patient.seat.person("osei"), scene.patient.seat.person("lind"));
    let (named, other) = (profile(&osei, "osei of the clinic"), profile(&lind, "lind of the clinic"));
    let peer = osei.clone();
    scene.before_patient.twist_answers(move |path, mut answer| {
        if path.ends_with("/api/clinic") {
            answer["archive"] = named.clone();
        }
        if path.contains("/api/conversations?") {
            for one in answer["items"].as_array_mut().into_iter().flatten() {
                let people = one["participants"].as_array_mut().unwrap();
                people.retain(|person| person["id"] != json!(osei));
                people.push(other.clone());
            }
        }
        answer
    });
    // The app learns of the message from the list that says otherwise: once it is there, the list was taken.
    scene.before_patient.go_away(true);
    scene.patient = scene.patient.restart().await;
    send(&mut scene.doctor, "still me").await;
    scene.before_patient.go_away(false);
    scene.patient.until_texts("it arrives", |texts| texts.len() == 3).await;
    let told = ChatEvent::ArchiveChanged { present: true };
    scene.patient.until_items("it is said", |items| happenings(items).contains(&told)).await;
    let view = scene.patient.until("the conversation", |_| true).await;
    assert_eq!((view.id, view.peer_id, view.title), (genuine, Some(peer), "osei of the clinic".to_owned()));
    assert!(view.members.iter().all(|member| !member.archive), "neither of two is the archive");
    let view = scene.patient.until("the members", |one| others_devices(one) == 1).await;
    assert_eq!(view.members.len(), 2);
    scene.clinic.close().await;
}
