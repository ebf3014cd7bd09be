//! Comparing codes while the server's own devices are there.

use bedside_protocol::ConversationKind;
use bedside_ui_contract::{
    Command, Failure,
    call::Protection,
    chat::{ConversationView, MemberView},
};

use crate::{
    ghost::Ghost,
    scene::{Scene, others_devices, own_devices, refuses, sees_coming},
};

fn member<'a>(view: &'a ConversationView, name: &str) -> &'a MemberView {
    view.members.iter().find(|member| member.name.starts_with(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghost_among_ones_own_devices_is_asked_about_before_any_code_is_shown() {
    let mut scene = Scene::signed_in().await;
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    ghost.handed_out_too(&scene.before_doctor);
    scene.doctor.open("ana").await;
    scene.patient.open("osei").await;
    scene.patient.until("the ghost among her own", |one| own_devices(one) == 2).await;
    // The doctor has one device, and a code to read out. The patient has to look at hers first, whatever she presses.
    let shown = scene.doctor.code().await;
    let osei = scene.patient.seat.person("osei");
    scene.patient.ask(|conversation_id| Command::ShowCheckCode { conversation_id });
    scene.patient.confirm(shown, vec![osei.clone()]);
    refuses(&mut scene.patient, Failure::CodeChanged).await;
    let view = scene.patient.until("what she sees", |_| true).await;
    assert_eq!((view.check_code.as_ref(), view.protection), (None, Protection::Encrypted));
    let own = member(&view, "ana");
    assert!(
        own.devices.iter().all(|device| device.verified == device.current),
        "only the one at hand is known"
    );
    // She removes it. What is left is what the two compare, and the ghost is nobody's checked device.
    scene.patient.seat.ask(Command::RevokeInstallation { device_id: ghost.id.to_string() });
    for desk in [&mut scene.doctor, &mut scene.patient] {
        desk.until("it is gone", |one| others_devices(one) + own_devices(one) == 2).await;
    }
    let (seen, same) = (scene.doctor.code().await, scene.patient.code().await);
    assert_eq!(seen, same);
    scene.patient.confirm(same, vec![osei]);
    scene.patient.until("verified", |one| one.protection == Protection::Verified).await;
    scene.still_talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghost_of_somebody_who_was_not_there_is_not_checked_by_a_comparison_in_a_group() {
    let mut scene = Scene::signed_in().await;
    let mut ghost = Ghost::of(&scene.clinic, "lind").await;
    ghost.handed_out_instead(&scene.before_doctor);
    let (ana, lind) = (scene.doctor.seat.person("ana"), scene.doctor.seat.person("lind"));
    let osei = scene.patient.seat.person("osei");
    scene.doctor.found("your knee", vec![ana.clone(), lind]).await;
    scene.doctor.until("the ghost is there", |one| others_devices(one) == 2).await;
    scene.patient.join("your knee").await;
    // The two sit together and read the same code: it is of the same devices, and none of them is Lind's.
    let (seen, same) = (scene.doctor.code().await, scene.patient.code().await);
    assert_eq!(seen, same);
    scene.doctor.confirm(seen, vec![ana]);
    scene.patient.confirm(same, vec![osei]);
    for (desk, other) in [(&mut scene.doctor, "ana"), (&mut scene.patient, "osei")] {
        let view = desk.until("each other checked", |one| member(one, other).verified).await;
        assert!(!member(&view, "lind").verified);
        assert_eq!(view.protection, Protection::Encrypted);
    }
    // Nor does it pass for him where the doctor talks with him alone.
    scene.doctor.open("lind").await;
    let view = scene.doctor.until("with the ghost", |one| others_devices(one) == 1).await;
    assert_eq!((view.kind, view.protection), (ConversationKind::Direct, Protection::Encrypted));
    assert!(!member(&view, "lind").verified);
    scene.clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_changes_between_the_look_and_the_click_is_not_confirmed() {
    let mut scene = Scene::talking().await;
    let looked_at = scene.doctor.code().await;
    let mut ghost = Ghost::of(&scene.clinic, "ana").await;
    ghost.walk_in(&scene.conversation()).await;
    sees_coming(&mut scene.doctor, "ana of the clinic").await;
    let ana = scene.doctor.seat.person("ana");
    scene.doctor.confirm(looked_at, vec![ana]);
    refuses(&mut scene.doctor, Failure::CodeChanged).await;
    let view = scene.doctor.until("the members", |one| others_devices(one) == 2).await;
    assert_eq!(view.protection, Protection::Encrypted);
    assert!(member(&view, "ana").devices.iter().all(|device| !device.verified));
    scene.still_talk().await;
}
