//! Sockets, media and servers that go away in the middle of a call, in virtual time.

mod clinic;

use bedside_protocol::{CallPhase, EndReason, call::Side, socket::Event};
use clinic::Clinic;

/// Who the last `call:reconnecting` says is gone, and for how many more milliseconds the call is kept.
fn kept(clinic: &Clinic) -> (Side, u64) {
    clinic
        .events
        .iter()
        .rev()
        .find_map(|(_, event)| match event {
            Event::CallReconnecting { lost, until, .. } => Some((*lost, until.millis_since(clinic.now))),
            _ => None,
        })
        .expect("nobody was told of a reconnection")
}

#[test]
fn a_lost_socket_does_not_end_a_conversation_that_goes_on() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.disconnect(patient);
    clinic.wait(600_000);
    assert_eq!(clinic.phase(&call), CallPhase::Connected, "the doctor still hears the patient");
    clinic.connect(patient);
    assert_eq!(clinic.phase(&call), CallPhase::Connected);
    assert!(!clinic.told(doctor).contains(&"reconnecting"));
}

#[test]
fn a_device_that_dies_is_waited_for_half_a_minute() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.disconnect(patient);
    clinic.wait(3_000);
    clinic.media(doctor, &call, false);
    assert_eq!(kept(&clinic), (Side::Callee, 30_000));
    clinic.wait(30_000);
    let over = clinic.record(&call);
    assert_eq!((over.phase, over.end_reason), (CallPhase::Ended, Some(EndReason::NetworkError)));
    assert_eq!(over.duration_s, 33);
}

#[test]
fn two_devices_that_are_there_and_try_get_two_minutes() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.media(patient, &call, false);
    assert_eq!(kept(&clinic), (Side::Callee, 120_000));
    clinic.wait(100_000);
    clinic.disconnect(doctor);
    assert_eq!(kept(&clinic), (Side::Caller, 20_000), "never beyond the two minutes");
    clinic.connect(doctor);
    clinic.wait(19_999);
    assert_eq!(clinic.phase(&call), CallPhase::Reconnecting);
    clinic.wait(1);
    assert_eq!(clinic.record(&call).end_reason, Some(EndReason::NetworkError));
}

#[test]
fn both_sockets_gone_is_the_grace_and_one_that_returns_with_media_restores_the_call() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.disconnect(doctor);
    clinic.disconnect(patient);
    assert_eq!(clinic.phase(&call), CallPhase::Reconnecting);
    clinic.wait(29_000);
    clinic.connect(doctor);
    clinic.media(doctor, &call, true);
    assert_eq!(clinic.phase(&call), CallPhase::Connected);
    clinic.connect(patient);
    assert_eq!(clinic.phase(&call), CallPhase::Connected, "its silence is no loss");
}

#[test]
fn a_caller_who_vanishes_while_it_rings_stops_the_ringing() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    clinic.disconnect(doctor);
    clinic.wait(10_000);
    clinic.connect(doctor);
    clinic.wait(25_000);
    assert_eq!(clinic.phase(&call), CallPhase::Ringing, "back in time");
    clinic.disconnect(doctor);
    clinic.wait(24_999);
    assert_eq!(clinic.phase(&call), CallPhase::Ringing);
    clinic.wait(1);
    assert_eq!(clinic.phase(&call), CallPhase::Missed, "the minute is over before the grace");

    let (nurse, other) = (clinic.person(), clinic.person());
    let call = clinic.call(nurse, other).unwrap();
    clinic.disconnect(nurse);
    clinic.wait(30_000);
    assert_eq!(clinic.record(&call).end_reason, Some(EndReason::NetworkError));
    assert_eq!(clinic.told(other), ["ringing", "ended"]);
}

#[test]
fn a_call_survives_a_restart_of_the_server() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.wait(60_000);
    clinic.restart(8_000);
    assert_eq!(clinic.phase(&call), CallPhase::Reconnecting);
    assert_eq!(clinic.exchange.call_of(patient.user).map(|record| record.call_id), Some(call.call_id));
    clinic.wait(4_000);
    clinic.connect(doctor);
    clinic.connect(patient);
    clinic.media(patient, &call, true);
    clinic.media(doctor, &call, true);
    assert_eq!(clinic.phase(&call), CallPhase::Connected);
    clinic.wait(8_000);
    assert_eq!(clinic.hang_up(doctor, &call).unwrap().duration_s, 80, "the time of the restart counts");
}

#[test]
fn nobody_comes_back_after_a_restart() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.restart(1_000);
    assert_eq!(clinic.presence[&doctor.user], Some(call.call_id));
    clinic.wait(30_000);
    assert_eq!(clinic.record(&call).end_reason, Some(EndReason::NetworkError));
    assert_eq!(clinic.presence[&doctor.user], None);
    assert_eq!(clinic.presence[&patient.user], None);
}

#[test]
fn it_rings_on_through_a_restart_until_its_first_deadline() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.call(doctor, patient).unwrap();
    clinic.wait(20_000);
    clinic.restart(5_000);
    clinic.connect(doctor);
    clinic.connect(patient);
    assert_eq!(clinic.phase(&call), CallPhase::Ringing);
    clinic.wait(34_999);
    assert_eq!(clinic.phase(&call), CallPhase::Ringing);
    clinic.wait(1);
    assert_eq!(clinic.phase(&call), CallPhase::Missed);

    let call = clinic.call(doctor, patient).unwrap();
    clinic.restart(90_000);
    assert_eq!(clinic.phase(&call), CallPhase::Missed, "the server was down past the deadline");
}

#[test]
fn a_call_whose_time_ran_out_while_the_server_was_down_says_so() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.restart(7_200_000);
    let over = clinic.record(&call);
    assert_eq!((over.phase, over.end_reason), (CallPhase::Ended, Some(EndReason::ServerShutdown)));
    assert_eq!(over.duration_s, 3600);
}
