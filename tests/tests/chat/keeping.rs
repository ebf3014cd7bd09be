//! What stays on a computer: under a passphrase where there is no keyring, and when the app is closed.

use std::{path::Path, sync::Arc};

use bedside_testkit::{
    clinic::{Computer, PASSWORD},
    desk::Desk,
};
use bedside_ui_contract::{
    Command, Failure, Notice, call::Protection, chat::VaultView, snapshot::ConnectionView,
};

use super::{doctor_and_patient, installations::Keyring, talking};

const PASSPHRASE: &str = "four plain words here";

async fn until_vault(desk: &mut Desk, what: &str, vault: VaultView) {
    desk.seat.until(what, |snapshot| snapshot.chat.vault == vault).await;
}

fn unlock(desk: &Desk, passphrase: &str) {
    desk.seat.ask(Command::UnlockVault { passphrase: passphrase.to_owned() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_a_passphrase_opens_with_it_alone_and_whose_code_was_compared_is_still_so() {
    let (clinic, mut doctor, _) = doctor_and_patient().await;
    let keyring = Arc::new(Keyring::default());
    keyring.locked(true);
    let computer = Computer { secrets: keyring, ..clinic.computer("lind") };
    clinic.add("lind", bedside_protocol::Role::Patient).await;
    clinic.befriend("osei", "lind").await;
    let mut patient = Desk::on(computer, &clinic.url(), "lind").await;
    until_vault(&mut patient, "nothing stays", VaultView::Temporary).await;
    patient.open("osei").await;
    patient.write("before");
    // It opens nothing, and there is nothing to open.
    unlock(&patient, PASSPHRASE);
    let set = |desk: &Desk, passphrase: &str| {
        desk.seat.ask(Command::SetPassphrase { passphrase: passphrase.to_owned() });
    };
    set(&patient, "too short");
    let refused = Notice::Failed { failure: Failure::TooShort };
    let snapshot = patient
        .seat
        .until("too short", |snapshot| snapshot.notices.iter().any(|shown| shown.notice == refused))
        .await;
    assert_eq!(snapshot.chat.vault, VaultView::Temporary);
    set(&patient, PASSPHRASE);
    until_vault(&mut patient, "it stays", VaultView::Passphrase).await;
    doctor.open("lind").await;
    let code = patient.code().await;
    let osei = patient.seat.person("osei");
    patient.confirm(code, vec![osei]);
    patient.until("compared", |one| one.protection == Protection::Verified).await;
    patient.write("after");
    doctor.until_texts("both", |texts| texts == ["before", "after"]).await;
    patient.until("nothing under way", |one| one.waiting == 0).await;

    let mut patient = patient.restart().await;
    patient.seat.sign_in(&clinic.url(), "lind", PASSWORD).await;
    until_vault(&mut patient, "locked", VaultView::Locked { wrong: false, unlocking: false }).await;
    assert!(patient.seat.engine.snapshots().borrow().chat.conversations.is_empty());
    unlock(&patient, "four other words here");
    until_vault(&mut patient, "still locked", VaultView::Locked { wrong: true, unlocking: false }).await;
    unlock(&patient, PASSPHRASE);
    until_vault(&mut patient, "open", VaultView::Passphrase).await;
    patient.until_texts("what was said", |texts| texts == ["before", "after"]).await;
    patient.until("compared", |one| one.protection == Protection::Verified).await;
    patient.write("here again");
    doctor.until_texts("it goes on", |texts| texts.last().is_some_and(|text| text == "here again")).await;
    clinic.close().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a profile").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// Nobody has the messages open.
fn free(profile: &Path) -> bool {
    let mut files = std::fs::read_dir(profile).expect("a profile").flatten().map(|entry| entry.path());
    let messages = files.find(|path| path.extension().is_some_and(|kind| kind == "redb")).expect("messages");
    std::fs::File::open(messages).expect("readable").try_lock().is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_without_the_server_is_read_after_the_app_was_closed_and_started_again() {
    let (clinic, doctor, patient) = talking().await;
    drop(patient);
    let computer = clinic.computer("ana");
    let mut patient = Desk::on(computer.clone(), &clinic.url(), "ana").await;
    patient.open("osei").await;
    doctor.write("read this");
    patient.until("one to read", |one| one.unread == 1).await;
    let stopped = clinic.stop(true).await;
    patient.seat.until("away", |snapshot| snapshot.connection != ConnectionView::Online).await;
    patient.read_all().await;
    patient.until("read", |one| one.unread == 0).await;
    // Closed, and closed again by somebody without patience: whoever is answered first, it is done.
    tokio::select! {
        () = patient.seat.engine.close() => {}
        () = patient.seat.engine.close() => {}
    }
    assert!(free(&computer.profile), "the messages are still open");
    // What is on the disk now is all that a process that has ended leaves behind.
    let left = computer.profile.with_extension("left");
    copy(&computer.profile, &left);
    let conversation = patient.conversation.clone();
    let computer = Computer { profile: left, ..computer };
    let mut patient = Desk::sitting(computer.clone().start(), computer, conversation);
    let view = patient.until("the conversation", |one| one.total > 0).await;
    assert_eq!(view.unread, 0);
    drop((stopped, doctor));
}
