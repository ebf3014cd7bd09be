//! Changes of a group that several devices make at once.

use bedside_protocol::{ConversationKind, Role};
use bedside_testkit::{clinic::Clinic, desk::Desk, mallory::Mallory};
use bedside_ui_contract::{
    Command, Snapshot,
    chat::{ConversationState, ConversationView},
};
use serde_json::Value;
use tokio::sync::mpsc;

fn devices(view: &ConversationView) -> usize {
    view.members.iter().map(|member| member.devices.len()).sum()
}

/// Waits for the group. Whoever comes in later does not learn its name.
async fn come_in(desk: &mut Desk) {
    let group = |one: &&ConversationView| {
        one.kind == ConversationKind::Group && one.state == ConversationState::Ready
    };
    let found =
        |snapshot: &Snapshot| snapshot.chat.conversations.iter().find(group).map(|one| one.id.clone());
    let snapshot = desk.seat.until("the group", |snapshot| found(snapshot).is_some()).await;
    desk.conversation = found(&snapshot).expect("it was there");
}

/// Whether an event could make an app look for somebody's devices.
fn tells_of_people(event: &Value) -> bool {
    let name = event["type"].as_str().unwrap_or_default();
    ["presence:", "user:", "key_packages:published"].iter().any(|kind| name.starts_with(kind))
}

/// Two change the group in the same epoch: one lets a colleague in, the other puts a lost device out. The server takes
/// the first; the second is refused, learns what came before it, and is made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_in_one_epoch_the_second_is_made_again_and_all_agree() {
    let clinic = Clinic::open().await;
    for (login, role) in [("osei", Role::Clinician), ("lind", Role::Clinician), ("ana", Role::Patient)] {
        clinic.add(login, role).await;
    }
    for (one, other) in [("osei", "ana"), ("lind", "ana"), ("lind", "osei")] {
        clinic.befriend(one, other).await;
    }
    let before_doctor = Mallory::before(&clinic).await;
    let mut doctor = Desk::at(&clinic, &before_doctor.url(), "osei").await;
    let mut lost = Desk::new(&clinic, "osei").await;
    let mut patient = Desk::new(&clinic, "ana").await;
    doctor.found("your knee", vec![doctor.seat.person("ana"), doctor.seat.person("lind")]).await;
    for desk in [&mut lost, &mut patient] {
        come_in(desk).await;
    }
    for desk in [&mut doctor, &mut patient] {
        desk.until("the doctor's two devices and the patient's", |one| devices(one) == 3).await;
    }
    // The doctor's app hears nothing of what the others do now: it is still in the epoch that they are about to end.
    before_doctor.hold();
    before_doctor.twist_events(|event| if tells_of_people(&event) { Vec::new() } else { vec![event] });
    let (offers, mut offered) = mpsc::unbounded_channel();
    before_doctor.answer_instead(move |method, path, _| {
        if method.as_str() == "POST" && path.ends_with("/commits") {
            // The test may be over.
            let _ = offers.send(());
        }
        None
    });
    let mut colleague = Desk::new(&clinic, "lind").await;
    come_in(&mut colleague).await;
    patient.until("the colleague is in", |one| devices(one) == 4).await;
    doctor.seat.ask(Command::LoadInstallations);
    let listed = doctor.seat.until("both listed", |one| one.chat.installations.len() == 2).await;
    let other = listed.chat.installations.iter().find(|one| !one.current).unwrap().device_id.clone();
    doctor.seat.ask(Command::RevokeInstallation { device_id: other });
    offered.recv().await.unwrap();
    assert_eq!(devices(&doctor.until("the doctor has heard nothing", |_| true).await), 3);
    before_doctor.behave();
    before_doctor.release();
    for desk in [&mut doctor, &mut patient, &mut colleague] {
        desk.until("one device each", |one| {
            devices(one) == 3 && one.members.iter().all(|member| member.devices.len() == 1)
        })
        .await;
    }
    assert!(before_doctor.asked("/commits") >= 2, "the first was refused");
    let seen = doctor.code().await;
    for desk in [&mut patient, &mut colleague] {
        assert_eq!(desk.code().await, seen, "all see the same group");
    }
    doctor.write("is the knee better?");
    patient.until_texts("the question", |texts| texts.len() == 1).await;
    patient.write("much better");
    colleague.until_texts("both", |texts| texts.len() == 2).await;
    colleague.write("good to hear");
    let texts = doctor.until_texts("all", |texts| texts.len() == 3).await;
    assert_eq!(texts, ["is the knee better?", "much better", "good to hear"]);
    for desk in [&mut patient, &mut colleague] {
        assert_eq!(desk.until_texts("all", |texts| texts.len() == 3).await, texts);
    }
    clinic.close().await;
}
