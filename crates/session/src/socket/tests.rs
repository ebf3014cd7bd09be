//! The line against a server that says more than it should.

use std::{future::IntoFuture as _, time::Duration};

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    routing::get,
};
use bedside_protocol::{
    ConversationId, DeviceId, Sealed, SessionId, Timestamp,
    conversation::Typing,
    socket::{ClientFrame, Event, EventFrame, Outcome, Reply, ServerFrame, Welcome},
};
use tokio::sync::{mpsc, watch};

use super::{Socket, SocketEvent};
use crate::api::testing;
use bedside_ui_contract::snapshot::ConnectionView;

const PATIENCE: Duration = Duration::from_secs(60);

/// Serves one kind of misbehaviour to whoever connects.
async fn serve<F>(misbehave: impl Fn(WebSocket) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = move |upgrade: WebSocketUpgrade| {
        let misbehave = misbehave.clone();
        async move {
            upgrade.on_upgrade(move |mut socket| async move {
                greet(&mut socket).await;
                misbehave(socket).await;
            })
        }
    };
    let router: Router = testing::sign_in_route().route("/ws", get(upgrade));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn greet(socket: &mut WebSocket) {
    let Some(Ok(Message::Text(hello))) = socket.recv().await else { panic!("no hello") };
    let hello: ClientFrame = serde_json::from_str(&hello).unwrap();
    let welcome = Welcome {
        version: 1,
        session: SessionId::random(),
        resumed: false,
        user: testing::ana(),
        device_id: DeviceId::random(),
        calls: Vec::new(),
        heartbeat_ms: 25_000,
        server_time: Timestamp(0),
    };
    let outcome = Outcome::Ok(serde_json::to_value(welcome).unwrap());
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
