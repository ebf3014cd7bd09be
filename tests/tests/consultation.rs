//! Two engines and a server in one process: what a doctor and a patient would see of a call.

use bedside_protocol::{CallPhase, CallType, EndReason, PresenceStatus, Role};
use bedside_testkit::clinic::{Clinic, Seat};
use bedside_ui_contract::{
    Command, Notice,
    call::Direction,
    snapshot::{ConnectionView, PersonView, Settings},
};

async fn doctor_and_patient() -> (Clinic, Seat, Seat) {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let doctor = clinic.seat("osei").await;
    let patient = clinic.seat("ana").await;
    (clinic, doctor, patient)
}

/// The doctor calls, the patient answers, both are connected.
async fn connect(doctor: &mut Seat, patient: &mut Seat, call_type: CallType) {
    doctor.ask(Command::Call { user_id: doctor.person("ana"), call_type });
    let ringing = patient.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
    assert_eq!(ringing.direction, Direction::Incoming);
    assert_eq!(ringing.peer_name, "osei of the clinic");
    patient.ask(Command::Answer { call_type });
    doctor.until_call("the doctor is connected", |call| call.phase == CallPhase::Connected).await;
    patient.until_call("the patient is connected", |call| call.phase == CallPhase::Connected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_and_patient_see_and_hear_each_other() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    connect(&mut doctor, &mut patient, CallType::Video).await;
    for seat in [&doctor, &patient] {
        let seen = seat.eye.until("a hundred pictures", |seen| seen.counters.len() >= 100).await;
        assert!(seen.counters.is_sorted_by(|a, b| a < b), "pictures came out of order");
        assert_eq!(seen.unstamped, 0, "pictures were damaged");
        assert_eq!(seen.size, (1280, 720), "720p from the first second");
        let clarity = seat.eye.clarity(0.5).await;
        assert!(clarity > 0.5, "the voice was not recognisable: {clarity}");
    }
    doctor.ask(Command::HangUp);
    let over = patient.until_call("it is over", |call| call.phase == CallPhase::Ended).await;
    assert_eq!(over.end_reason, Some(EndReason::UserHangup));
    patient.ask(Command::LoadHistory { page: 1 });
    let snapshot = patient.until("the history shows it", |snapshot| snapshot.history.total == 1).await;
    assert_eq!(snapshot.history.items[0].phase, CallPhase::Ended);
    assert_eq!(snapshot.history.items[0].direction, Direction::Incoming);
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_closes_the_app_in_a_call_has_hung_up_and_is_offline_at_once() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    connect(&mut doctor, &mut patient, CallType::Voice).await;
    doctor.engine.close().await;
    // Not "reconnecting", until the server has given the other device up.
    let next = patient.until_call("another phase", |call| call.phase != CallPhase::Connected).await;
    assert_eq!((next.phase, next.end_reason), (CallPhase::Ended, Some(EndReason::UserHangup)));
    let gone =
        |person: &PersonView| person.name.starts_with("osei") && person.status == PresenceStatus::Offline;
    patient.until("the doctor is offline", |snapshot| snapshot.people.iter().any(gone)).await;
    clinic.close().await;
}

/// Sees and hears somebody.
async fn sees_and_hears(seat: &Seat) {
    let seen = seat.eye.until("fifty pictures", |seen| seen.counters.len() >= 50).await;
    assert!(seen.counters.is_sorted_by(|a, b| a < b), "pictures came out of order");
    assert_eq!(seen.unstamped, 0, "pictures were damaged");
    seat.eye.until("sound", |seen| seen.loud_blocks > 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_sealed_once_more_where_both_want_that_and_only_there() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    for both in [false, true] {
        for (seat, wants) in [(&doctor, true), (&patient, both)] {
            let settings = Settings { seal_frames: wants, ..Settings::default() };
            seat.ask(Command::SetSettings { settings });
        }
        connect(&mut doctor, &mut patient, CallType::Video).await;
        sees_and_hears(&doctor).await;
        sees_and_hears(&patient).await;
        for seat in [&mut doctor, &mut patient] {
            let call = seat.until_call("connected", |call| call.connected_at.is_some()).await;
            assert_eq!(call.frames_sealed, both);
        }
        doctor.ask(Command::HangUp);
        patient.until_call("it is over", |call| call.phase == CallPhase::Ended).await;
        for seat in [&mut doctor, &mut patient] {
            seat.ask(Command::DismissCall);
            seat.until("no call", |snapshot| snapshot.call.is_none()).await;
            seat.eye.forget();
        }
    }
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn muting_silences_the_other_side_and_is_shown_there() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    connect(&mut doctor, &mut patient, CallType::Voice).await;
    doctor.eye.until("sound", |seen| seen.loud_blocks > 20).await;
    patient.ask(Command::SetMuted { muted: true });
    doctor.until_call("the patient is muted", |call| call.peer_muted).await;
    doctor.eye.until("a second of silence", |seen| seen.quiet_run > 100).await;
    patient.ask(Command::SetMuted { muted: false });
    doctor.eye.until("sound again", |seen| seen.quiet_run == 0).await;
    assert_eq!(doctor.eye.seen().counters.len(), 0, "a voice call shows no picture");
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voice_call_becomes_a_video_call_without_a_new_call() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    connect(&mut doctor, &mut patient, CallType::Voice).await;
    doctor.ask(Command::SetCameraOn { on: true });
    patient.until_call("a video call", |call| call.call_type == CallType::Video && call.peer_camera_on).await;
    patient.eye.until("pictures", |seen| seen.counters.len() > 10).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_call_is_over_for_both() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    doctor.ask(Command::Call { user_id: doctor.person("ana"), call_type: CallType::Video });
    patient.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
    patient.ask(Command::Decline);
    patient.until("no call", |snapshot| snapshot.call.is_none()).await;
    let over = doctor.until_call("declined", |call| call.phase == CallPhase::Ended).await;
    assert_eq!(over.end_reason, Some(EndReason::CalleeDeclined));
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_calls_somebody_in_a_call_is_told_so() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    clinic.add("lind", Role::Clinician).await;
    clinic.befriend("lind", "ana").await;
    let mut other = clinic.seat("lind").await;
    connect(&mut doctor, &mut patient, CallType::Voice).await;
    other
        .until("the patient is busy", |snapshot| {
            snapshot.people.iter().any(|p| p.name.starts_with("ana") && p.status == PresenceStatus::Busy)
        })
        .await;
    other.ask(Command::Call { user_id: other.person("ana"), call_type: CallType::Voice });
    let over = other.until_call("busy", |call| call.phase.is_final()).await;
    assert_eq!(over.end_reason, Some(EndReason::Busy));
    other
        .until("a notice", |snapshot| {
            snapshot.notices.iter().any(|shown| matches!(shown.notice, Notice::PeerBusy { .. }))
        })
        .await;
    patient.until_call("the first call goes on", |call| call.phase == CallPhase::Connected).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_outlives_a_restart_of_the_server() {
    let (clinic, mut doctor, mut patient) = doctor_and_patient().await;
    connect(&mut doctor, &mut patient, CallType::Video).await;
    patient.eye.until("pictures", |seen| seen.counters.len() > 10).await;
    let clinic = clinic.restart(false).await;
    for seat in [&mut doctor, &mut patient] {
        seat.until("back online, in the same call", |snapshot| {
            snapshot.connection == ConnectionView::Online
                && snapshot.call.as_ref().is_some_and(|call| call.phase == CallPhase::Connected)
        })
        .await;
        seat.eye.forget();
        seat.eye.until("pictures still come", |seen| seen.counters.len() > 10).await;
    }
    doctor.ask(Command::HangUp);
    let over = patient.until_call("it is over", |call| call.phase.is_final()).await;
    assert_eq!(over.end_reason, Some(EndReason::UserHangup));
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_to_be_disturbed_is_not_after_a_restart_of_the_server_either() {
    let (clinic, doctor, mut patient) = doctor_and_patient().await;
    drop(doctor);
    patient.ask(Command::SetPresence { status: PresenceStatus::DoNotDisturb });
    let clinic = clinic.restart(false).await;
    patient.until("the line is lost", |snapshot| snapshot.connection != ConnectionView::Online).await;
    patient.ask(Command::Reconnect);
    patient.until("back online", |snapshot| snapshot.connection == ConnectionView::Online).await;
    // Somebody who was not there before, and knows only what the server says now.
    let mut doctor = clinic.seat("osei").await;
    doctor
        .until("what the patient chose", |snapshot| {
            let patient = snapshot.people.iter().find(|person| person.name.starts_with("ana"));
            patient.is_some_and(|patient| patient.status == PresenceStatus::DoNotDisturb)
        })
        .await;
    clinic.close().await;
}
