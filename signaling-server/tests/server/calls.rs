//! Calls as the participants' devices see them, over sockets and REST.

use std::time::Duration;

use bedside_protocol::{
    CallId, CallPhase, CallType, ConversationId, EndReason, ErrorCode, PresenceStatus, Role,
    call::CallRecord,
    conversation::Append,
    rest::{CallClosed, CallStatistics, CallTicket, Page, SignedIn},
    socket::Event,
};
use serde_json::{Value, json};

use crate::{
    fixture::{Clinic, Socket, entry, problem},
    mls::{Content, private},
    quality::second,
};

/// The next event about a call: its name and the call as it was told.
async fn told(socket: &mut Socket) -> (&'static str, CallRecord) {
    socket.event_where(about_call).await
}

fn about_call(event: &Event) -> Option<(&'static str, CallRecord)> {
    let (name, call) = match event {
        Event::CallRinging { call } => ("ringing", call),
        Event::CallAccepted { call, .. } => ("accepted", call),
        Event::CallDeclined { call } => ("declined", call),
        Event::CallBusy { call } => ("busy", call),
        Event::CallConnecting { call } => ("connecting", call),
        Event::CallConnected { call } => ("connected", call),
        Event::CallReconnecting { call, .. } => ("reconnecting", call),
        Event::CallTypeChanged { call, .. } => ("type_changed", call),
        Event::CallEnded { call, .. } => ("ended", call),
        Event::CallMissed { call } => ("missed", call),
        _ => return None,
    };
    Some((name, call.clone()))
}

async fn expect(socket: &mut Socket, names: &[&str]) -> CallRecord {
    let mut last = None;
    for name in names {
        let (was, call) = told(socket).await;
        assert_eq!(was, *name);
        last = Some(call);
    }
    last.expect("at least one event is expected")
}

pub(crate) async fn ring(from: &mut Socket, to: &SignedIn) -> CallTicket {
    let wish = json!({"callee_id": to.user.id, "call_type": "video"});
    serde_json::from_value(from.request("initiate_call", wish).await.unwrap()).unwrap()
}

pub(crate) async fn accept(socket: &mut Socket, call: CallId) -> CallTicket {
    let answer = socket.request("accept_call", json!({"call_id": call, "call_type": "video"})).await;
    serde_json::from_value(answer.unwrap()).unwrap()
}

pub(crate) async fn hang_up(socket: &mut Socket, call: CallId) -> CallRecord {
    let answer = socket.request("hangup_call", json!({"call_id": call, "reason": "user_hangup"})).await;
    serde_json::from_value::<CallClosed>(answer.unwrap()).unwrap().call_summary
}

async fn media(socket: &mut Socket, call: CallId, flowing: bool) {
    socket.request("call:media", json!({"call_id": call, "flowing": flowing})).await.unwrap();
}

pub(crate) fn signal(log: ConversationId, ticket: &CallTicket, body: &[u8]) -> Value {
    let room_token = Some(ticket.room_token.clone());
    serde_json::to_value(Append { call_id: Some(ticket.call_id), room_token, ..entry(log, 0, body) }).unwrap()
}

/// A call in which both hear each other, as the caller's ticket; all events up to there are consumed.
pub(crate) async fn converse(doctor: &mut Socket, patient: &mut Socket, to: &SignedIn) -> CallTicket {
    let ticket = ring(doctor, to).await;
    accept(patient, ticket.call_id).await;
    media(doctor, ticket.call_id, true).await;
    media(patient, ticket.call_id, true).await;
    expect(doctor, &["ringing", "accepted", "connecting", "connected"]).await;
    let call = expect(patient, &["ringing", "accepted", "connecting", "connected"]).await;
    CallTicket { call, ..ticket }
}

