//! What people see of a call that goes the usual ways, in virtual time.

mod clinic;

use bedside_call::{Act, Actor, CallLimits, ExchangeError, IllegalTransition, exchange::SignalKind};
use bedside_protocol::{
    CallPhase, CallType, DeviceId, EndReason, UserId, rest::DeclineReason, socket::Event,
};
use clinic::Clinic;

#[test]
fn a_call_rings_is_answered_connects_and_ends() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    assert_eq!(call.phase, CallPhase::Ringing);
    clinic.wait(4_000);
    assert_eq!(clinic.accept(patient, &call).unwrap().phase, CallPhase::Accepted);
    let to = clinic.exchange.route_signal(clinic.now, call.call_id, doctor, SignalKind::Offer);
    clinic.drain();
    assert_eq!(to, Ok(patient));
    clinic.media(doctor, &call, true);
    assert_eq!(clinic.phase(&call), CallPhase::Connecting, "one side alone does not make a conversation");
    clinic.media(patient, &call, true);
    clinic.wait(90_500);
    let ended = clinic.hang_up(patient, &call).unwrap();
    assert_eq!((ended.phase, ended.end_reason), (CallPhase::Ended, Some(EndReason::UserHangup)));
    assert_eq!(ended.duration_s, 90);
    let all = ["ringing", "accepted", "connecting", "connected", "ended"];
    assert_eq!(clinic.told(doctor), all);
    assert_eq!(clinic.told(patient), all);
    assert_eq!(clinic.presence[&doctor.user], None);
    assert_eq!(clinic.presence[&patient.user], None);
    assert_eq!(clinic.exchange.live(), 0);
}

#[test]
fn nobody_answers_for_a_minute() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    clinic.wait(59_999);
    assert_eq!(clinic.phase(&call), CallPhase::Ringing);
    clinic.wait(1);
    assert_eq!(clinic.record(&call).end_reason, Some(EndReason::Missed));
    assert_eq!(clinic.told(doctor), ["ringing", "missed"]);
    assert_eq!(clinic.told(patient), ["ringing", "missed"]);
}

#[test]
fn a_callee_who_is_not_there_or_not_to_be_disturbed_has_missed_it() {
    let mut clinic = Clinic::new();
    let doctor = clinic.person();
    let away = Actor { user: UserId::random(), device: DeviceId::random() };
    assert_eq!(clinic.call(doctor, away).unwrap().phase, CallPhase::Missed);
    let resting = clinic.person();
    clinic.exchange.set_do_not_disturb(resting.user, true);
    let call = clinic.call(doctor, resting).unwrap();
    assert_eq!((call.phase, call.end_reason), (CallPhase::Missed, Some(EndReason::Missed)));
    assert_eq!(clinic.told(resting), ["missed"], "a notice, no ringing");
    assert_eq!(clinic.presence[&doctor.user], None);
}

#[test]
fn a_callee_whose_socket_blinks_is_waited_for() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    clinic.disconnect(patient);
    clinic.wait(2_000);
    let call = clinic.call(doctor, patient).unwrap();
    assert_eq!(call.phase, CallPhase::Initiated);
    clinic.wait(3_000);
    clinic.connect(patient);
    assert_eq!(clinic.phase(&call), CallPhase::Ringing);
    assert_eq!(clinic.told(patient), ["ringing"]);

    let (nurse, gone) = (clinic.person(), clinic.person());
    clinic.disconnect(gone);
    let call = clinic.call(nurse, gone).unwrap();
    clinic.wait(10_000);
    assert_eq!(clinic.phase(&call), CallPhase::Missed);
}

#[test]
fn a_busy_callee_keeps_their_call_and_learns_what_they_missed() {
    let mut clinic = Clinic::new();
    let (doctor, patient, other) = (clinic.person(), clinic.person(), clinic.person());
    let first = clinic.connected(doctor, patient);
    let second = clinic.call(other, patient).unwrap();
    assert_eq!((second.phase, second.end_reason), (CallPhase::Ended, Some(EndReason::Busy)));
    assert_eq!(clinic.told(other), ["busy"]);
    assert_eq!(clinic.told(patient).last(), Some(&"missed"));
    assert_eq!(clinic.phase(&first), CallPhase::Connected);
    assert_eq!(clinic.presence[&patient.user], Some(first.call_id));
    assert_eq!(clinic.call(doctor, other), Err(ExchangeError::AlreadyInCall));
}

