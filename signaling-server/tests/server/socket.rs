//! The socket's manners: hello, refusals, limits, sessions.

use bedside_protocol::{ErrorCode, MAX_FRAME_BYTES, Role, SessionId, socket::Event, socket::Outcome};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{Clinic, some_call};

#[tokio::test]
async fn a_conversation_begins_with_hello_in_a_version_that_both_speak() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let mut socket = clinic.dial(ana.access_token.expose()).await;
    let refused = socket.request("ping", json!({"last_seq": 0})).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::HelloExpected);
    let welcome = socket.hello(None).await;
    assert_eq!((welcome.version, welcome.resumed, welcome.heartbeat_ms), (1, false, 25_000));
    assert_eq!((welcome.user.id, welcome.device_id), (ana.user.id, ana.device_id));
    let twice = socket.request("hello", json!({"versions": [1]})).await.unwrap_err();
    assert_eq!(twice.code, ErrorCode::HelloExpected);

    let mut newer = clinic.dial(ana.access_token.expose()).await;
    let refused = newer.request("hello", json!({"versions": [9, 8]})).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::UnsupportedVersion);
    assert_eq!(newer.close_code().await, 4002);
    clinic.close().await;
}

#[tokio::test]
async fn unknown_broken_and_oversized_frames_are_answered_and_the_socket_goes_on() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let mut socket = clinic.connect(&ana).await;
    for (frame, expected) in [
        (Message::text(r#"{"id":70,"type":"dance","data":{}}"#), (Some(70), ErrorCode::UnknownType)),
        (
            Message::text(r#"{"id":71,"type":"ping","data":{"last_seq":-1}}"#),
            (Some(71), ErrorCode::MalformedMessage),
        ),
        (Message::text("{"), (None, ErrorCode::MalformedMessage)),
        (Message::text("[]"), (None, ErrorCode::MalformedMessage)),
        (Message::binary(vec![0; 8]), (None, ErrorCode::MalformedMessage)),
        (Message::text("x".repeat(MAX_FRAME_BYTES + 1)), (None, ErrorCode::TooLarge)),
    ] {
        socket.send_message(frame).await;
        assert_eq!(socket.error().await, expected);
    }
    socket.request("ping", json!({"last_seq": 0})).await.unwrap();
    socket.send_message(Message::text("x".repeat(3 * MAX_FRAME_BYTES))).await;
    assert_eq!(socket.error().await, (None, ErrorCode::TooLarge));
    clinic.close().await;
}

#[tokio::test]
async fn too_many_messages_are_refused_with_the_time_to_wait() {
    let clinic = Clinic::open_with(|config| {
        config.limits.socket_per_second = 1;
        config.limits.socket_burst = 3;
    })
    .await;
    let ana = clinic.person("ana", Role::Patient).await;
    let mut socket = clinic.connect(&ana).await;
    for id in 100..104 {
        socket.send_text(json!({"id": id, "type": "ping", "data": {"last_seq": 0}}).to_string()).await;
    }
    let mut refused = Vec::new();
    for _ in 100..104 {
        if let (Some(id), Outcome::Error(problem)) = socket.reply().await {
            assert_eq!(problem.code, ErrorCode::RateLimited);
            assert_eq!(problem.retry_after_s, Some(1));
            refused.push(id);
        }
    }
    assert!(refused.contains(&103), "{refused:?}");
    clinic.close().await;
}

#[tokio::test]
async fn a_resumed_session_gets_every_missed_event_once_and_in_order() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let token = ana.access_token.expose();
    let hub = clinic.server.app().hub.clone();
    let tell = |n: u64| {
        let ends_at = bedside_protocol::Timestamp(i64::try_from(n).unwrap());
        hub.send_to_user(
            ana.user.id,
            &Event::CallExpiring { call_id: some_call(), ends_at, extends_to: None },
        );
    };
    let number = |event: &Event| match event {
        Event::CallExpiring { ends_at, .. } => u64::try_from(ends_at.0).ok(),
        _ => None,
    };

    let mut socket = clinic.dial(token).await;
    let session = socket.hello(None).await.session;
    for n in 1..=3 {
        tell(n);
    }
    for n in 1..=3 {
        assert_eq!(socket.event_where(number).await, n);
    }
    // Gone without a word, having handled two.
    drop(socket);
    for n in 4..=100 {
        tell(n);
    }
    let mut socket = clinic.dial(token).await;
    let welcome = socket.hello(Some((session, 2))).await;
    assert!(welcome.resumed);
    assert_eq!(welcome.session, session);
    for n in 3..=100 {
        assert_eq!(socket.event_where(number).await, n);
    }
    tell(101);
    assert_eq!(socket.event_where(number).await, 101);

    // Acknowledged by a ping: no longer kept.
    socket.request("ping", json!({"last_seq": 101})).await.unwrap();
    drop(socket);
    let mut socket = clinic.dial(token).await;
    let welcome = socket.hello(Some((session, 50))).await;
    assert!(!welcome.resumed, "what was acknowledged can't be had again");
    assert_ne!(welcome.session, session);
    clinic.close().await;
}

#[tokio::test]
async fn a_session_is_resumed_by_nobody_but_its_device() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let mut ana = clinic.dial(patient.access_token.expose()).await;
    let session = ana.hello(None).await.session;
    let mut osei = clinic.dial(doctor.access_token.expose()).await;
    assert!(!osei.hello(Some((session, 0))).await.resumed);
    let mut other = clinic.dial(clinic.sign_in("ana").await.access_token.expose()).await;
    assert!(!other.hello(Some((session, 0))).await.resumed);
    let mut made_up = clinic.dial(patient.access_token.expose()).await;
    assert!(!made_up.hello(Some((SessionId::random(), 7))).await.resumed);
    clinic.close().await;
}

#[tokio::test]
async fn a_second_socket_of_a_device_replaces_the_first_without_it_going_offline() {
    let clinic = Clinic::open().await;
    let (doctor, patient) = clinic.doctor_and_patient().await;
    let mut watcher = clinic.connect(&doctor).await;
    let mut first = clinic.connect(&patient).await;
    watcher.event_where(|event| matches!(event, Event::UserOnline { .. }).then_some(())).await;
    let mut second = clinic.connect(&patient).await;
    assert_eq!(first.close_code().await, 4000);
    second.request("ping", json!({"last_seq": 0})).await.unwrap();
    let told = watcher.events_so_far().await;
    assert!(
        !told.iter().any(|event| matches!(event, Event::UserOffline { .. } | Event::PresenceUpdate(_))),
        "{told:?}"
    );
    assert_eq!(clinic.server.app().hub.connected_devices(patient.user.id), [patient.device_id]);
    clinic.close().await;
}

#[tokio::test]
async fn before_it_goes_away_the_server_says_so_and_afterwards_a_session_begins_anew() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let mut socket = clinic.dial(ana.access_token.expose()).await;
    let session = socket.hello(None).await.session;
    let (clinic, ()) = tokio::join!(clinic.restart(true), async {
        socket.event_where(|event| matches!(event, Event::GoingAway { .. }).then_some(())).await;
        assert_eq!(socket.close_code().await, 1001);
    });
    let mut socket = clinic.dial(ana.access_token.expose()).await;
    let welcome = socket.hello(Some((session, 1))).await;
    assert!(!welcome.resumed);
    let clinic = clinic.restart(false).await;
    assert!(socket.closed().await.is_none(), "a cut leaves no time for a close frame");
    let mut socket = clinic.dial(ana.access_token.expose()).await;
    assert!(!socket.hello(Some((welcome.session, 0))).await.resumed);
    clinic.close().await;
}