async fn history(clinic: &Clinic, who: &SignedIn, query: &str) -> Page<CallRecord> {
    let response = clinic.get(who, &format!("/api/call-history{query}")).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_call_rings_is_answered_signals_connects_and_is_kept() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;

    let ticket = ring(&mut osei, &patient).await;
    assert_eq!(ticket.call.phase, CallPhase::Ringing);
    assert!(!ticket.ice_servers.is_empty() && ticket.room_token.expose().len() > 40);
    let ringing = expect(&mut ana, &["ringing"]).await;
    assert_eq!(ringing.caller.user_id, doctor.user.id);
    assert_eq!(ringing.caller.name.reveal(), "osei of the tests");
    let call = ticket.call_id;

    let early = osei.request("webrtc:offer", signal(log, &ticket, b"too early")).await.unwrap_err();
    assert_eq!(early.code, ErrorCode::IllegalTransition);
    assert_eq!(early.detail.as_deref(), Some("a call that is ringing cannot become connecting."));

    let mine = accept(&mut ana, call).await;
    assert_ne!(mine.room_token, ticket.room_token, "each device has its own");
    osei.request("webrtc:offer", signal(log, &ticket, b"sealed offer")).await.unwrap();
    let offer = ana.event_where(|event| match event {
        Event::Offer(signal) => Some(signal.clone()),
        _ => None,
    });
    let offer = offer.await;
    assert_eq!(offer.body, Some(private(log, 0, Content::Application, b"sealed offer")));
    assert_eq!((offer.from_device, offer.call_id), (doctor.device_id, Some(call)));
    ana.request("webrtc:answer", signal(log, &mine, b"sealed answer")).await.unwrap();
    osei.event_where(|event| matches!(event, Event::Answer(_)).then_some(())).await;
    media(&mut osei, call, true).await;
    media(&mut ana, call, true).await;
    expect(&mut osei, &["connected"]).await;
    assert_eq!(clinic.server.app().presence.status(patient.user.id), PresenceStatus::Busy);

    let over = hang_up(&mut ana, call).await;
    assert_eq!((over.phase, over.end_reason), (CallPhase::Ended, Some(EndReason::UserHangup)));
    let ended = expect(&mut osei, &["ended"]).await;
    assert_eq!(ended, over);
    assert_eq!(hang_up(&mut osei, call).await, over, "both hang up: one end");
    assert_eq!(clinic.server.app().presence.status(patient.user.id), PresenceStatus::Online);
    assert_eq!(history(&clinic, &patient, "").await.items, [over]);
    clinic.close().await;
}

#[tokio::test]
async fn the_rest_routes_act_on_the_same_calls() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let wish = json!({"callee_id": patient.user.id, "call_type": "voice"});
    let ticket: CallTicket = clinic.post(&doctor, "/api/calls/initiate", wish).await.json().await.unwrap();
    let path = format!("/api/calls/{}", ticket.call_id);
    expect(&mut ana, &["ringing"]).await;
    let accepted = clinic.post(&patient, &format!("{path}/accept"), json!({"call_type": "video"})).await;
    let accepted: CallTicket = accepted.json().await.unwrap();
    assert_eq!(accepted.call.call_type, CallType::Voice, "a voice call is not answered with picture");
    expect(&mut osei, &["ringing", "accepted"]).await;
    let late = clinic.post(&patient, &format!("{path}/decline"), json!({})).await;
    let late = problem(late).await;
    assert_eq!(late.code, ErrorCode::IllegalTransition);
    assert_eq!(late.detail.as_deref(), Some("a call that is accepted cannot become ended."));
    let nonsense = clinic.post(&doctor, &format!("{path}/hangup"), json!({"reason": "max_duration"})).await;
    assert_eq!(problem(nonsense).await.code, ErrorCode::InvalidValue);
    let closed = json!({"reason": "user_hangup", "duration": 3});
    let closed = clinic.post(&doctor, &format!("{path}/hangup"), closed).await;
    let closed: CallClosed = closed.json().await.unwrap();
    assert_eq!(closed.call_summary.phase, CallPhase::Ended);
    expect(&mut ana, &["accepted", "ended"]).await;
    clinic.close().await;
}

#[tokio::test]
async fn a_retried_initiate_with_the_same_key_is_one_call() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let mut ana = clinic.connect(&patient).await;
    let wish = json!({"callee_id": patient.user.id, "call_type": "video"});
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let response = clinic
            .http
            .post(clinic.url("/api/calls/initiate"))
            .bearer_auth(doctor.access_token.expose())
            .header("Idempotency-Key", "one press of the button")
            .json(&wish)
            .send()
            .await
            .unwrap();
        tickets.push(response.json::<CallTicket>().await.unwrap());
    }
    assert_eq!((tickets[0].call_id, tickets[0].room_id), (tickets[1].call_id, tickets[1].room_id));
    expect(&mut ana, &["ringing"]).await;
    assert_eq!(history(&clinic, &doctor, "").await.total, 1);
    clinic.close().await;
}

