//! What the server's disk holds of a conversation: nothing that could be read there.

use std::path::PathBuf;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bedside_protocol::{CallPhase, CallType, conversation::EntryKind};
use bedside_testkit::{desk::Desk, mallory::Mallory};
use bedside_ui_contract::{
    Command,
    call::Protection,
    chat::{MessageContent, MessageState, MessageView},
};

use super::doctor_and_patient;

/// As long as any part of an entry that the database keeps in one piece.
const PIECE: usize = 64;

/// A text in base64, wherever it begins among three bytes, without what depends on its neighbours.
fn in_base64(text: &str) -> Vec<String> {
    let forms = (0..3).flat_map(|before| {
        let bytes = [&vec![0; before], text.as_bytes()].concat();
        let inner = |encoded: String| encoded[(before * 8).div_ceil(6)..encoded.len() - 1].to_owned();
        [inner(STANDARD_NO_PAD.encode(&bytes)), inner(URL_SAFE_NO_PAD.encode(&bytes))]
    });
    forms.collect()
}

/// In which of the files it is.
fn found<'a>(kept: &'a [(PathBuf, Vec<u8>)], needle: &[u8]) -> Vec<&'a PathBuf> {
    let has = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    kept.iter().filter(|(_, bytes)| has(bytes)).map(|(path, _)| path).collect()
}

/// Sends a file and waits until it is on the server.
async fn send_file(doctor: &mut Desk, path: &std::path::Path) {
    doctor.ask(|conversation_id| Command::SendFiles {
        conversation_id,
        paths: vec![path.display().to_string()],
    });
    let sent = |item: &MessageView| {
        matches!(item.content, MessageContent::File { .. }) && item.state != MessageState::Queued
    };
    doctor.until_items("the file is on the server", |items| items.iter().any(sent)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_disk_holds_no_word_title_file_or_call_that_can_be_read() {
    const SAID: &str = "the amoxicillin rash came back on Tuesday";
    const CHANGED: &str = "the penicillin rash came back on Thursday";
    const TITLE: &str = "Ruiz, hepatitis follow-up";
    const FILE: &str = "biopsy-of-ana-ruiz-malignant.txt";
    const CONTENT: &str = "histology: squamous cell carcinoma, margins clear";
    let (clinic, doctor, mut patient) = doctor_and_patient().await;
    drop(doctor);
    let line = Mallory::before(&clinic).await;
    let mut doctor = Desk::at(&clinic, &line.url(), "osei").await;
    // For a device that is away the server keeps everything.
    let mut away = Desk::new(&clinic, "ana").await;
    doctor.open("ana").await;
    for desk in [&mut patient, &mut away] {
        desk.open("osei").await;
    }
    away.seat.engine.close().await;

    doctor.write(SAID);
    let items = patient.until_items("a message", |items| items.iter().any(|item| !item.own)).await;
    let said = |item: &&MessageView| item.content == MessageContent::Text { text: SAID.to_owned() };
    doctor.edit(&items.iter().find(said).expect("it was said").id, CHANGED);
    patient.until_texts("it is changed", |texts| texts == [CHANGED]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    std::fs::write(&file, CONTENT.repeat(1000)).unwrap();
    send_file(&mut doctor, &file).await;
    doctor.seat.ask(Command::Call { user_id: doctor.seat.person("ana"), call_type: CallType::Video });
    patient.seat.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
    patient.seat.ask(Command::Answer { call_type: CallType::Video });
    for desk in [&mut doctor, &mut patient] {
        desk.seat.until_call("protected", |call| call.protection == Protection::Encrypted).await;
    }
    doctor.seat.ask(Command::HangUp);
    patient.seat.until_call("it is over", |call| call.phase == CallPhase::Ended).await;
    let two = doctor.conversation.clone();
    doctor.found(TITLE, vec![doctor.seat.person("ana")]).await;
    patient.join(TITLE).await;

    let kept = clinic.kept();
    // What is looked through is where all this is: names can be read, and what was said is there as it was sealed.
    assert!(!found(&kept, b"osei of the clinic").is_empty());
    assert!(kept.iter().any(|(path, bytes)| path.ends_with("clinic.db-wal") && !bytes.is_empty()));
    let attachments =
        kept.iter().filter(|(path, _)| path.components().any(|part| part.as_os_str() == "uploads"));
    assert!(attachments.map(|(_, bytes)| bytes.len()).sum::<usize>() > 1000 * CONTENT.len());
    let entries = line.genuine(&two);
    for kind in [EntryKind::Message, EntryKind::Offer, EntryKind::Answer, EntryKind::Ice] {
        let entry = entries.iter().find(|entry| entry.kind == kind);
        let body = entry.and_then(|entry| entry.body.clone()).unwrap_or_else(|| panic!("no {kind:?}")).0;
        let pieces: Vec<_> =
            body.chunks_exact(PIECE).filter(|piece| !found(&kept, piece).is_empty()).collect();
        assert!(!pieces.is_empty(), "{kind:?} is not there");
    }

    let plain = [SAID, CHANGED, TITLE, FILE, CONTENT];
    let signals = ["candidate:", "a=fingerprint", "a=ice-pwd", "v=0\r\no=", "v=0\\r\\no="];
    for text in plain.into_iter().chain(signals) {
        let forms = if plain.contains(&text) { in_base64(text) } else { Vec::new() };
        for form in std::iter::once(text.to_owned()).chain(forms) {
            assert_eq!(found(&kept, form.as_bytes()), Vec::<&PathBuf>::new(), "{form:?}, which is {text:?}");
        }
    }
    clinic.close().await;
}
