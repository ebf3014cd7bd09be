//! A call whose end is near, and a clinician who puts it off.

use std::time::Duration;

use bedside_protocol::{
    ErrorCode, Role, Timestamp,
    call::{CallRecord, Side},
    rest::SignedIn,
    socket::Event,
};
use serde_json::{Value, json};

use crate::{
    calls::{converse, hang_up, ring},
    fixture::{Clinic, Socket, problem},
};

/// A clinic in whose calls the end is near from the first second on, and can be put off twice.
async fn clinic() -> (Clinic, [SignedIn; 2], [Socket; 2]) {
    let clinic = Clinic::open_with(|config| {
        config.calls.max_duration = Duration::from_secs(3600);
        config.calls.expiry_warning = Duration::from_secs(24 * 3600);
        config.calls.extension = Duration::from_secs(600);
        config.calls.max_extended = Duration::from_secs(3600 + 900);
    })
    .await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let sockets = [clinic.connect(&doctor).await, clinic.connect(&patient).await];
    (clinic, [doctor, patient], sockets)
}

/// The next warning: when the call ends, and where the end could be moved.
async fn warned(socket: &mut Socket) -> (Timestamp, Option<Timestamp>) {
    let warning = |event: &Event| match event {
        Event::CallExpiring { ends_at, extends_to, .. } => Some((*ends_at, *extends_to)),
        _ => None,
    };
    socket.event_where(warning).await
}

/// The call as the next event says that it was extended, and by whom.
async fn extended(socket: &mut Socket) -> (CallRecord, Side) {
    let extension = |event: &Event| match event {
        Event::CallExtended { call, by } => Some((call.clone(), *by)),
        _ => None,
    };
    socket.event_where(extension).await
}

fn wish(call: &CallRecord, ends_at: Timestamp) -> Value {
    json!({"call_id": call.call_id, "ends_at": ends_at})
}

async fn post(clinic: &Clinic, who: &SignedIn, call: &CallRecord, ends_at: Timestamp) -> reqwest::Response {
    let path = format!("/api/calls/{}/extend", call.call_id);
    clinic.post(who, &path, json!({"ends_at": ends_at})).await
}

#[tokio::test]
async fn a_clinician_puts_off_the_end_for_both_by_either_api() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = clinic().await;
    let call = converse(&mut osei, &mut ana, &patient).await.call;
    let (ends_at, to) = warned(&mut ana).await;
    assert_eq!(call.ends_at, Some(ends_at));
    assert_eq!(ends_at, call.connected_at.unwrap().plus_millis(3_600_000));
    assert_eq!(to, Some(ends_at.plus_millis(600_000)));

    let answer = osei.request("extend_call", wish(&call, ends_at)).await.unwrap();
    let longer: CallRecord = serde_json::from_value(answer).unwrap();
    assert_eq!(longer.ends_at, to);
    assert_eq!(extended(&mut osei).await, (longer.clone(), Side::Caller));
    assert_eq!(extended(&mut ana).await, (longer.clone(), Side::Caller));
    let latest = call.connected_at.unwrap().plus_millis(4_500_000);
    assert_eq!(
        warned(&mut ana).await,
        (longer.ends_at.unwrap(), Some(latest)),
        "no further than the longest"
    );

    let repeated = post(&clinic, &doctor, &call, ends_at).await;
    assert_eq!(repeated.status(), 200);
    assert_eq!(
        repeated.json::<CallRecord>().await.unwrap(),
        longer,
        "the request came again, by the other API"
    );
    let longest: CallRecord =
        post(&clinic, &doctor, &call, longer.ends_at.unwrap()).await.json().await.unwrap();
    assert_eq!(longest.ends_at, Some(latest));
    assert_eq!(extended(&mut ana).await.0, longest);
    assert_eq!(warned(&mut ana).await, (latest, None));
    assert_eq!(hang_up(&mut ana, call.call_id).await.ends_at, Some(latest));
    clinic.close().await;
}

#[tokio::test]
async fn who_may_not_or_asks_in_vain_is_told_why() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = clinic().await;
    let (admin, other) =
        (clinic.person("root", Role::Admin).await, clinic.person("lind", Role::Clinician).await);
    let mut lind = clinic.connect(&other).await;
    let call = converse(&mut osei, &mut ana, &patient).await.call;
    let (ends_at, _) = warned(&mut osei).await;

    let refused = ana.request("extend_call", wish(&call, ends_at)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    for who in [&patient, &admin] {
        assert_eq!(problem(post(&clinic, who, &call, ends_at).await).await.code, ErrorCode::Forbidden);
    }
    let refused = lind.request("extend_call", wish(&call, ends_at)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::CallNotFound, "a clinician who has no part in it");
    let refused = osei.request("extend_call", wish(&call, ends_at.plus_millis(1))).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidValue);

    let mut named = ends_at;
    for _ in 0..2 {
        let answer = osei.request("extend_call", wish(&call, named)).await.unwrap();
        named = serde_json::from_value::<CallRecord>(answer).unwrap().ends_at.unwrap();
    }
    let refused = osei.request("extend_call", wish(&call, named)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::LongestCall);
    assert_eq!(problem(post(&clinic, &doctor, &call, named).await).await.status, 409);
    hang_up(&mut osei, call.call_id).await;
    let late = osei.request("extend_call", wish(&call, named)).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::IllegalTransition);
    assert_eq!(late.detail.as_deref(), Some("a call that is ended cannot become connected."));
    let early = ring(&mut osei, &patient).await.call;
    let early = osei.request("extend_call", wish(&early, named)).await.unwrap_err();
    assert_eq!(early.code, ErrorCode::IllegalTransition);
    clinic.close().await;
}

#[tokio::test]
async fn an_extension_is_kept_through_a_restart_of_the_server() {
    let (mut clinic, [doctor, patient], [mut osei, mut ana]) = clinic().await;
    let call = converse(&mut osei, &mut ana, &patient).await.call;
    let (ends_at, to) = warned(&mut osei).await;
    osei.request("extend_call", wish(&call, ends_at)).await.unwrap();
    clinic = clinic.restart(false).await;
    let mut osei = clinic.dial(doctor.access_token.expose()).await;
    assert_eq!(osei.hello(None).await.calls[0].ends_at, to);
    assert_eq!(warned(&mut osei).await.0, to.unwrap());
    clinic.close().await;
}

#[tokio::test]
async fn credentials_for_the_relay_last_as_long_as_a_call_may() {
    let clinic = Clinic::open_with(|config| config.turn.credential_lifetime = Duration::from_secs(60)).await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let (mut osei, _ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    let ticket = ring(&mut osei, &patient).await;
    let name = ticket.ice_servers.iter().find_map(|server| server.username.clone()).unwrap();
    let expiry: i64 = name.split(':').next().unwrap().parse().unwrap();
    let longest = i64::try_from(clinic.server.app().config.calls.max_extended.as_secs()).unwrap();
    assert!(expiry - ticket.call.initiated_at.0 / 1000 > longest, "the relay would go before the call does");
    clinic.close().await;
}