#[tokio::test]
async fn a_busy_patient_hears_of_the_missed_call_and_goes_on_talking() {
    let (clinic, [_, patient], [mut osei, mut ana]) = Clinic::online().await;
    let nurse = clinic.person("nurse", Role::Clinician).await;
    clinic.befriend("nurse", "ana").await;
    let mut nina = clinic.connect(&nurse).await;
    let first = converse(&mut osei, &mut ana, &patient).await;
    let second = ring(&mut nina, &patient).await;
    assert_eq!(second.call.end_reason, Some(EndReason::Busy));
    expect(&mut nina, &["busy"]).await;
    assert_eq!(expect(&mut ana, &["missed"]).await.call_id, second.call_id);
    let again = json!({"callee_id": nurse.user.id, "call_type": "video"});
    let refused = osei.request("initiate_call", again).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::AlreadyInCall);
    assert_eq!(hang_up(&mut ana, first.call_id).await.phase, CallPhase::Ended);
    clinic.close().await;
}

#[tokio::test]
async fn declining_cancelling_and_answering_too_late() {
    let (clinic, [_, patient], [mut osei, mut ana]) = Clinic::online().await;
    let call = ring(&mut osei, &patient).await.call_id;
    ana.request("decline_call", json!({"call_id": call, "reason": "declined"})).await.unwrap();
    let declined = expect(&mut osei, &["ringing", "declined"]).await;
    assert_eq!(declined.end_reason, Some(EndReason::CalleeDeclined));
    expect(&mut ana, &["ringing", "declined"]).await;

    let call = ring(&mut osei, &patient).await.call_id;
    hang_up(&mut osei, call).await;
    expect(&mut ana, &["ringing", "ended"]).await;
    let late = ana.request("accept_call", json!({"call_id": call, "call_type": "video"})).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::IllegalTransition);
    assert_eq!(late.detail.as_deref(), Some("a call that is ended cannot become accepted."));
    clinic.close().await;
}

#[tokio::test]
async fn two_who_call_each_other_find_themselves_in_one_call() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let (theirs, mine) = tokio::join!(ring(&mut osei, &patient), ring(&mut ana, &doctor));
    assert_eq!(theirs.call_id, mine.call_id);
    assert!([theirs.call.phase, mine.call.phase].contains(&CallPhase::Accepted));
    expect(&mut osei, &["ringing", "accepted"]).await;
    expect(&mut ana, &["ringing", "accepted"]).await;
    assert_eq!(history(&clinic, &doctor, "").await.total, 1);
    clinic.close().await;
}

#[tokio::test]
async fn the_second_device_stops_ringing_and_cannot_take_the_call() {
    let clinic = Clinic::open().await;
    let (doctor, laptop) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, laptop.user.id).await;
    let desk = clinic.sign_in("ana").await;
    let mut osei = clinic.connect(&doctor).await;
    let (mut on_laptop, mut on_desk) = (clinic.connect(&laptop).await, clinic.connect(&desk).await);
    let ticket = ring(&mut osei, &laptop).await;
    let call = ticket.call_id;
    expect(&mut on_laptop, &["ringing"]).await;
    accept(&mut on_desk, call).await;
    let by = on_laptop.event_where(|event| match event {
        Event::CallAccepted { by_device, .. } => Some(*by_device),
        _ => None,
    });
    assert_eq!(by.await, desk.device_id);
    for (kind, data) in [
        ("accept_call", json!({"call_id": call, "call_type": "video"})),
        ("hangup_call", json!({"call_id": call, "reason": "user_hangup"})),
        ("webrtc:ice", signal(log, &ticket, b"candidate")),
    ] {
        assert_eq!(on_laptop.request(kind, data).await.unwrap_err().code, ErrorCode::AnsweredElsewhere);
    }
    hang_up(&mut on_desk, call).await;
    assert!(on_laptop.events_so_far().await.iter().all(|event| about_call(event).is_none()));
    clinic.close().await;
}

#[tokio::test]
async fn nobody_there_or_not_to_be_disturbed_is_a_missed_call() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let mut osei = clinic.connect(&doctor).await;
    assert_eq!(ring(&mut osei, &patient).await.call.phase, CallPhase::Missed);
    expect(&mut osei, &["missed"]).await;
    let mut ana = clinic.connect(&patient).await;
    ana.request("presence:update", json!({"status": "do_not_disturb"})).await.unwrap();
    assert_eq!(ring(&mut osei, &patient).await.call.phase, CallPhase::Missed);
    expect(&mut ana, &["missed"]).await;
    assert_eq!(history(&clinic, &patient, "?status=missed").await.total, 2);
    clinic.close().await;
}

