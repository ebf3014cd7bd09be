//! Who reads along beside the two who talk: one's own other device, the clinic's archive.

use bedside_protocol::Role;
use bedside_testkit::{clinic::Clinic, desk::Desk};
use bedside_ui_contract::{
    Command,
    call::Protection,
    chat::{ConversationView, MessageState, MessageView},
};

use super::{doctor_and_patient, talking};

fn own_devices(view: &ConversationView) -> usize {
    view.members.iter().filter(|member| member.own).map(|member| member.devices.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ones_own_other_device_is_accepted_by_name_once_and_then_there_is_a_code() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    let second = Desk::new(&clinic, "ana").await;
    doctor.open("ana").await;
    patient.open("osei").await;
    let named = |view: &ConversationView| {
        let own = view.members.iter().filter(|member| member.own).flat_map(|member| &member.devices);
        own.filter(|device| device.name.is_some()).count() == 2
    };
    let view = patient.until("both her devices, by name", |one| own_devices(one) == 2 && named(one)).await;
    assert_eq!(view.check_code, None);
    patient.accept_own_devices().await;
    let code = patient.code().await;
    assert_eq!(code, doctor.code().await);
    let osei = patient.seat.person("osei");
    patient.confirm(code.clone(), vec![osei]);
    patient.until("verified", |one| one.protection == Protection::Verified).await;
    // It is remembered: nothing is asked again.
    let mut patient = patient.restart().await;
    patient.until("both devices again", |one| own_devices(one) == 2).await;
    assert_eq!(patient.code().await, code);
    drop(second);
    clinic.close().await;
}

/// The clinic has to keep records: an account of its own takes part in every conversation, with a device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clinics_archive_reads_along_is_named_and_nobody_waits_for_it_to_look() {
    let clinic = Clinic::open().await;
    for (login, role) in [("osei", Role::Clinician), ("ana", Role::Patient), ("archive", Role::Clinician)] {
        clinic.add(login, role).await;
    }
    clinic.befriend("osei", "ana").await;
    let clinic =
        clinic.stop(true).await.with(|config| config.archive_user = Some("archive".into())).start().await;
    let mut archive = Desk::new(&clinic, "archive").await;
    let mut doctor = Desk::new(&clinic, "osei").await;
    let mut patient = Desk::new(&clinic, "ana").await;
    doctor.open("ana").await;
    patient.open("osei").await;
    archive.conversation.clone_from(&doctor.conversation);
    let kept = |view: &ConversationView| {
        view.members.iter().any(|member| member.archive && member.devices.len() == 1 && !member.verified)
    };
    let view = doctor.until("the archive, not checked", kept).await;
    assert_eq!(view.title, "ana of the clinic");
    doctor.write("three weeks of rest");
    for desk in [&mut patient, &mut archive] {
        desk.until_texts("it arrives", |texts| texts == ["three weeks of rest"]).await;
    }
    patient.read_all().await;
    let read = |item: &MessageView| item.own && item.state == MessageState::Read;
    doctor.until_items("read, though not by the archive", |items| items.iter().any(read)).await;
    // Both see the same archive: in this conversation its key counts as checked, and what it is stays the clinic's word.
    let (osei, ana) = (patient.seat.person("osei"), doctor.seat.person("ana"));
    for (desk, other) in [(&mut doctor, ana), (&mut patient, osei)] {
        let code = desk.code().await;
        desk.confirm(code, vec![other]);
        let view = desk.until("verified", |one| one.protection == Protection::Verified).await;
        assert!(view.members.iter().any(|member| member.archive && member.verified));
    }
    clinic.close().await;
}

/// Under which id the server knows the device that somebody sits at.
async fn device(desk: &mut Desk) -> String {
    desk.seat.ask(Command::LoadInstallations);
    let snapshot =
        desk.seat.until("the list", |now| now.chat.installations.iter().any(|one| one.current)).await;
    let current = snapshot.chat.installations.iter().find(|one| one.current);
    current.expect("it was there").device_id.clone()
}

/// Who has one's own newest message: whose device, which, and whether it was seen there.
fn receipts(items: &[MessageView]) -> Vec<(String, String, bool)> {
    let newest = items.iter().rfind(|item| item.own).map(|item| item.receipts.clone()).unwrap_or_default();
    let mut receipts: Vec<_> = newest.into_iter().map(|one| (one.name, one.device_id, one.read)).collect();
    receipts.sort();
    receipts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_sees_which_of_a_readers_devices_have_a_message_and_on_which_it_was_read() {
    let (clinic, mut doctor, mut patient) = talking().await;
    let mut second = Desk::new(&clinic, "ana").await;
    second.open("osei").await;
    let theirs =
        |view: &ConversationView| view.members.iter().any(|member| !member.own && member.devices.len() == 2);
    doctor.until("both her devices", theirs).await;
    let (first_id, second_id) = (device(&mut patient).await, device(&mut second).await);
    let told = |first: bool, second: bool| {
        let one = |id: &String, read| ("ana of the clinic".to_owned(), id.clone(), read);
        let mut both = vec![one(&first_id, first), one(&second_id, second)];
        both.sort();
        move |items: &[MessageView]| receipts(items) == both
    };
    doctor.write("three weeks of rest");
    let items = doctor.until_items("on both, seen on neither", told(false, false)).await;
    assert_eq!(items.last().map(|item| item.state), Some(MessageState::Delivered));
    patient.until_texts("it is there", |texts| texts == ["three weeks of rest"]).await;
    patient.read_all().await;
    let items = doctor.until_items("seen on one of them", told(true, false)).await;
    assert_eq!(items.last().map(|item| item.state), Some(MessageState::Read), "it is read");
    // The other one knows that it was read, and has something new to tell: still not that it was read there.
    second.until("nothing is new there", |one| one.unread == 0).await;
    doctor.write("and plenty of water");
    let items = doctor.until_items("the next one is on both", told(false, false)).await;
    let before: Vec<_> = items.into_iter().filter(|item| item.state == MessageState::Read).collect();
    assert!(told(true, false)(&before), "{before:?}");
    clinic.close().await;
}
