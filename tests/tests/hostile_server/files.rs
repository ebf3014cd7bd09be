//! Files that the server keeps sealed, and gives back as something else.

use bedside_ui_contract::{
    Command,
    chat::{MessageContent, TransferFailure, TransferState},
};

use crate::scene::Scene;

/// The doctor has sent a file, and the server gives it back as `twist` makes it: nothing is saved. Then the genuine one
/// is, whole.
async fn not_saved_as(twist: impl FnMut(&str, Vec<u8>) -> Vec<u8> + Send + 'static) {
    let mut scene = Scene::talking().await;
    let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let content: Vec<u8> = (0..300_000u32).map(|number| number.to_le_bytes()[0]).collect();
    let path = from.path().join("report.txt");
    std::fs::write(&path, &content).unwrap();
    scene.doctor.ask(|conversation_id| Command::SendFiles {
        conversation_id,
        paths: vec![path.display().to_string()],
    });
    let is_file =
        |item: &bedside_ui_contract::chat::MessageView| matches!(item.content, MessageContent::File { .. });
    let items = scene.patient.until_items("the file", |items| items.iter().any(is_file)).await;
    let message_id = items.iter().find(|item| is_file(item)).unwrap().id.clone();
    scene.before_patient.twist_bytes(twist);
    let save = |conversation_id: String| Command::SaveFile {
        conversation_id,
        message_id: message_id.clone(),
        folder: Some(to.path().display().to_string()),
    };
    scene.patient.ask(save);
    let failed = TransferState::Failed { reason: TransferFailure::Damaged };
    let snapshot = scene
        .patient
        .seat
        .until("damaged, and said so", |snapshot| {
            snapshot.chat.transfers.iter().any(|one| one.state == failed)
        })
        .await;
    assert!(!to.path().join("report.txt").exists(), "nothing is there under its name");
    let id = snapshot.chat.transfers.iter().find(|one| one.state == failed).unwrap().id.clone();
    scene.before_patient.behave();
    scene.patient.seat.ask(Command::CancelTransfer { id });
    scene.patient.seat.until("forgotten", |snapshot| snapshot.chat.transfers.is_empty()).await;
    scene.patient.ask(save);
    scene
        .patient
        .seat
        .until("saved", |snapshot| snapshot.chat.transfers.iter().any(|one| one.state == TransferState::Done))
        .await;
    assert_eq!(std::fs::read(to.path().join("report.txt")).unwrap(), content);
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_one_changed_bit_is_not_saved() {
    not_saved_as(|_, mut bytes| {
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 1;
        }
        bytes
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_other_bytes_is_not_saved() {
    not_saved_as(|_, bytes| vec![0x5a; bytes.len()]).await;
}
