//! Events that cross: each pair has one outcome, whoever is first. `docs/calls.md` lists them.

mod clinic;

use bedside_call::{Act, Call, CallLimits, ExchangeError, IllegalTransition, Input, Output};
use bedside_protocol::{CallPhase, CallType, EndReason, call::Side};
use clinic::Clinic;

#[test]
fn both_hang_up_and_the_first_end_stands() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.wait(5_000);
    let first = clinic.hang_up(doctor, &call).unwrap();
    clinic.wait(200);
    let second = clinic.act(patient, &call, Act::HangUp { reason: EndReason::NetworkError }).unwrap();
    assert_eq!(first, second, "both get the same summary");
    assert_eq!(clinic.stored.iter().filter(|record| record.phase.is_final()).count(), 1);
    assert_eq!(clinic.told(patient).iter().filter(|kind| **kind == "ended").count(), 1);
}

#[test]
fn accept_before_cancel_is_a_call_that_was_hung_up() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    clinic.accept(patient, &call).unwrap();
    let over = clinic.hang_up(doctor, &call).unwrap();
    assert_eq!((over.phase, over.end_reason), (CallPhase::Ended, Some(EndReason::UserHangup)));
    assert!(over.accepted_at.is_some());
}

#[test]
fn cancel_before_accept_refuses_the_answer_and_names_both_phases() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    clinic.hang_up(doctor, &call).unwrap();
    let refused = IllegalTransition { from: CallPhase::Ended, to: CallPhase::Accepted };
    assert_eq!(clinic.accept(patient, &call), Err(ExchangeError::Illegal(refused)));
    assert_eq!(clinic.told(patient), ["ringing", "ended"]);
}

#[test]
fn a_decline_after_the_time_out_leaves_the_call_missed() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    // The driver is late: the decline arrives at the very moment of the time-out, before the timer ran.
    clinic.now = clinic.now.plus_millis(60_000);
    let over = clinic.decline(patient, &call).unwrap();
    assert_eq!((over.phase, over.end_reason), (CallPhase::Missed, Some(EndReason::Missed)));
    assert_eq!(clinic.told(doctor), ["ringing", "missed"]);
}

#[test]
fn a_decline_just_before_the_time_out_counts() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    clinic.now = clinic.now.plus_millis(59_999);
    assert_eq!(clinic.decline(patient, &call).unwrap().end_reason, Some(EndReason::CalleeDeclined));
}

#[test]
fn decline_on_one_device_and_accept_on_another_go_to_the_first() {
    let mut clinic = Clinic::new();
    let (doctor, laptop) = (clinic.person(), clinic.person());
    let desk = clinic.second_device(laptop);
    let call = clinic.call(doctor, laptop).unwrap();
    clinic.decline(laptop, &call).unwrap();
    assert!(matches!(clinic.accept(desk, &call), Err(ExchangeError::Illegal(_))));
    assert_eq!(clinic.phase(&call), CallPhase::Ended);
}

#[test]
fn two_who_call_each_other_are_in_one_call() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let first = clinic.call(doctor, patient).unwrap();
    let second = clinic.call_as(patient, doctor, CallType::Voice).unwrap();
    assert_eq!(second.call_id, first.call_id);
    assert_eq!(second.phase, CallPhase::Accepted);
    assert_eq!(second.call_type, CallType::Voice, "one of them wanted no picture");
    assert_eq!(second.callee.device_id, Some(patient.device));
    assert_eq!(clinic.told(doctor), ["ringing", "accepted"]);
    assert_eq!(clinic.exchange.live(), 1);
    assert_eq!(
        clinic.call(patient, doctor),
        Err(ExchangeError::AlreadyInCall),
        "once answered, it is no glare"
    );
}

#[test]
fn glare_while_the_callee_was_being_waited_for_connects_too() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    clinic.disconnect(patient);
    let first = clinic.call(doctor, patient).unwrap();
    assert_eq!(first.phase, CallPhase::Initiated);
    // Over the REST API, before the socket is back.
    let second = clinic.call(patient, doctor).unwrap();
    assert_eq!((second.call_id, second.phase), (first.call_id, CallPhase::Accepted));
}

#[test]
fn both_lose_the_media_and_one_reconnection_follows() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.media(doctor, &call, false);
    clinic.media(patient, &call, false);
    assert_eq!(clinic.phase(&call), CallPhase::Reconnecting);
    let moves = clinic.stored.iter().filter(|record| record.phase == CallPhase::Reconnecting).count();
    assert_eq!(moves, 1);
    clinic.media(patient, &call, true);
    assert_eq!(clinic.phase(&call), CallPhase::Reconnecting, "the doctor still hears nothing");
    clinic.media(doctor, &call, true);
    assert_eq!(clinic.phase(&call), CallPhase::Connected);
    assert_eq!(clinic.record(&call).connected_at, call.connected_at, "the conversation began when it began");
}

#[test]
fn a_client_that_hung_up_is_not_called_back_by_a_late_event() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    let accepted = clinic.accept(patient, &call).unwrap();

    let mut view = Call::new(clinic.now, call, CallLimits::default());
    view.handle(clinic.now, Input::HangUp { by: Side::Caller, reason: EndReason::UserHangup }).unwrap();
    let moved = Output::Moved { from: CallPhase::Ringing, to: CallPhase::Ended };
    assert_eq!(view.poll_output(), Some(moved));
    let refused = IllegalTransition { from: CallPhase::Ended, to: CallPhase::Accepted };
    assert_eq!(view.adopt(clinic.now, accepted.clone()), Err(refused));
    assert_eq!(view.poll_output(), None);

    let summary = clinic.hang_up(doctor, &accepted).unwrap();
    view.adopt(clinic.now, summary.clone()).unwrap();
    assert_eq!(view.record(), &summary, "the server's summary replaces one's own");
}

#[test]
fn a_client_that_missed_events_catches_up_with_the_record() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    let mut view = Call::new(clinic.now, call.clone(), CallLimits::default());
    clinic.accept(patient, &call).unwrap();
    clinic.media(doctor, &call, true);
    clinic.media(patient, &call, true);
    view.adopt(clinic.now, clinic.record(&call)).unwrap();
    let moved = Output::Moved { from: CallPhase::Ringing, to: CallPhase::Connected };
    assert_eq!((view.poll_output(), view.poll_output()), (Some(moved), None));
}
