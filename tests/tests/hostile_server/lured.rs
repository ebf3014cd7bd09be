//! A member who is led out of a conversation and let in again, into a group that the server has made.

use bedside_protocol::{
    EntryId, Sealed, Timestamp, UserId,
    conversation::{Appended, EntryKind, LogEntry, WaitingWelcome},
};
use bedside_ui_contract::{
    call::Protection,
    chat::{ChatEvent, ConversationState},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    ghost::Ghost,
    scene::{Scene, happenings, is_message, joined},
};

/// The server says that it has taken something.
fn taken() -> Value {
    serde_json::to_value(Appended { position: 0, at: Timestamp(0) }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_way_back_is_lost_and_who_is_welcomed_into_the_servers_group_is_told_who_is_strange() {
    let mut scene = Scene::talking().await;
    let conversation = scene.conversation();
    let mut ghost = Ghost::of(&scene.clinic, "osei").await;
    let ana: UserId = scene.doctor.seat.person("ana").parse().unwrap();
    let packages = ghost.api.claim_key_packages(ana).await.unwrap();
    let welcome =
        ghost.found(&conversation, packages.into_iter().map(|one| one.key_package).collect()).welcome;
    let genuine_info = ghost.api.group_info(conversation.parse().unwrap()).await.unwrap();
    let line = &scene.before_patient;
    let genuine = line.genuine(&conversation).into_iter().find(is_message).unwrap();
    let end = line.told(&conversation).last().unwrap().position + 1;
    let (commits, mut offered) = mpsc::unbounded_channel();
    line.answer_instead(move |method, path, body| {
        if path.ends_with("/group-info") {
            let mut info = serde_json::to_value(&genuine_info).unwrap();
            info["position"] = json!(end + 1);
            return Some((200, info));
        }
        if method.as_str() == "POST" && path.ends_with("/commits") {
            let commit: Sealed = serde_json::from_value(body["body"].clone()).unwrap();
            commits.send(commit).unwrap();
            return Some((200, taken()));
        }
        None
    });
    // "This is of a later epoch" needs no key, and makes her offer a way back in.
    let mut later = genuine.clone();
    let epoch = 4 + 1 + 16;
    later.body.as_mut().unwrap().0[epoch..epoch + 8].copy_from_slice(&900u64.to_be_bytes());
    line.append(later);
    let mut lost = offered.recv().await.unwrap();
    // Nor does "somebody else's commit came first"; from here on she finds no other way in than the server's.
    *lost.0.last_mut().unwrap() ^= 1;
    let (asked, mut looked) = mpsc::unbounded_channel();
    line.answer_instead(move |_, path, _| {
        if path.ends_with("/group-info") {
            // The test may be over.
            let _ = asked.send(());
            return Some((503, json!({})));
        }
        path.ends_with("/commits").then(|| (200, taken()))
    });
    line.append(LogEntry { kind: EntryKind::Commit, body: Some(lost), ..genuine });
    looked.recv().await.unwrap();
    // Whom she knew here outlives the app.
    let waiting = serde_json::to_value([WaitingWelcome {
        id: EntryId::random(),
        conversation_id: conversation.parse().unwrap(),
        position: end + 2,
        welcome,
    }])
    .unwrap();
    scene.before_patient.answer_instead(move |method, path, _| {
        if path.ends_with("/group-info") {
            return Some((503, json!({})));
        }
        let list = method.as_str() == "GET" && path.contains("/api/welcomes");
        list.then(|| (200, json!({"items": waiting, "total": 1, "pages": 1, "current_page": 1})))
    });
    scene.patient = scene.patient.restart().await;
    let came_back = |event: &ChatEvent| *event == ChatEvent::Rejoined;
    let items = scene
        .patient
        .until_items("she is told that she came back", |items| happenings(items).iter().any(came_back))
        .await;
    let name = || "osei of the clinic".to_owned();
    assert_eq!(
        happenings(&items),
        [ChatEvent::Rejoined, joined(&name(), false), ChatEvent::DeviceLeft { name: name() }]
    );
    let view = scene.patient.until("in that group", |one| one.state == ConversationState::Ready).await;
    assert_eq!(view.protection, Protection::Encrypted);
    scene.clinic.close().await;
}
