//! What an account has on a computer, over starts in which the server, the keyring or the person make another device of
//! it: nothing that was kept is lost, and it comes back into its conversations.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bedside_protocol::{Role, Secret};
use bedside_session::secrets::{MemoryStore, SecretError, SecretStore};
use bedside_testkit::{
    clinic::{Clinic, Computer, PASSWORD, Seat},
    desk::Desk,
    mallory::Mallory,
    programs::program,
};
use bedside_ui_contract::{
    Command, Snapshot,
    chat::{ChatEvent, ConversationState, ConversationView, MessageContent, MessageView, VaultView},
    snapshot::AccountView,
};

use super::talking;

/// A keyring that outlives runs, and can stay locked.
#[derive(Default)]
pub(crate) struct Keyring {
    store: MemoryStore,
    locked: AtomicBool,
}

impl Keyring {
    pub(crate) fn locked(&self, locked: bool) {
        self.locked.store(locked, Ordering::Relaxed);
    }

    fn open(&self) -> Result<&MemoryStore, SecretError> {
        if self.locked.load(Ordering::Relaxed) { Err(SecretError::Damaged) } else { Ok(&self.store) }
    }
}

impl SecretStore for Keyring {
    fn load(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        self.open()?.load(name)
    }

    fn save(&self, name: &str, secret: &Secret) -> Result<(), SecretError> {
        self.open()?.save(name, secret)
    }

    fn delete(&self, name: &str) -> Result<(), SecretError> {
        self.open()?.delete(name)
    }

    fn is_lasting(&self) -> bool {
        self.open().is_ok()
    }
}

/// A clinic with a doctor at work and a patient's computer with such a keyring.
async fn clinic_with_keyring() -> (Clinic, Desk, Computer, Arc<Keyring>) {
    let clinic = Clinic::open().await;
    for (login, role) in [("osei", Role::Clinician), ("lind", Role::Clinician), ("ana", Role::Patient)] {
        clinic.add(login, role).await;
    }
    clinic.befriend("osei", "ana").await;
    clinic.befriend("lind", "ana").await;
    let doctor = Desk::new(&clinic, "osei").await;
    let keyring = Arc::new(Keyring::default());
    let computer = Computer { secrets: keyring.clone(), ..clinic.computer("ana") };
    (clinic, doctor, computer, keyring)
}

fn theirs(view: &ConversationView) -> usize {
    view.members.iter().filter(|member| !member.own).map(|member| member.devices.len()).sum()
}

fn rejoined(items: &[MessageView]) -> bool {
    items.iter().any(|item| item.content == MessageContent::Event { event: ChatEvent::Rejoined })
}

async fn signed_in(seat: &mut Seat) {
    seat.until("signed in, with people", |now| {
        matches!(now.account, AccountView::SignedIn { .. }) && now.people_loaded
    })
    .await;
}

fn signed_out(now: &Snapshot) -> bool {
    matches!(now.account, AccountView::SignedOut { .. })
}