#[tokio::test]
async fn nobody_answers_in_time() {
    let clinic = Clinic::open_with(|config| config.calls.ring_timeout = Duration::from_millis(200)).await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let (mut osei, mut ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    ring(&mut osei, &patient).await;
    expect(&mut osei, &["ringing", "missed"]).await;
    let missed = expect(&mut ana, &["ringing", "missed"]).await;
    assert_eq!(missed.end_reason, Some(EndReason::Missed));
    clinic.close().await;
}

#[tokio::test]
async fn strangers_can_neither_call_nor_find_a_call() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let outsider = clinic.person("tom", Role::Patient).await;
    let mut tom = clinic.connect(&outsider).await;
    let wish = json!({"callee_id": patient.user.id, "call_type": "video"});
    assert_eq!(tom.request("initiate_call", wish).await.unwrap_err().code, ErrorCode::NotAContact);
    let own = json!({"callee_id": doctor.user.id, "call_type": "video"});
    assert_eq!(osei.request("initiate_call", own).await.unwrap_err().code, ErrorCode::InvalidValue);
    let ticket = converse(&mut osei, &mut ana, &patient).await;
    let call = ticket.call_id;
    for (kind, data) in [
        ("accept_call", json!({"call_id": call, "call_type": "video"})),
        ("decline_call", json!({"call_id": call})),
        ("hangup_call", json!({"call_id": call, "reason": "user_hangup"})),
        ("call:media", json!({"call_id": call, "flowing": false})),
        ("call:switch_type", json!({"call_id": call, "call_type": "voice"})),
    ] {
        let refused = tom.request(kind, data).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::CallNotFound, "{kind}");
    }
    let signal = signal(log, &ticket, b"let me in");
    assert_eq!(tom.request("webrtc:offer", signal).await.unwrap_err().code, ErrorCode::NotFound);
    for path in ["accept", "hangup", "quality-metrics"] {
        let body = match path {
            "accept" => json!({"call_type": "video"}),
            "hangup" => json!({"reason": "user_hangup"}),
            _ => second(1),
        };
        let refused = problem(clinic.post(&outsider, &format!("/api/calls/{call}/{path}"), body).await).await;
        assert_eq!(refused.code, ErrorCode::CallNotFound, "{path}");
    }
    assert_eq!(history(&clinic, &outsider, "").await.total, 0);
    assert!(tom.events_so_far().await.iter().all(|event| about_call(event).is_none()));
    clinic.close().await;
}

#[tokio::test]
async fn a_device_that_lost_its_socket_catches_up_without_a_gap() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let mut osei = clinic.connect(&doctor).await;
    let mut ana = clinic.dial(patient.access_token.expose()).await;
    let session = ana.hello(None).await.session;
    let ticket = converse(&mut osei, &mut ana, &patient).await;
    let call = ticket.call_id;
    let seen = ana.last_seq;
    drop(ana);
    osei.request("call:switch_type", json!({"call_id": call, "call_type": "voice"})).await.unwrap();
    osei.request("webrtc:ice", signal(log, &ticket, b"a new candidate")).await.unwrap();

    let mut ana = clinic.dial(patient.access_token.expose()).await;
    let welcome = ana.hello(Some((session, seen))).await;
    assert!(welcome.resumed);
    assert_eq!(welcome.calls.len(), 1, "the call is still there");
    assert_eq!(welcome.calls[0].phase, CallPhase::Connected, "media went on, so the call did");
    assert_eq!(expect(&mut ana, &["type_changed"]).await.call_type, CallType::Voice);
    ana.event_where(|event| matches!(event, Event::Ice(_)).then_some(())).await;
    clinic.close().await;
}

