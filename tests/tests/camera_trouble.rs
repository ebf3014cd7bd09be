//! What goes wrong with a camera in a call: what the person is told, that the call goes on with sound, and that the
//! picture comes back.

use bedside_media::camera::CameraTrouble;
use bedside_protocol::{CallPhase, CallType, Role};
use bedside_session::StreamKind;
use bedside_testkit::{
    cameras::{Manner, TestCameras},
    clinic::{Clinic, PASSWORD, Seat},
};
use bedside_ui_contract::{
    Command, DeviceKind, Notice, Snapshot, device::DeviceTrouble, snapshot::NoticeView,
};

/// A doctor, and a patient who is called and whose cameras are these.
async fn call(cameras: &TestCameras) -> (Clinic, Seat, Seat) {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let mut doctor = clinic.seat("osei").await;
    let mut computer = clinic.computer("ana");
    computer.cameras = Some(cameras.cameras());
    let mut patient = computer.start();
    patient.sign_in(&clinic.url(), "ana", PASSWORD).await;
    doctor.ask(Command::Call { user_id: doctor.person("ana"), call_type: CallType::Video });
    patient.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
    patient.ask(Command::Answer { call_type: CallType::Video });
    doctor.until_call("connected", |call| call.phase == CallPhase::Connected).await;
    (clinic, doctor, patient)
}

/// What the patient is told of the camera: what is wrong, and which one took over.
fn told(snapshot: &Snapshot) -> Vec<(DeviceTrouble, Option<String>)> {
    let of_camera = |notice: &NoticeView| match &notice.notice {
        Notice::Device { device: DeviceKind::Camera, trouble, replaced_by } => {
            Some((*trouble, replaced_by.clone()))
        }
        _ => None,
    };
    snapshot.notices.iter().filter_map(of_camera).collect()
}

async fn hears(doctor: &Seat) {
    doctor.eye.forget();
    doctor.eye.until("sound", |seen| seen.loud_blocks > 20).await;
}

async fn sees(doctor: &Seat) {
    doctor.eye.forget();
    doctor.eye.until("pictures", |seen| seen.counters.len() > 10).await;
}

/// The camera does not work; the call goes on with sound, and with the picture once it works.
async fn without_a_picture_for_a_while(manner: Manner, trouble: DeviceTrouble) {
    let cameras = TestCameras::plugged(&["Lid"]);
    cameras.set("Lid", manner);
    let (clinic, doctor, mut patient) = call(&cameras).await;
    patient.until("what is wrong", |snapshot| told(snapshot) == [(trouble, None)]).await;
    hears(&doctor).await;
    cameras.set("Lid", Manner::Works);
    patient
        .until("that it is over", |snapshot| {
            told(snapshot).is_empty() && snapshot.devices.cameras.trouble.is_none()
        })
        .await;
    sees(&doctor).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_is_not_allowed_leaves_the_sound_and_works_once_it_is() {
    let denied = Manner::Refuses(CameraTrouble::PermissionDenied);
    without_a_picture_for_a_while(denied, DeviceTrouble::PermissionDenied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_another_program_has_leaves_the_sound_and_works_once_it_is_free() {
    without_a_picture_for_a_while(Manner::Refuses(CameraTrouble::InUse), DeviceTrouble::InUse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_camera_leaves_the_sound_and_works_once_it_gives_pictures() {
    without_a_picture_for_a_while(Manner::Silent, DeviceTrouble::Stalled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_camera_there_is_sound_and_one_that_is_plugged_in_appears_by_itself() {
    let cameras = TestCameras::default();
    let (clinic, doctor, mut patient) = call(&cameras).await;
    patient.until("what is wrong", |snapshot| told(snapshot) == [(DeviceTrouble::NoneFound, None)]).await;
    hears(&doctor).await;
    cameras.set("Desk", Manner::Works);
    patient
        .until("the camera in the menu, and no trouble", |snapshot| {
            let cameras = &snapshot.devices.cameras;
            let listed = cameras.available.iter().any(|camera| camera.name == "Desk");
            listed && cameras.in_use.as_deref() == Some("Desk") && told(snapshot).is_empty()
        })
        .await;
    sees(&doctor).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_is_pulled_out_is_replaced_until_it_is_back() {
    let cameras = TestCameras::plugged(&["Lid", "Dock"]);
    let (clinic, doctor, mut patient) = call(&cameras).await;
    patient.ask(Command::SelectDevice { kind: DeviceKind::Camera, id: "Dock".to_owned() });
    let in_use = |name: &'static str| {
        move |snapshot: &Snapshot| snapshot.devices.cameras.in_use.as_deref() == Some(name)
    };
    patient.until("the chosen camera", in_use("Dock")).await;
    sees(&doctor).await;
    cameras.unplug("Dock");
    let replaced = [(DeviceTrouble::Unplugged, Some("Lid".to_owned()))];
    patient.until("what took over", |snapshot| told(snapshot) == replaced).await;
    hears(&doctor).await;
    sees(&doctor).await;
    cameras.unplug("Lid");
    patient.until("nothing took over", |snapshot| told(snapshot) == [(DeviceTrouble::Unplugged, None)]).await;
    hears(&doctor).await;
    cameras.set("Dock", Manner::Works);
    let snapshot = patient.until("the chosen camera", in_use("Dock")).await;
    assert_eq!(snapshot.devices.cameras.trouble, None);
    patient.until("that it is over", |snapshot| told(snapshot).is_empty()).await;
    sees(&doctor).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_camera_the_call_is_one_of_sound_alone() {
    let cameras = TestCameras::plugged(&["Lid"]);
    cameras.set("Lid", Manner::Refuses(CameraTrouble::InUse));
    let (clinic, mut doctor, mut patient) = call(&cameras).await;
    patient.until("what is wrong", |snapshot| told(snapshot) == [(DeviceTrouble::InUse, None)]).await;
    patient.ask(Command::SetCameraOn { on: false });
    patient.until("nothing to be told", |snapshot| told(snapshot).is_empty()).await;
    doctor.until_call("no picture is waited for", |call| !call.peer_camera_on).await;
    hears(&doctor).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_is_switched_on_when_the_call_is_over_stays_closed() {
    let cameras = TestCameras::plugged(&["Lid"]);
    let (clinic, doctor, mut patient) = call(&cameras).await;
    let mut own = patient.engine.frames(StreamKind::SelfView);
    own.wait_for(Option::is_some).await.unwrap();
    doctor.ask(Command::HangUp);
    patient.until_call("it is over", |call| call.phase.is_final()).await;
    patient.ask(Command::SetCameraOn { on: true });
    // What is still open when the preview is over was opened for the call.
    patient.ask(Command::SetPreview { on: true });
    own.wait_for(Option::is_some).await.unwrap();
    patient.ask(Command::SetPreview { on: false });
    own.wait_for(Option::is_none).await.unwrap();
    clinic.close().await;
}
