//! Files that are sent in a call: straight to the other person, and by the server once the call is over.

use std::path::PathBuf;

use bedside_protocol::CallPhase;
use bedside_testkit::desk::Desk;
use bedside_ui_contract::{
    Command,
    chat::{FileView, MessageContent, MessageView, TransferState, TransferView},
};
use tempfile::TempDir;

use super::in_a_call;

/// Where the doctor has a file, and where the patient saves it.
struct Folders {
    from: TempDir,
    to: TempDir,
}

impl Folders {
    fn new() -> Self {
        let [from, to] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        Self { from, to }
    }
}

/// The doctor sends a file of this length in the call. Its content, and its message as the patient has it.
async fn sent(doctor: &Desk, patient: &mut Desk, folders: &Folders, bytes: u32) -> (Vec<u8>, MessageView) {
    let content: Vec<u8> =
        (0..bytes).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let path = folders.from.path().join("scan.png");
    std::fs::write(&path, &content).expect("a file");
    doctor.ask(|conversation_id| Command::SendFiles {
        conversation_id,
        paths: vec![path.display().to_string()],
    });
    let items = patient.until_items("the file is offered", |items| items.iter().any(is_file)).await;
    let message = items.into_iter().find(is_file).expect("it was there");
    assert!(message.in_call);
    assert_eq!(file(&message).expires_at, None, "it is not on the server");
    (content, message)
}

fn is_file(item: &MessageView) -> bool {
    matches!(item.content, MessageContent::File { .. })
}

fn file(item: &MessageView) -> FileView {
    let MessageContent::File { file } = &item.content else { panic!("no file: {item:?}") };
    file.clone()
}

/// Saves the file of a message.
fn save(patient: &Desk, message: &MessageView, folders: &Folders) {
    patient.ask(|conversation_id| Command::SaveFile {
        conversation_id,
        message_id: message.id.clone(),
        folder: Some(folders.to.path().display().to_string()),
    });
}

/// Waits for a transfer of a message.
async fn transfer(
    desk: &mut Desk,
    what: &str,
    message: &MessageView,
    wanted: impl Fn(&TransferView) -> bool,
) -> TransferView {
    let wanted = |one: &&TransferView| one.message_id == message.id && wanted(one);
    let snapshot = desk.seat.until(what, |now| now.chat.transfers.iter().any(|one| wanted(&one))).await;
    snapshot.chat.transfers.iter().find(wanted).cloned().expect("it was there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_sent_in_a_call_goes_straight_to_the_other_person_and_the_server_has_nothing_of_it() {
    let (clinic, mut doctor, mut patient) = in_a_call().await;
    let folders = Folders::new();
    let (content, message) = sent(&doctor, &mut patient, &folders, 300_000).await;
    save(&patient, &message, &folders);
    for (desk, outgoing) in [(&mut patient, false), (&mut doctor, true)] {
        let over = transfer(desk, "it is there", &message, |one| one.state == TransferState::Done).await;
        assert_eq!((over.direct, over.outgoing, over.done), (true, outgoing, 300_000));
    }
    assert!(std::fs::read(folders.to.path().join("scan.png")).unwrap() == content, "the file is another one");
    let known = |items: &[MessageView]| {
        items.iter().filter(|item| is_file(item)).all(|item| file(item).saved.is_some())
    };
    patient.until_items("the list says where it is", known).await;
    doctor.seat.ask(Command::HangUp);
    for desk in [&mut patient, &mut doctor] {
        desk.seat.until_call("it is over", |call| call.phase == CallPhase::Ended).await;
    }
    // What was not fetched would go there now, before whatever is written next.
    doctor.write("until next week");
    patient.until_texts("it arrives", |texts| texts == ["until next week"]).await;
    let (files, uploads): (Vec<_>, Vec<_>) = clinic
        .kept()
        .into_iter()
        .map(|(path, _)| path)
        .partition(|path| path.parent().is_some_and(|folder| !folder.ends_with("uploads")));
    assert!(!files.is_empty(), "there is a database");
    assert_eq!(uploads, Vec::<PathBuf>::new());
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_half_there_when_the_call_ended_is_finished_through_the_server() {
    const BYTES: u32 = 48 * 1024 * 1024;
    let (clinic, mut doctor, mut patient) = in_a_call().await;
    let folders = Folders::new();
    let (content, message) = sent(&doctor, &mut patient, &folders, BYTES).await;
    save(&patient, &message, &folders);
    let begun = transfer(&mut patient, "it comes", &message, |one| one.done > 0).await;
    assert_eq!((begun.direct, begun.state), (true, TransferState::Running));
    println!("{} of {BYTES} bytes when the call ended", begun.done);
    doctor.seat.ask(Command::HangUp);
    // Nobody asks for it again.
    let over = transfer(&mut patient, "it is there", &message, |one| one.state == TransferState::Done).await;
    assert_eq!((over.id, over.direct, over.done), (begun.id, false, BYTES.into()));
    assert!(std::fs::read(folders.to.path().join("scan.png")).unwrap() == content, "the file is another one");
    for desk in [&mut patient, &mut doctor] {
        let on_the_server = |item: &MessageView| is_file(item) && file(item).expires_at.is_some();
        let items = desk.until_items("the message says so", |items| items.iter().any(on_the_server)).await;
        assert_eq!(items.len(), 1, "it is the same message");
    }
    clinic.close().await;
}