#[test]
fn every_device_of_the_callee_rings_and_the_others_stop() {
    let mut clinic = Clinic::new();
    let (doctor, laptop) = (clinic.person(), clinic.person());
    let desk = clinic.second_device(laptop);
    let call = clinic.call(doctor, laptop).unwrap();
    assert_eq!((clinic.told(laptop), clinic.told(desk)), (&["ringing"][..], &["ringing"][..]));
    clinic.accept(desk, &call).unwrap();
    assert_eq!(clinic.told(laptop), ["ringing", "accepted"]);
    assert_eq!(clinic.accept(laptop, &call), Err(ExchangeError::OnAnotherDevice));
    assert_eq!(clinic.decline(laptop, &call), Err(ExchangeError::OnAnotherDevice));
    assert_eq!(clinic.hang_up(laptop, &call), Err(ExchangeError::OnAnotherDevice));
    assert_eq!(
        clinic.accept(desk, &call).map(|call| call.phase),
        Ok(CallPhase::Accepted),
        "a retried answer"
    );
    clinic.media(doctor, &call, true);
    clinic.media(desk, &call, true);
    clinic.hang_up(doctor, &call).unwrap();
    assert_eq!(clinic.told(laptop), ["ringing", "accepted"], "not told about a call on another device");
    assert_eq!(clinic.told(desk).last(), Some(&"ended"));
}

#[test]
fn declining_stops_all_devices_and_tells_the_caller() {
    let mut clinic = Clinic::new();
    let (doctor, laptop) = (clinic.person(), clinic.person());
    let desk = clinic.second_device(laptop);
    let call = clinic.call(doctor, laptop).unwrap();
    let over = clinic.decline(laptop, &call).unwrap();
    assert_eq!((over.phase, over.end_reason), (CallPhase::Ended, Some(EndReason::CalleeDeclined)));
    assert_eq!(clinic.told(doctor), ["ringing", "declined"]);
    assert_eq!(clinic.told(desk), ["ringing", "declined"]);

    let call = clinic.call(doctor, laptop).unwrap();
    clinic.act(laptop, &call, Act::Decline { reason: DeclineReason::Busy }).unwrap();
    assert_eq!(clinic.record(&call).end_reason, Some(EndReason::Busy));
    assert_eq!(clinic.told(doctor).last(), Some(&"busy"));
}

#[test]
fn outsiders_do_not_learn_that_a_call_exists() {
    let mut clinic = Clinic::new();
    let (doctor, patient, outsider) = (clinic.person(), clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    assert_eq!(clinic.accept(outsider, &call), Err(ExchangeError::NotFound));
    assert_eq!(clinic.hang_up(outsider, &call), Err(ExchangeError::NotFound));
    let to = clinic.exchange.route_signal(clinic.now, call.call_id, outsider, SignalKind::Ice);
    assert_eq!(to, Err(ExchangeError::NotFound));
    assert_eq!(clinic.call(doctor, doctor), Err(ExchangeError::SelfCall));
}

#[test]
fn signaling_passes_only_between_the_two_devices_of_an_answered_call() {
    let mut clinic = Clinic::new();
    let (doctor, laptop) = (clinic.person(), clinic.person());
    let desk = clinic.second_device(laptop);
    let call = clinic.call(doctor, laptop).unwrap();
    let now = clinic.now;
    let early = clinic.exchange.route_signal(now, call.call_id, doctor, SignalKind::Offer);
    let refused = IllegalTransition { from: CallPhase::Ringing, to: CallPhase::Connecting };
    assert_eq!(early, Err(refused.into()));
    assert_eq!(refused.to_string(), "a call that is ringing cannot become connecting");
    clinic.accept(desk, &call).unwrap();
    let mut route = |who, kind| clinic.exchange.route_signal(now, call.call_id, who, kind);
    assert_eq!(route(doctor, SignalKind::Offer), Ok(desk));
    assert_eq!(route(desk, SignalKind::Answer), Ok(doctor));
    assert_eq!(route(laptop, SignalKind::Ice), Err(ExchangeError::OnAnotherDevice));
    clinic.hang_up(doctor, &call).unwrap();
    let late = clinic.exchange.route_signal(now, call.call_id, desk, SignalKind::Ice);
    assert!(matches!(late, Err(ExchangeError::Illegal(IllegalTransition { from: CallPhase::Ended, .. }))));
}

#[test]
fn an_answered_call_that_never_negotiates_or_never_connects_fails() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    clinic.accept(patient, &call).unwrap();
    clinic.wait(30_000);
    let over = clinic.record(&call);
    assert_eq!((over.phase, over.end_reason), (CallPhase::Failed, Some(EndReason::Timeout)));

    let call = clinic.call(doctor, patient).unwrap();
    clinic.accept(patient, &call).unwrap();
    clinic.exchange.route_signal(clinic.now, call.call_id, doctor, SignalKind::Offer).unwrap();
    clinic.media(doctor, &call, true);
    clinic.wait(30_000);
    let over = clinic.record(&call);
    assert_eq!((over.phase, over.end_reason), (CallPhase::Failed, Some(EndReason::ConnectionFailed)));
    assert_eq!(over.duration_s, 0);
}

