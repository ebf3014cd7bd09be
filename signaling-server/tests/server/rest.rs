//! The REST API's manners.

use std::time::Duration;

use bedside_protocol::{
    ErrorCode, Role,
    rest::{CallTicket, ClinicInfo, SignedIn},
};
use serde_json::{Value, json};
use sqlx::Row;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::fixture::{Clinic, PATIENCE, problem};

#[tokio::test]
async fn whatever_is_wrong_with_a_request_the_answer_is_a_problem_with_a_code() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let token = ana.access_token.expose();
    let post = |path: &str| clinic.http.post(clinic.url(path)).bearer_auth(token);
    let update = "/api/presence/update";
    let json_type = ("content-type", "application/json");
    for (request, expected) in [
        (clinic.http.get(clinic.url("/api/nothing")), ErrorCode::NotFound),
        (clinic.http.get(clinic.url("/nothing")), ErrorCode::NotFound),
        (clinic.http.delete(clinic.url("/api/clinic")), ErrorCode::MethodNotAllowed),
        (clinic.http.get(clinic.url("/api/presence/not-a-uuid")).bearer_auth(token), ErrorCode::NotFound),
        (clinic.http.get(clinic.url("/api/contacts?page=x")).bearer_auth(token), ErrorCode::InvalidValue),
        (post(update).body("{}"), ErrorCode::UnsupportedMediaType),
        (post(update).header(json_type.0, json_type.1).body("{"), ErrorCode::MalformedMessage),
        (post(update).json(&json!({"status": "asleep"})), ErrorCode::InvalidValue),
        (post(update).json(&json!({"status": "away", "extra": 1})), ErrorCode::InvalidValue),
        (post(update).json(&json!({"status": "x".repeat(70_000)})), ErrorCode::TooLarge),
        (clinic.http.get(clinic.url("/ws")).bearer_auth(token), ErrorCode::MalformedMessage),
        (clinic.http.get(clinic.url("/ws")), ErrorCode::NotSignedIn),
        (clinic.http.get(clinic.url("/api/users/me")).bearer_auth("made-up"), ErrorCode::TokenExpired),
    ] {
        let problem = problem(request.send().await.unwrap()).await;
        assert_eq!(problem.code, expected, "{problem:?}");
        assert_eq!(problem.kind, format!("urn:bedside:problem:{}", expected.as_str()));
    }
    clinic.close().await;
}

#[tokio::test]
async fn a_retry_with_the_same_key_gets_the_first_answer_and_another_request_is_refused() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    let _socket = clinic.connect(&ana).await;
    let update = async |status: &str, key: &str| {
        let request = clinic.http.post(clinic.url("/api/presence/update")).header("idempotency-key", key);
        request.bearer_auth(ana.access_token.expose()).json(&json!({"status": status})).send().await.unwrap()
    };
    let first: Value = update("away", "k1").await.json().await.unwrap();
    assert_eq!(update("idle", "k2").await.status(), 200);
    let again = update("away", "k1").await;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    assert_eq!(problem(update("online", "k1").await).await.code, ErrorCode::IdempotencyConflict);
    let status = clinic.server.app().presence.status(ana.user.id);
    assert_eq!(status, bedside_protocol::PresenceStatus::Idle, "the retry must not act again");

    let refused = update("busy", "k3").await;
    assert_eq!(refused.status(), 422);
    assert_eq!(problem(update("busy", "k3").await).await.code, ErrorCode::InvalidValue);
    clinic.close().await;
}

#[tokio::test]
async fn too_many_requests_are_told_how_long_to_wait() {
    let clinic = Clinic::open_with(|config| {
        config.limits.rest_per_second = 1;
        config.limits.rest_burst = 3;
    })
    .await;
    let ana = clinic.person("ana", Role::Patient).await;
    for _ in 0..3 {
        clinic.get(&ana, "/api/users/me").await;
    }
    let response = clinic.get(&ana, "/api/users/me").await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(problem(response).await.code, ErrorCode::RateLimited);
    clinic.close().await;
}

