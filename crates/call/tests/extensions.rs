//! The end of a call that is near, and that a side puts off.

mod clinic;

use bedside_call::{
    Actor, Call, CallLimits, Exchange, ExchangeError, IllegalTransition, Input, exchange::Recipient,
};
use bedside_protocol::{
    CallPhase, EndReason, Timestamp,
    call::{CallRecord, Side},
    socket::Event,
};
use clinic::Clinic;

const LIMITS: fn() -> CallLimits = CallLimits::default;

/// A call whose end is near: both sides have been warned of it.
fn warned() -> (Clinic, Actor, Actor, CallRecord) {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    clinic.wait(LIMITS().max_duration_ms - LIMITS().expiry_warning_ms);
    assert_eq!(clinic.told(patient).last(), Some(&"expiring"));
    (clinic, doctor, patient, call)
}

/// Every warning that a device was sent: the end, and where it could be moved.
fn warnings(clinic: &Clinic, of: Actor) -> Vec<(Timestamp, Option<Timestamp>)> {
    let own = |to: &Recipient| matches!(to, Recipient::Device(device) if *device == of);
    let warning = |event: &Event| match event {
        Event::CallExpiring { ends_at, extends_to, .. } => Some((*ends_at, *extends_to)),
        _ => None,
    };
    clinic.events.iter().filter(|(to, _)| own(to)).filter_map(|(_, event)| warning(event)).collect()
}

#[test]
fn a_call_that_is_extended_goes_on_and_is_warned_of_anew() {
    let (mut clinic, doctor, patient, call) = warned();
    let after = |millis| call.connected_at.unwrap().plus_millis(millis);
    assert_eq!(warnings(&clinic, patient), [(after(3_600_000), Some(after(5_400_000)))]);
    assert_eq!(clinic.extend(doctor, &call).unwrap().ends_at, Some(after(5_400_000)));
    assert_eq!(clinic.record(&call).ends_at, Some(after(5_400_000)), "stored");
    assert_eq!(clinic.told(doctor).last(), Some(&"extended"));
    assert_eq!(clinic.told(patient).last(), Some(&"extended"));
    clinic.wait(1_800_000 - 1);
    assert_eq!(clinic.told(patient).last(), Some(&"extended"), "the former end has no meaning any more");
    clinic.wait(1);
    assert_eq!(warnings(&clinic, patient)[1..], [(after(5_400_000), Some(after(7_200_000)))]);
    clinic.wait(300_000);
    let over = clinic.record(&call);
    assert_eq!((over.end_reason, over.duration_s), (Some(EndReason::MaxDuration), 5400));
}

#[test]
fn an_end_is_put_off_once_however_often_that_is_asked() {
    let (mut clinic, doctor, patient, call) = warned();
    let extended = clinic.extend(doctor, &call).unwrap();
    assert_eq!(clinic.extend(doctor, &call).as_ref(), Ok(&extended), "the request came again");
    assert_eq!(clinic.extend(patient, &call).as_ref(), Ok(&extended), "both asked at once");
    assert_eq!(clinic.told(patient).iter().filter(|kind| **kind == "extended").count(), 1);
    assert!(clinic.extend(patient, &extended).unwrap().ends_at > extended.ends_at, "the new end can be, too");
}

#[test]
fn no_call_is_extended_beyond_the_longest() {
    let (mut clinic, doctor, patient, mut call) = warned();
    let longest = call.connected_at.unwrap().plus_millis(LIMITS().max_extended_ms);
    while call.ends_at < Some(longest) {
        call = clinic.extend(doctor, &call).unwrap();
    }
    assert_eq!(call.ends_at, Some(longest));
    assert_eq!(clinic.extend(doctor, &call), Err(ExchangeError::LongestCall));
    clinic.wait(longest.millis_since(clinic.now) - 1);
    assert_eq!(warnings(&clinic, patient).last(), Some(&(longest, None)), "said when there is still time");
    assert_eq!(clinic.phase(&call), CallPhase::Connected);
    clinic.wait(1);
    assert_eq!(clinic.record(&call).duration_s * 1000, LIMITS().max_extended_ms);
}