/// One writes, the other reads it, and the other way round.
async fn talk(doctor: &mut Desk, patient: &mut Desk, what: &str) {
    let (question, answer) = (format!("{what}?"), format!("{what}!"));
    doctor.write(&question);
    patient.until_texts(&question, |texts| texts.contains(&question)).await;
    patient.write(&answer);
    doctor.until_texts(&answer, |texts| texts.contains(&answer)).await;
    patient.until("it has come back from the log", |one| one.waiting == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_keyring_each_start_comes_into_the_conversations_and_the_device_before_leaves_them() {
    let (clinic, mut doctor, computer, keyring) = clinic_with_keyring().await;
    keyring.locked(true);
    for start in ["first", "second", "third"] {
        let mut patient = Desk::on(computer.clone(), &clinic.url(), "ana").await;
        patient.open("osei").await;
        doctor.open("ana").await;
        talk(&mut doctor, &mut patient, start).await;
        doctor.until("the patient's only device", |one| theirs(one) == 1).await;
        patient
            .seat
            .until("the only one on the list", |now| {
                now.chat.vault == VaultView::Temporary && now.chat.installations.len() == 1
            })
            .await;
    }
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_that_is_locked_for_one_start_costs_nothing() {
    let (clinic, mut doctor, computer, keyring) = clinic_with_keyring().await;
    let mut patient = Desk::on(computer.clone(), &clinic.url(), "ana").await;
    patient.open("osei").await;
    doctor.open("ana").await;
    talk(&mut doctor, &mut patient, "before").await;
    drop(patient);
    keyring.locked(true);
    let mut patient = Desk::on(computer.clone(), &clinic.url(), "ana").await;
    patient.open("osei").await;
    talk(&mut doctor, &mut patient, "locked").await;
    assert_eq!(patient.texts().await, ["locked?", "locked!"], "what is under the keyring is not read");
    let conversation = patient.conversation.clone();
    drop(patient);
    keyring.locked(false);
    let mut seat = computer.clone().start();
    signed_in(&mut seat).await;
    let mut patient = Desk::sitting(seat, computer, conversation);
    let all = ["before?", "before!", "locked?", "locked!"];
    patient.until_texts("all that was said", |texts| texts == all).await;
    talk(&mut doctor, &mut patient, "after").await;
    doctor.until("the device of the locked start has left", |one| theirs(one) == 1).await;
    patient.seat.until("and the account", |now| now.chat.installations.len() == 1).await;
    // Whoever meets them for the first time now finds keys that are theirs.
    let mut other = Desk::new(&clinic, "lind").await;
    other.open("ana").await;
    patient.open("lind").await;
    talk(&mut other, &mut patient, "and you").await;
    assert_eq!(theirs(&other.until("one device", |_| true).await), 1);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_device_that_signs_in_again_keeps_its_messages_and_comes_back_as_a_new_one() {
    let (clinic, mut doctor, computer, _) = clinic_with_keyring().await;
    let mut patient = Desk::on(computer, &clinic.url(), "ana").await;
    patient.open("osei").await;
    doctor.open("ana").await;
    talk(&mut doctor, &mut patient, "before").await;
    let mut phone = Desk::new(&clinic, "ana").await;
    phone.open("osei").await;
    phone.seat.ask(Command::LoadInstallations);
    let listed = phone.seat.until("both listed", |now| now.chat.installations.len() == 2).await;
    let lost = listed.chat.installations.iter().find(|one| !one.current).unwrap().device_id.clone();
    phone.seat.ask(Command::RevokeInstallation { device_id: lost });
    doctor.until("only the phone is left", |one| theirs(one) == 1).await;
    patient.seat.until("it is signed out", signed_out).await;
    patient.seat.sign_in(&clinic.url(), "ana", PASSWORD).await;
    patient.until_items("it came back", rejoined).await;
    doctor.until("both again", |one| theirs(one) == 2).await;
    talk(&mut doctor, &mut patient, "after").await;
    assert_eq!(patient.texts().await, ["before?", "before!", "after?", "after!"]);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_address_of_the_server_and_another_spelling_of_the_name_lose_nothing() {
    let (clinic, mut doctor, computer, _) = clinic_with_keyring().await;
    let elsewhere = clinic.url().replace("127.0.0.1", "localhost");
    assert_ne!(elsewhere, clinic.url());
    let mut patient = Desk::on(computer, &clinic.url(), "ana").await;
    patient.open("osei").await;
    doctor.open("ana").await;
    talk(&mut doctor, &mut patient, "before").await;
    for (address, login, word) in [(clinic.url(), "ANA", "spelled"), (elsewhere, "ana", "moved")] {
        patient.seat.ask(Command::SignOut);
        patient.seat.until("signed out", signed_out).await;
        patient.seat.sign_in(&address, login, PASSWORD).await;
        patient.until("in the conversation", |one| one.state == ConversationState::Ready).await;
        talk(&mut doctor, &mut patient, word).await;
        doctor.until("the device it was before has left", |one| theirs(one) == 1).await;
    }
    let all = ["before?", "before!", "spelled?", "spelled!", "moved?", "moved!"];
    assert_eq!(patient.texts().await, all);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_on_one_device_is_put_out_by_another_where_that_one_cannot() {
    let (clinic, mut doctor, mut patient) = talking().await;
    let line = Mallory::before(&clinic).await;
    let mut laptop = Desk::at(&clinic, &line.url(), "ana").await;
    laptop.open("osei").await;
    let mut stolen = Desk::new(&clinic, "ana").await;
    stolen.open("osei").await;
    doctor.until("three devices", |one| theirs(one) == 3).await;
    patient.seat.ask(Command::LoadInstallations);
    laptop.seat.ask(Command::LoadInstallations);
    patient.seat.until("three listed", |now| now.chat.installations.len() == 3).await;
    let listed = laptop.seat.until("three listed", |now| now.chat.installations.len() == 3).await;
    let newest = listed.chat.installations.iter().max_by_key(|one| one.created_at).unwrap();
    // Whoever revokes it gets no change through to any conversation.
    line.answer_instead(|method, path, _| {
        (method.as_str() == "POST" && path.ends_with("/commits")).then_some((503, serde_json::Value::Null))
    });
    laptop.seat.ask(Command::RevokeInstallation { device_id: newest.device_id.clone() });
    doctor.until("the patient's other device has put it out", |one| theirs(one) == 2).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_runs_twice_with_one_profile_comes_back_into_its_conversation() {
    let (clinic, mut doctor, computer, _) = clinic_with_keyring().await;
    let password = computer.profile.with_extension("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let run = async |text: &str| {
        let mut command = std::process::Command::new(program("bedside-headless"));
        command.args(["chat", "--with", "osei", "--send", text, "--server", &clinic.url(), "--login", "ana"]);
        command.arg("--password-file").arg(&password).arg("--profile").arg(&computer.profile);
        let run = tokio::task::spawn_blocking(move || command.stdout(Stdio::null()).status());
        assert!(run.await.unwrap().unwrap().success(), "{text}");
    };
    run("first").await;
    doctor.open("ana").await;
    doctor.until_texts("the first", |texts| texts == ["first"]).await;
    doctor.write("meanwhile");
    run("second").await;
    doctor.until_texts("the second", |texts| texts == ["first", "meanwhile", "second"]).await;
    assert_eq!(theirs(&doctor.until("one device", |_| true).await), 1, "the same device");
    let known = |item: &MessageView| matches!(item.content, MessageContent::Event { .. });
    assert!(!doctor.items().await.iter().any(known), "nothing else happened");
    clinic.close().await;
}
