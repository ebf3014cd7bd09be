//! Calls over a line that is lost, or goes silent, just when somebody presses a button.

use std::time::Duration;

use bedside_protocol::{CallPhase, CallType, Role};
use bedside_testkit::{
    clinic::{Clinic, PASSWORD, Seat},
    dice::Dice,
    line::Line,
};
use bedside_ui_contract::{
    Command, Failure, Notice, Snapshot, chat::ConversationState, snapshot::ConnectionView,
};

/// A doctor with a good line, and a patient with one that can be troubled.
async fn doctor_and_patient() -> (Clinic, Seat, Seat, Line) {
    let clinic = Clinic::open().await;
    clinic.add("osei", Role::Clinician).await;
    clinic.add("ana", Role::Patient).await;
    clinic.befriend("osei", "ana").await;
    let line = Line::to(&clinic).await;
    let doctor = clinic.seat("osei").await;
    let mut patient = clinic.computer("ana").start();
    patient.sign_in(&line.url(), "ana", PASSWORD).await;
    // What is under way when the line goes is the call alone.
    patient.ask(Command::StartConversation { user_ids: vec![patient.person("osei")], title: None });
    patient
        .until("a conversation that can be used", |snapshot| {
            snapshot.chat.conversations.iter().any(|one| one.state == ConversationState::Ready)
        })
        .await;
    (clinic, doctor, patient, line)
}

async fn ring(doctor: &Seat, patient: &mut Seat) {
    doctor.ask(Command::Call { user_id: doctor.person("ana"), call_type: CallType::Video });
    patient.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
}

fn says_that_it_failed(snapshot: &Snapshot) -> bool {
    let failed = Notice::Failed { failure: Failure::ClinicAway };
    snapshot.notices.iter().any(|shown| shown.notice == failed)
}

async fn both_see(doctor: &Seat, patient: &Seat) {
    for seat in [doctor, patient] {
        seat.eye.until("pictures", |seen| seen.counters.len() >= 20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_answered_on_a_lost_line_rings_on_and_can_be_answered_again() {
    let (clinic, doctor, mut patient, line) = doctor_and_patient().await;
    ring(&doctor, &mut patient).await;
    line.cut();
    let offline = |snapshot: &Snapshot| snapshot.connection != ConnectionView::Online;
    let before = patient.until("offline", offline).await;
    assert!(!says_that_it_failed(&before));
    patient.ask(Command::Answer { call_type: CallType::Video });
    patient.until_call("that it is being answered", |call| call.answering).await;
    patient.until("that it failed", says_that_it_failed).await;
    line.mend();
    patient.ask(Command::Reconnect);
    patient.until("back online", |snapshot| snapshot.connection == ConnectionView::Online).await;
    let call = patient.until_call("the call", |call| !call.answering).await;
    assert_eq!(call.phase, CallPhase::Ringing, "it was answered by nobody");
    patient.ask(Command::Answer { call_type: CallType::Video });
    both_see(&doctor, &patient).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_answer_came_late_is_taken_up_with_picture_and_sound() {
    let (clinic, doctor, mut patient, line) = doctor_and_patient().await;
    ring(&doctor, &mut patient).await;
    line.silence();
    patient.ask(Command::Answer { call_type: CallType::Video });
    patient.until("that it failed", says_that_it_failed).await;
    line.mend();
    both_see(&doctor, &patient).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_answered_late_and_declined_meanwhile_is_over_for_both() {
    let (clinic, mut doctor, mut patient, line) = doctor_and_patient().await;
    ring(&doctor, &mut patient).await;
    line.silence();
    patient.ask(Command::Answer { call_type: CallType::Video });
    patient.until("that it failed", says_that_it_failed).await;
    patient.ask(Command::Decline);
    line.mend();
    doctor.until_call("it is over", |call| call.phase == CallPhase::Ended).await;
    patient.until("no call", |snapshot| snapshot.call.is_none()).await;
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_rung_for_a_caller_who_was_told_that_it_failed() {
    let (clinic, mut doctor, mut patient, line) = doctor_and_patient().await;
    line.silence();
    patient.ask(Command::Call { user_id: patient.person("osei"), call_type: CallType::Voice });
    doctor.until_call("it rings", |call| call.phase == CallPhase::Ringing).await;
    patient.until("that it failed", says_that_it_failed).await;
    line.mend();
    doctor.until("it rings no more", |snapshot| snapshot.call.is_none()).await;
    // Both are free again.
    ring(&doctor, &mut patient).await;
    patient.ask(Command::Answer { call_type: CallType::Video });
    both_see(&doctor, &patient).await;
    clinic.close().await;
}

/// What somebody may press, whether it fits or not.
fn press(dice: &mut Dice, seat: &Seat, other: &str) {
    seat.ask(match dice.roll(6) {
        0 | 1 => Command::Call { user_id: seat.person(other), call_type: CallType::Voice },
        2 => Command::Answer { call_type: CallType::Voice },
        3 => Command::Decline,
        4 => Command::HangUp,
        _ => Command::DismissCall,
    });
}

/// A call that is not over.
fn in_a_call(snapshot: &Snapshot) -> bool {
    snapshot.call.as_ref().is_some_and(|call| !call.phase.is_final())
}

/// Two people press at random, now and then while the patient's line is away, and hang up in the end: then neither is in a
/// call, and each can call the other.
async fn whatever_is_pressed(seed: u64) {
    println!("seed {seed}");
    let mut dice = Dice::of(seed);
    let (clinic, mut doctor, mut patient, line) = doctor_and_patient().await;
    for _ in 0..12 {
        match dice.roll(8) {
            0 => line.cut(),
            1 => line.silence(),
            2 | 3 => line.mend(),
            4 | 5 => press(&mut dice, &doctor, "ana"),
            _ => press(&mut dice, &patient, "osei"),
        }
        tokio::time::sleep(Duration::from_millis([0, 0, 5, 20, 100][dice.roll(5)])).await;
    }
    line.mend();
    patient.ask(Command::Reconnect);
    patient.until("back online", |snapshot| snapshot.connection == ConnectionView::Online).await;
    for _ in 0..3 {
        for seat in [&mut doctor, &mut patient] {
            seat.ask(Command::HangUp);
            seat.until(&format!("nobody in a call (seed {seed})"), |snapshot| !in_a_call(snapshot)).await;
        }
        // What is still on its way arrives.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    for other in ["ana", "osei"] {
        let what = format!("it rings at {other} (seed {seed})");
        let (caller, callee) =
            if other == "ana" { (&mut doctor, &mut patient) } else { (&mut patient, &mut doctor) };
        caller.ask(Command::Call { user_id: caller.person(other), call_type: CallType::Voice });
        for seat in [&mut *caller, &mut *callee] {
            seat.until_call(&what, |call| call.phase == CallPhase::Ringing).await;
        }
        caller.ask(Command::HangUp);
        for seat in [caller, callee] {
            seat.until(&what, |snapshot| !in_a_call(snapshot)).await;
        }
    }
    clinic.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_two_people_press_each_can_call_the_other_in_the_end() {
    whatever_is_pressed(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes: for when something was changed that the order of events may matter to"]
async fn whatever_else_two_people_press_each_can_call_the_other_in_the_end() {
    for seed in 2..=60 {
        whatever_is_pressed(seed).await;
    }
}
