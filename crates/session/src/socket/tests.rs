//! The line against a server that says more than it should.

use std::{
    future::IntoFuture as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    routing::{get, post},
};
use bedside_protocol::{
    CallId, CallType, ConversationId, DeviceId, EndReason, ErrorCode, Problem, Sealed, SessionId, Timestamp,
    conversation::Typing,
    rest::{AcceptCall, CallTicket, HangupCall},
    socket::{ClientFrame, Event, EventFrame, Outcome, Pong, Reply, Request, ServerFrame, Welcome},
};
use tokio::sync::{mpsc, watch};

use super::{Socket, SocketError, SocketEvent, WAITING_REQUESTS};
use crate::api::testing;
use bedside_ui_contract::snapshot::ConnectionView;

const PATIENCE: Duration = Duration::from_secs(60);

/// Serves one kind of misbehaviour to whoever connects and has been greeted.
async fn serve<F>(misbehave: impl Fn(WebSocket) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    listen(move |mut socket| {
        let misbehave = misbehave.clone();
        async move {
            greet(&mut socket).await;
            misbehave(socket).await;
        }
    })
    .await
}

/// Serves whoever connects.
async fn listen<F>(serve: impl Fn(WebSocket) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = move |upgrade: WebSocketUpgrade| async move { upgrade.on_upgrade(serve) };
    let router: Router = testing::sign_in_route().route("/ws", get(upgrade));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn greet(socket: &mut WebSocket) {
    greet_at(socket, Timestamp(0)).await;
}

async fn greet_at(socket: &mut WebSocket, server_time: Timestamp) {
    let welcome = Welcome {
        version: 1,
        session: SessionId::random(),
        resumed: false,
        user: testing::ana(),
        device_id: DeviceId::random(),
        calls: Vec::new(),
        heartbeat_ms: 25_000,
        server_time,
    };
    answer_hello(socket, Outcome::Ok(serde_json::to_value(welcome).unwrap())).await;
}

async fn answer_hello(socket: &mut WebSocket, outcome: Outcome) {
    let hello = next_request(socket).await.expect("a hello");
    let _ = socket.send(text(&ServerFrame::Reply(Reply { re: Some(hello.id), outcome }))).await;
}

fn text(frame: &ServerFrame) -> Message {
    Message::text(serde_json::to_string(frame).unwrap())
}

fn event(seq: u64, bytes: usize) -> Message {
    let body = Sealed(vec![7; bytes]);
    let event = Event::ChatTyping(Typing {
        conversation_id: ConversationId::random(),
        body,
        from_device: Some(DeviceId::random()),
    });
    text(&ServerFrame::Event(EventFrame { seq, event }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_more_than_is_taken_in_waits_and_nothing_is_lost() {
    const EVENTS: u64 = 4_000;
    const QUEUE: usize = 16;
    let (said, saying) = watch::channel(0);
    let address = serve(move |mut socket| {
        let said = said.clone();
        async move {
            for seq in 1..=EVENTS {
                if socket.send(event(seq, 8 * 1024)).await.is_err() {
                    return;
                }
                said.send_replace(seq);
            }
            while let Some(Ok(_)) = socket.recv().await {}
        }
    })
    .await;
    let (events, mut heard) = mpsc::channel(QUEUE);
    let socket = Socket::start(testing::signed_in(&address).await, events, 1);
    // Some fits into the buffers of the system, and then the server waits.
    let mut all = saying.clone();
    let all = tokio::time::timeout(Duration::from_secs(2), all.wait_for(|seq| *seq == EVENTS)).await;
    assert!(all.is_err(), "thirty megabytes are in memory and nobody has asked for them");
    let mut count = 0;
    while count < EVENTS {
        let next = tokio::time::timeout(PATIENCE, heard.recv()).await.expect("it goes on").unwrap();
        match next {
            SocketEvent::Event(_) => count += 1,
            SocketEvent::Up(_) | SocketEvent::State(_) => {}
            SocketEvent::SignedOut => panic!("signed out"),
        }
    }
    assert_eq!(*saying.borrow(), EVENTS);
    drop(socket);
}

#[tokio::test]
async fn a_message_longer_than_agreed_ends_the_line_unread() {
    let address = serve(|mut socket| async move {
        let _ = socket.send(event(1, 1024 * 1024)).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
    .await;
    let (events, mut heard) = mpsc::channel(16);
    let _socket = Socket::start(testing::signed_in(&address).await, events, 1);
    loop {
        let next = tokio::time::timeout(PATIENCE, heard.recv()).await.expect("the line ends").unwrap();
        match next {
            SocketEvent::State(ConnectionView::Waiting { .. }) => break,
            SocketEvent::Event(_) | SocketEvent::SignedOut => panic!("it was read"),
            SocketEvent::Up(_) | SocketEvent::State(_) => {}
        }
    }
}

/// The next request of the device.
async fn next_request(socket: &mut WebSocket) -> Option<ClientFrame> {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).ok();
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn what_its_asker_has_given_up_is_not_sent_when_the_line_is_back() {
    let (sent, mut sending) = mpsc::unbounded_channel();
    let (mended, is_mended) = watch::channel(false);
    let address = serve(move |mut socket| {
        let (sent, mut is_mended) = (sent.clone(), is_mended.clone());
        async move {
            if !*is_mended.borrow() {
                // Reads and says nothing, and then is gone.
                let _ = is_mended.wait_for(|mended| *mended).await;
                return;
            }
            while let Some(frame) = next_request(&mut socket).await {
                let _ = sent.send(frame.request);
            }
        }
    })
    .await;
    let (events, mut heard) = mpsc::channel(16);
    let socket = Socket::start(testing::signed_in(&address).await, events, 1);
    online(&mut heard).await;
    let call_id = CallId::random();
    let accept = AcceptCall { call_type: CallType::Video };
    let asked = socket.ask::<CallTicket>(Request::AcceptCall { call_id, accept });
    assert!(matches!(asked.await, Err(SocketError::Offline)), "the person was told so");
    mended.send_replace(true);
    online(&mut heard).await;
    let hangup = HangupCall { reason: EndReason::UserHangup, duration: None };
    socket.tell(Request::HangupCall { call_id, hangup });
    let first = sending.recv().await.expect("the line is there");
    assert!(matches!(first, Request::HangupCall { .. }), "the call was answered by nobody: {first:?}");
}

async fn online(heard: &mut mpsc::Receiver<SocketEvent>) {
    loop {
        let next = heard.recv().await.expect("the line's task runs");
        if matches!(next, SocketEvent::State(ConnectionView::Online)) {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_network_starts_with_all_attempts_anew() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, testing::sign_in_route::<()>()).into_future());
    let api = testing::signed_in(&address).await;
    serving.abort();
    let _ = serving.await;
    let (events, mut heard) = mpsc::channel(16);
    let socket = Socket::start(api, events, 1);
    waits(&mut heard, 5).await;
    socket.connect_now();
    waits(&mut heard, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_late_is_found_though_nobody_tries_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(axum::serve(listener, testing::sign_in_route::<()>()).into_future());
    let api = testing::signed_in(&format!("http://{address}")).await;
    serving.abort();
    let _ = serving.await;
    let (events, mut heard) = mpsc::channel(64);
    let _socket = Socket::start(api, events, 1);
    waits(&mut heard, 10).await;
    assert_eq!(state(&mut heard).await, ConnectionView::Connecting);
    assert_eq!(state(&mut heard).await, ConnectionView::GaveUp);
    let an_hour = tokio::time::timeout(Duration::from_secs(60 * 60), heard.recv()).await;
    assert!(an_hour.is_err(), "nobody is told of each attempt: {an_hour:?}");

    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let upgrade = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(async |mut socket: WebSocket| {
            greet(&mut socket).await;
            while next_request(&mut socket).await.is_some() {}
        })
    };
    let router: Router = testing::sign_in_route().route("/ws", get(upgrade));
    tokio::spawn(axum::serve(listener, router).into_future());
    online(&mut heard).await;
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_is_renewed_once_a_day_on_a_line_that_never_breaks() {
    let renewals = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&renewals);
    let refresh = move || async move {
        counted.fetch_add(1, Relaxed);
        testing::sign_in().await
    };
    let upgrade = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(async |mut socket: WebSocket| {
            greet(&mut socket).await;
            while let Some(asked) = next_request(&mut socket).await {
                let outcome = Outcome::Ok(serde_json::Value::Null);
                let reply = ServerFrame::Reply(Reply { re: Some(asked.id), outcome });
                let _ = socket.send(text(&reply)).await;
            }
        })
    };
    let router: Router =
        testing::sign_in_route().route("/ws", get(upgrade)).route("/api/auth/refresh", post(refresh));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    let (events, mut heard) = mpsc::channel(16);
    let _socket = Socket::start(testing::signed_in(&address).await, events, 1);
    online(&mut heard).await;
    for (hours, renewed) in [(23, 0), (2, 1)] {
        let news = tokio::time::timeout(Duration::from_secs(hours * 60 * 60), heard.recv()).await;
        assert!(news.is_err(), "the line broke: {news:?}");
        assert_eq!(renewals.load(Relaxed), renewed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_a_changed_network_leaves_dead_is_given_up_within_seconds() {
    let address = serve(|mut socket| async move { while next_request(&mut socket).await.is_some() {} }).await;
    let (events, mut heard) = mpsc::channel(16);
    let socket = Socket::start(testing::signed_in(&address).await, events, 1);
    online(&mut heard).await;
    let changed = tokio::time::Instant::now();
    socket.connect_now();
    waits(&mut heard, 1).await;
    assert!(changed.elapsed() < Duration::from_secs(30), "believed for {:?}", changed.elapsed());
}

/// Waits for the next attempt to be announced, and checks that it is this one.
async fn waits(heard: &mut mpsc::Receiver<SocketEvent>, wanted: u32) {
    loop {
        let next = heard.recv().await.expect("the line's task runs");
        if let SocketEvent::State(ConnectionView::Waiting { attempt, .. }) = next {
            if attempt == wanted {
                return;
            }
            assert!(attempt < wanted, "attempt {attempt} instead of {wanted}");
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_this_version_is_asked_once_and_again_when_somebody_wants_it() {
    let unreadable = serde_json::json!({"version": "two"});
    let unsupported = Outcome::Error(Box::new(Problem::new(ErrorCode::UnsupportedVersion)));
    for outcome in [unsupported, Outcome::Ok(unreadable)] {
        let address = listen(move |mut socket| {
            let outcome = outcome.clone();
            async move { answer_hello(&mut socket, outcome).await }
        })
        .await;
        let (events, mut heard) = mpsc::channel(16);
        let socket = Socket::start(testing::signed_in(&address).await, events, 1);
        for _ in 0..2 {
            assert_eq!(state(&mut heard).await, ConnectionView::Connecting);
            assert_eq!(state(&mut heard).await, ConnectionView::UnsupportedVersion);
            tokio::time::pause();
            let hour = tokio::time::timeout(Duration::from_secs(60 * 60), heard.recv()).await;
            assert!(hour.is_err(), "it is tried again: {hour:?}");
            tokio::time::resume();
            socket.connect_now();
        }
    }
}

/// What the line says of itself next.
async fn state(heard: &mut mpsc::Receiver<SocketEvent>) -> ConnectionView {
    let next = tokio::time::timeout(PATIENCE, heard.recv()).await.expect("it goes on");
    match next.expect("the line's task runs") {
        SocketEvent::State(state) => state,
        other => panic!("{other:?} instead"),
    }
}

async fn told(signal: &mut watch::Receiver<bool>) {
    let _ = signal.wait_for(|told| *told).await;
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_not_asked_for_ever() {
    const MORE: usize = 44;
    let (got, mut read) = watch::channel(0);
    let (answer, answers) = watch::channel(false);
    let address = serve(move |mut socket| {
        let (got, mut answers) = (got.clone(), answers.clone());
        async move {
            let mut unanswered = Vec::new();
            loop {
                tokio::select! {
                    frame = next_request(&mut socket) => {
                        let Some(frame) = frame else { return };
                        unanswered.push(frame.id);
                        got.send_modify(|got| *got += 1);
                    }
                    () = told(&mut answers), if !unanswered.is_empty() => {
                        for id in unanswered.drain(..) {
                            let outcome = Outcome::Ok(serde_json::Value::Null);
                            let _ = socket.send(text(&ServerFrame::Reply(Reply { re: Some(id), outcome }))).await;
                        }
                    }
                }
            }
        }
    })
    .await;
    let (events, mut heard) = mpsc::channel(16);
    let socket = Socket::start(testing::signed_in(&address).await, events, 1);
    online(&mut heard).await;
    let hang_up = || {
        let hangup = HangupCall { reason: EndReason::UserHangup, duration: None };
        socket.tell(Request::HangupCall { call_id: CallId::random(), hangup });
    };
    (0..WAITING_REQUESTS).for_each(|_| hang_up());
    read.wait_for(|got| *got == WAITING_REQUESTS).await.expect("as many as may wait");
    (0..MORE).for_each(|_| hang_up());
    let further = read.wait_for(|got| *got > WAITING_REQUESTS);
    assert!(tokio::time::timeout(Duration::from_secs(1), further).await.is_err(), "and no more");
    answer.send_replace(true);
    let all = read.wait_for(|got| *got == WAITING_REQUESTS + MORE);
    tokio::time::timeout(PATIENCE, all).await.expect("once they are answered").expect("it reads");
}

#[tokio::test]
async fn the_time_is_what_the_server_says_when_it_greets_and_when_it_answers_a_ping() {
    let minutes = |count: i64| Timestamp(1_763_672_400_000 + count * 60_000);
    let address = listen(move |mut socket| async move {
        greet_at(&mut socket, minutes(0)).await;
        while let Some(frame) = next_request(&mut socket).await {
            let outcome = Outcome::Ok(serde_json::to_value(Pong { server_time: minutes(10) }).unwrap());
            let _ = socket.send(text(&ServerFrame::Reply(Reply { re: Some(frame.id), outcome }))).await;
        }
    })
    .await;
    let (events, mut heard) = mpsc::channel(16);
    let socket = Socket::start(testing::signed_in(&address).await, events, 1);
    online(&mut heard).await;
    let greeted = socket.server_now().expect("it has greeted");
    assert!((minutes(0)..minutes(5)).contains(&greeted), "{greeted:?}");
    // On a new network the server is asked whether it is there.
    socket.connect_now();
    let told = async {
        while socket.server_now().is_none_or(|now| now < minutes(10)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("it has answered");
}