#[test]
fn an_engine_that_gives_up_while_connecting_makes_the_call_fail_at_once() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    clinic.accept(patient, &call).unwrap();
    let over = clinic.act(doctor, &call, Act::HangUp { reason: EndReason::ConnectionFailed }).unwrap();
    assert_eq!((over.phase, over.end_reason), (CallPhase::Failed, Some(EndReason::ConnectionFailed)));
}

#[test]
fn sound_alone_needs_one_who_wants_it_and_picture_can_be_added_later() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    let accepted = clinic.act(patient, &call, Act::Accept { call_type: CallType::Voice }).unwrap();
    assert_eq!(accepted.call_type, CallType::Voice);
    let switched = clinic.act(doctor, &call, Act::SwitchType { call_type: CallType::Video }).unwrap();
    assert_eq!(switched.call_type, CallType::Video);
    assert_eq!(clinic.told(patient).last(), Some(&"type_changed"));
    clinic.act(doctor, &call, Act::SwitchType { call_type: CallType::Video }).unwrap();
    assert_eq!(clinic.told(patient).iter().filter(|kind| **kind == "type_changed").count(), 1);
}

#[test]
fn the_longest_call_is_warned_of_and_ended() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.wait(3_300_000);
    assert_eq!(clinic.told(patient).last(), Some(&"expiring"));
    assert!(clinic.events.iter().any(|(_, event)| matches!(event,
        Event::CallExpiring { ends_at, .. } if *ends_at == call.connected_at.unwrap().plus_millis(3_600_000))));
    clinic.wait(300_000);
    let over = clinic.record(&call);
    assert_eq!((over.phase, over.end_reason), (CallPhase::Ended, Some(EndReason::MaxDuration)));
    assert_eq!(over.duration_s, 3600);
}

#[test]
fn a_removed_participant_ends_the_call_with_that_reason() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.exchange.terminate(clinic.now, call.call_id, EndReason::Removed).unwrap();
    clinic.drain();
    assert_eq!(clinic.record(&call).end_reason, Some(EndReason::Removed));
    assert_eq!(clinic.told(doctor).last(), Some(&"ended"));
}

#[test]
fn a_call_that_takes_its_time_at_every_step_lives_no_longer_than_is_said() {
    let limits = CallLimits::default();
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let began = clinic.now;
    let call = clinic.call(doctor, patient).unwrap();
    clinic.wait(limits.ring_ms - 1);
    clinic.accept(patient, &call).unwrap();
    clinic.wait(limits.connect_ms - 1);
    clinic.exchange.route_signal(clinic.now, call.call_id, doctor, SignalKind::Offer).unwrap();
    clinic.drain();
    clinic.wait(limits.connect_ms - 1);
    clinic.media(doctor, &call, true);
    clinic.media(patient, &call, true);
    clinic.wait(limits.max_duration_ms - 1);
    assert_eq!(clinic.phase(&call), CallPhase::Connected);
    let lived = clinic.now.millis_since(began);
    assert!(lived > limits.max_duration_ms, "longer than the conversation alone");
    assert!(lived < limits.longest_life_ms());
}