#[tokio::test]
async fn the_served_document_is_the_committed_one_and_every_route_is_in_it() {
    let committed = include_str!("../../../docs/openapi.json").replace("\r\n", "\n");
    assert!(
        committed == bedside_server::openapi::document(),
        "docs/openapi.json is out of date: cargo run -p bedside-server -- openapi > docs/openapi.json"
    );
    let clinic = Clinic::open().await;
    let served = clinic.http.get(clinic.url("/api/openapi.json")).send().await.unwrap().text().await.unwrap();
    assert_eq!(served, committed);
    let document: Value = serde_json::from_str(&served).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let codes: Vec<ErrorCode> =
        serde_json::from_value(document["components"]["schemas"]["ErrorCode"]["enum"].clone()).unwrap();
    assert!(codes.contains(&ErrorCode::NoGroup) && codes.contains(&ErrorCode::Internal));
    assert_eq!(
        document["components"]["schemas"]["ErrorCode"]["enum"],
        json!(codes.iter().map(|code| code.as_str()).collect::<Vec<_>>()),
        "the names that stand on the wire"
    );
    clinic.close().await;
}

#[tokio::test]
async fn health_and_clinic_answer_before_anybody_has_signed_in() {
    let clinic = Clinic::open_with(|config| config.clinic_name = "North Clinic".to_owned()).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(clinic.http.get(clinic.url(path)).send().await.unwrap().status(), 200);
    }
    let response = clinic.http.get(clinic.url("/api/clinic")).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let info: ClinicInfo = response.json().await.unwrap();
    assert_eq!((info.name.as_str(), info.protocol_versions), ("North Clinic", vec![1]));
    clinic.close().await;
}