#[test]
fn what_cannot_be_extended_is_refused_and_stays_as_it_is() {
    let (mut clinic, doctor, patient, call) = warned();
    let (outsider, desk) = (clinic.person(), clinic.second_device(doctor));
    assert_eq!(clinic.extend(outsider, &call), Err(ExchangeError::NotFound));
    assert_eq!(clinic.extend(desk, &call), Err(ExchangeError::OnAnotherDevice));
    let later = CallRecord { ends_at: call.ends_at.map(|at| at.plus_millis(1)), ..call.clone() };
    assert_eq!(clinic.extend(doctor, &later), Err(ExchangeError::OtherEnd));
    assert_eq!(clinic.record(&call).ends_at, call.ends_at);
    clinic.wait(LIMITS().expiry_warning_ms);
    let late = IllegalTransition { from: CallPhase::Ended, to: CallPhase::Connected };
    assert_eq!(clinic.extend(doctor, &call), Err(late.into()), "the end came first");

    let ringing = clinic.call(doctor, patient).unwrap();
    let early = IllegalTransition { from: CallPhase::Ringing, to: CallPhase::Connected };
    let named = CallRecord { ends_at: Some(clinic.now), ..ringing };
    assert_eq!(clinic.extend(doctor, &named), Err(early.into()), "nothing flows, so nothing ends");
}

#[test]
fn an_extension_outlasts_a_restart_of_the_server() {
    let (mut clinic, doctor, patient, call) = warned();
    let extended = clinic.extend(doctor, &call).unwrap();
    clinic.restart(20_000);
    for who in [doctor, patient] {
        clinic.connect(who);
        clinic.media(who, &call, true);
    }
    clinic.wait(600_000);
    assert_eq!(clinic.phase(&call), CallPhase::Connected, "beyond the end that it had first");
    assert_eq!(clinic.record(&call).ends_at, extended.ends_at);
    clinic.wait(extended.ends_at.unwrap().millis_since(clinic.now));
    assert_eq!(clinic.record(&call).end_reason, Some(EndReason::MaxDuration));
}

#[test]
fn a_call_of_a_server_that_did_not_store_ends_has_the_usual_one() {
    let (mut clinic, doctor, patient, call) = warned();
    for record in &mut clinic.stored {
        record.ends_at = None;
    }
    clinic.restart(1_000);
    for who in [doctor, patient] {
        clinic.connect(who);
        clinic.media(who, &call, true);
    }
    assert_eq!(clinic.record(&call).ends_at, call.ends_at);
    assert!(clinic.extend(doctor, &call).is_ok());
}

#[test]
fn a_side_that_comes_back_is_warned_again() {
    let (mut clinic, _, patient, call) = warned();
    clinic.disconnect(patient);
    clinic.wait(1_000);
    clinic.connect(patient);
    let said = (call.ends_at.unwrap(), Some(call.ends_at.unwrap().plus_millis(LIMITS().extension_ms)));
    assert_eq!(warnings(&clinic, patient), [said, said]);
}

#[test]
fn a_call_that_is_shorter_than_its_warning_is_warned_of_at_once() {
    let mut clinic = Clinic::new();
    clinic.exchange = Exchange::new(CallLimits { max_duration_ms: 60_000, extension_ms: 60_000, ..LIMITS() });
    let (doctor, patient) = (clinic.person(), clinic.person());
    let call = clinic.connected(doctor, patient);
    assert_eq!(clinic.told(patient).last(), Some(&"expiring"));
    clinic.wait(60_000 - 1);
    clinic.extend(doctor, &call).unwrap();
    assert_eq!(clinic.told(patient)[5..], ["extended", "expiring"], "the new end is near, too");
}

#[test]
fn a_device_counts_by_its_own_clock_and_the_servers_length() {
    let mut clinic = Clinic::new();
    let (doctor, patient) = (clinic.person(), clinic.person());
    let mut record = clinic.connected(doctor, patient);
    record.ends_at = record.connected_at.map(|at| at.plus_millis(7_200_000));
    // This computer's clock is a day ahead.
    let heard = clinic.now.plus_millis(86_400_000);
    let mut call = Call::new(heard, record.clone(), LIMITS());
    let hang_up = Input::HangUp { by: Side::Caller, reason: EndReason::UserHangup };
    call.handle(heard.plus_millis(7_100_000), hang_up).unwrap();
    assert_eq!(call.record().end_reason, Some(EndReason::UserHangup));
    assert_eq!(call.record().duration_s, 7100);
}