#[tokio::test]
async fn a_call_survives_a_restart_of_the_server_in_good_order_and_by_power_cut() {
    let mut clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let log = clinic.conversation(&doctor, patient.user.id).await;
    let (mut osei, mut ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    let call = converse(&mut osei, &mut ana, &patient).await;
    for in_good_order in [true, false] {
        clinic = clinic.restart(in_good_order).await;
        osei = clinic.dial(doctor.access_token.expose()).await;
        let welcome = osei.hello(None).await;
        assert_eq!(welcome.calls.len(), 1, "in good order: {in_good_order}");
        assert_eq!(welcome.calls[0].phase, CallPhase::Reconnecting);
        ana = clinic.connect(&patient).await;
        media(&mut osei, call.call_id, true).await;
        media(&mut ana, call.call_id, true).await;
        let again = osei
            .event_where(|event| match event {
                Event::CallConnected { call } => Some(call.clone()),
                _ => None,
            })
            .await;
        assert_eq!(again.connected_at, call.call.connected_at);
        osei.request("webrtc:offer", signal(log, &call, format!("restart {in_good_order}").as_bytes()))
            .await
            .unwrap();
        ana.event_where(|event| matches!(event, Event::Offer(_)).then_some(())).await;
    }
    assert_eq!(hang_up(&mut ana, call.call_id).await.phase, CallPhase::Ended);
    clinic.close().await;
}

#[tokio::test]
async fn a_lost_participant_is_waited_for_and_then_given_up() {
    let clinic = Clinic::open_with(|config| config.calls.reconnect_grace = Duration::from_millis(300)).await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let (mut osei, mut ana) = (clinic.connect(&doctor).await, clinic.connect(&patient).await);
    let call = converse(&mut osei, &mut ana, &patient).await;
    drop(ana);
    media(&mut osei, call.call_id, false).await;
    let over = osei
        .event_where(|event| match event {
            Event::CallEnded { call, reason } => Some((call.clone(), *reason)),
            _ => None,
        })
        .await;
    assert_eq!(over.1, EndReason::NetworkError);
    clinic.close().await;
}

#[tokio::test]
async fn history_and_statistics_tell_what_happened() {
    let (clinic, [doctor, patient], [mut osei, mut ana]) = Clinic::online().await;
    let admin = clinic.person("root", Role::Admin).await;
    let talked = converse(&mut osei, &mut ana, &patient).await.call_id;
    let path = "/api/call-statistics?period=30d";
    let meanwhile: CallStatistics = clinic.get(&doctor, path).await.json().await.unwrap();
    assert_eq!((meanwhile.total_calls, meanwhile.completed_calls), (1, 0), "it is not over");
    osei.request("call:switch_type", json!({"call_id": talked, "call_type": "voice"})).await.unwrap();
    hang_up(&mut osei, talked).await;
    let declined = ring(&mut osei, &patient).await.call_id;
    ana.request("decline_call", json!({"call_id": declined, "reason": "busy"})).await.unwrap();
    ana.say_goodbye().await;
    // Told to the doctor after the service knows.
    osei.event_where(|event| matches!(event, Event::UserOffline { .. }).then_some(())).await;
    let missed = ring(&mut osei, &patient).await.call_id;

    for viewer in [&doctor, &patient, &admin] {
        let response = clinic.get(viewer, path).await;
        let statistics: CallStatistics = response.json().await.unwrap();
        assert_eq!(
            statistics,
            CallStatistics {
                total_calls: 3,
                completed_calls: 1,
                missed_calls: 1,
                declined_calls: 1,
                video_calls: 2,
                voice_calls: 1,
                average_duration: statistics.average_duration,
            }
        );
        let page = history(&clinic, viewer, "?per_page=2&page=1").await;
        assert_eq!((page.total, page.pages, page.items.len()), (3, 2, 2));
        assert_eq!(page.items[0].call_id, missed, "newest first");
        let voice = history(&clinic, viewer, "?call_type=voice").await;
        assert_eq!(voice.items.iter().map(|call| call.call_id).collect::<Vec<_>>(), [talked]);
    }
    let from = history(&clinic, &doctor, "").await.items[0].initiated_at;
    assert!(history(&clinic, &doctor, &format!("?date_to={}", from.0)).await.total < 3);
    assert_eq!(history(&clinic, &doctor, &format!("?date_from={}", from.0 + 1)).await.total, 0);
    for bad in
        ["/api/call-history?per_page=101", "/api/call-statistics?period=soon", "/api/call-history?status=x"]
    {
        assert_eq!(problem(clinic.get(&doctor, bad).await).await.code, ErrorCode::InvalidValue, "{bad}");
    }
    clinic.close().await;
}

#[tokio::test]
async fn a_room_token_lasts_as_long_as_the_longest_call_that_rang_and_connected_slowly() {
    let (clinic, [_, patient], [mut osei, _ana]) = Clinic::online().await;
    let asked_ms = now_ms();
    ring(&mut osei, &patient).await;
    let sql = "SELECT MIN(expires_at) FROM room_tokens";
    let expires: i64 = sqlx::query_scalar(sql).fetch_one(&clinic.server.app().db.read).await.unwrap();
    // Four hours of conversation, extensions included, after a minute of ringing and twice half a minute of connecting.
    let longest = 4 * 3_600_000 + 60_000 + 2 * 30_000;
    assert!(expires - asked_ms >= longest, "it runs out {} ms into the call", expires - asked_ms);
    clinic.close().await;
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