#[tokio::test]
async fn who_never_finishes_a_request_does_not_keep_a_connection() {
    let clinic = Clinic::open_with(|config| config.socket.head_within = Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(clinic.server.addr()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: half a head").await.unwrap();
    let mut answer = Vec::new();
    // To its end: the server closes.
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    clinic.close().await;
}

#[tokio::test]
async fn who_says_nothing_or_speaks_http_2_does_not_keep_a_connection() {
    let clinic = Clinic::open_with(|config| config.socket.head_within = Duration::from_millis(50)).await;
    for said in ["", "PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(clinic.server.addr()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // To its end: the server closes.
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty(), "{said:?}: {answer:?}");
    }
    clinic.close().await;
}

#[tokio::test]
async fn who_never_finishes_a_body_does_not_keep_a_connection() {
    let clinic = Clinic::open_with(|config| config.socket.body_within = Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(clinic.server.addr()).await.unwrap();
    let half = b"POST /api/auth/sign-in HTTP/1.1\r\nHost: clinic\r\nContent-Length: 100\r\n\
        Content-Type: application/json\r\n\r\n{\"login\":";
    stream.write_all(half).await.unwrap();
    let mut answer = String::new();
    // To its end: the server closes.
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("malformed_message"), "{answer}");
    clinic.close().await;
}

#[tokio::test]
async fn an_address_has_no_more_connections_than_its_share() {
    let clinic = Clinic::open_with(|config| config.limits.connections_per_address = 2).await;
    let ask = async || {
        let mut stream = TcpStream::connect(clinic.server.addr()).await.unwrap();
        let mut line = [0; 12];
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: clinic\r\n\r\n").await;
        let answered = asked.is_ok() && stream.read_exact(&mut line).await.is_ok();
        answered.then(|| {
            assert_eq!(&line, b"HTTP/1.1 200");
            stream
        })
    };
    let first = ask().await.expect("an answer");
    let _second = ask().await.expect("an answer");
    assert!(ask().await.is_none(), "the third is closed without a word");
    drop(first);
    let again = async { while ask().await.is_none() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("what is closed is given back");
    clinic.server.kill().await;
}

#[tokio::test]
async fn made_up_tokens_are_counted_against_the_address_that_they_come_from() {
    let clinic = Clinic::open_with(|config| {
        config.limits.rest_per_second = 1;
        config.limits.rest_burst = 3;
    })
    .await;
    let ana = clinic.person("ana", Role::Patient).await;
    let guess = async || {
        let guess = clinic.http.get(clinic.url("/api/users/me")).bearer_auth("made-up").send().await.unwrap();
        problem(guess).await.code
    };
    assert_eq!(guess().await, ErrorCode::TokenExpired);
    let mut guesses = 1;
    while guess().await != ErrorCode::RateLimited {
        guesses += 1;
        assert!(guesses < 100, "nobody stops it");
    }
    let right = clinic.get(&ana, "/api/users/me").await;
    assert_eq!(right.status(), 200, "who is signed in does not pay for others at the same address");
    clinic.close().await;
}

#[tokio::test]
async fn an_answer_with_tokens_is_not_kept_for_who_repeats_the_request() {
    let clinic = Clinic::open().await;
    let ana = clinic.person("ana", Role::Patient).await;
    for _ in 0..2 {
        let refresh = clinic.http.post(clinic.url("/api/auth/refresh")).header("idempotency-key", "the same");
        let token = json!({"refresh_token": ana.refresh_token.expose()});
        let answer = refresh.bearer_auth(ana.access_token.expose()).json(&token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("idempotency-replayed"));
    }
    clinic.close().await;
}

#[tokio::test]
async fn a_repeated_request_for_a_call_gets_a_ticket_of_its_own_and_none_is_kept() {
    let (clinic, [osei, ana], _sockets) = Clinic::online().await;
    let call = async |who: &SignedIn, path: String, wish: Value| {
        let request = clinic.http.post(clinic.url(&path)).header("idempotency-key", "the same").json(&wish);
        request.bearer_auth(who.access_token.expose()).send().await.unwrap()
    };
    let wish = json!({"callee_id": ana.user.id, "call_type": "video"});
    let initiate = || call(&osei, "/api/calls/initiate".to_owned(), wish.clone());
    let first: CallTicket = initiate().await.json().await.unwrap();
    let again = initiate().await;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    let again: CallTicket = again.json().await.unwrap();
    assert_eq!((again.call_id, again.room_id), (first.call_id, first.room_id), "it must not call again");
    assert_ne!(again.room_token.expose(), first.room_token.expose());

    let accept = format!("/api/calls/{}/accept", first.call_id);
    let wish = json!({"call_type": "video"});
    let accepted: CallTicket = call(&ana, accept.clone(), wish.clone()).await.json().await.unwrap();
    let repeated: CallTicket = call(&ana, accept.clone(), wish.clone()).await.json().await.unwrap();
    assert_eq!(repeated.call, accepted.call);
    let elsewhere = clinic.sign_in("ana").await;
    let refused = problem(call(&elsewhere, accept, wish).await).await;
    assert_eq!(refused.code, ErrorCode::AnsweredElsewhere, "a ticket is for the device that takes part");

    let kept = sqlx::query("SELECT COUNT(*), COUNT(body) FROM idempotency_keys");
    let row = kept.fetch_one(&clinic.server.app().db.read).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (2, 0), "nothing of a ticket is written down");
    clinic.close().await;
}

#[tokio::test]
async fn room_tokens_that_have_run_out_are_forgotten() {
    let (clinic, [osei, ana], _sockets) = Clinic::online().await;
    let wish = json!({"callee_id": ana.user.id, "call_type": "video"});
    assert_eq!(clinic.post(&osei, "/api/calls/initiate", wish).await.status(), 200);
    let app = clinic.server.app();
    let left = async || {
        let count = sqlx::query("SELECT COUNT(*) FROM room_tokens").fetch_one(&app.db.read).await.unwrap();
        count.get::<i64, _>(0)
    };
    app.calls.sweep().await.unwrap();
    assert_eq!(left().await, 1);
    sqlx::query("UPDATE room_tokens SET expires_at = 1").execute(&app.db.write).await.unwrap();
    app.calls.sweep().await.unwrap();
    assert_eq!(left().await, 0);
    clinic.close().await;
}
