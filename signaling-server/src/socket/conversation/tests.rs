//! The clockwork of a socket, in virtual time, against a client made of channels.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bedside_protocol::{DeviceId, DeviceType, Pii, Role, UserId, socket::Event};
use tokio::{sync::mpsc, task::JoinHandle};

use super::*;
use crate::config::Config;

/// The server's end of a socket whose client is a test.
struct Wire {
    incoming: mpsc::UnboundedReceiver<Message>,
    outgoing: mpsc::UnboundedSender<Message>,
    /// How many messages the client still takes.
    room: Arc<AtomicUsize>,
}

impl Stream for Wire {
    type Item = Result<Message, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(cx).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for Wire {
    type Error = axum::Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        if self.room.load(Ordering::Relaxed) == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), axum::Error> {
        self.room.fetch_sub(1, Ordering::Relaxed);
        self.outgoing.send(message).map_err(|_| axum::Error::new(std::io::Error::other("gone")))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<&'static str>>>);

impl Recorder {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn notes(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

impl Backend for Recorder {
    async fn profile(&self, who: &Identity) -> Result<UserProfile, Fault> {
        Ok(UserProfile { id: who.user, name: Pii::from("Ana"), role: who.role, specialty: None })
    }

    async fn live_calls(&self, _: &Identity) -> Vec<CallRecord> {
        Vec::new()
    }

    fn connected(&self, _: &Identity, resumed: bool) {
        self.note(if resumed { "resumed" } else { "connected" });
    }

    fn disconnected(&self, _: &Identity, said_goodbye: bool) {
        self.note(if said_goodbye { "goodbye" } else { "lost" });
    }

    fn heard(&self, _: &Identity) {}

    async fn handle(&self, _: &Identity, _: Request) -> Result<Value, Fault> {
        Ok(Value::Null)
    }
}

fn somebody() -> Identity {
    Identity {
        user: UserId::random(),
        device: DeviceId::random(),
        device_type: DeviceType::Desktop,
        sign_in: SessionId::random(),
        role: Role::Patient,
    }
}

struct Client {
    who: Identity,
    hub: Hub,
    backend: Recorder,
    to_server: mpsc::UnboundedSender<Message>,
    from_server: mpsc::UnboundedReceiver<Message>,
    room: Arc<AtomicUsize>,
    _task: JoinHandle<()>,
}

impl Client {
    fn dial() -> Self {
        let who = somebody();
        let config = Config::new("unused");
        let rules = Rules { timing: config.socket, limits: config.limits };
        let (hub, backend, room) =
            (Hub::default(), Recorder::default(), Arc::new(AtomicUsize::new(usize::MAX)));
        let (to_server, incoming) = mpsc::unbounded_channel();
        let (outgoing, from_server) = mpsc::unbounded_channel();
        let wire = Wire { incoming, outgoing, room: Arc::clone(&room) };
        let task = tokio::spawn(run(wire, who, hub.clone(), rules, backend.clone()));
        Self { who, hub, backend, to_server, from_server, room, _task: task }
    }

    async fn welcomed() -> Self {
        let mut client = Self::dial();
        client.say(r#"{"id":1,"type":"hello","data":{"versions":[1]}}"#);
        assert!(matches!(client.from_server.recv().await, Some(Message::Text(_))));
        client
    }

    fn say(&self, text: &str) {
        self.to_server.send(Message::Text(text.into())).unwrap();
    }

    /// The code with which the server closes; what comes before is dropped.
    async fn close_code(&mut self) -> Option<u16> {
        while let Some(message) = self.from_server.recv().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| frame.code);
            }
        }
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pings_stays_for_as_long_as_it_likes() {
    let mut client = Client::welcomed().await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(25)).await;
        client.say(r#"{"id":2,"type":"ping","data":{"last_seq":0}}"#);
        assert!(matches!(client.from_server.recv().await, Some(Message::Text(_))));
    }
    assert_eq!(client.backend.notes(), ["connected"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_dead_after_a_minute_and_not_before() {
    let mut client = Client::welcomed().await;
    let began = Instant::now();
    assert_eq!(client.close_code().await, Some(close_code::SILENT));
    assert_eq!(began.elapsed().as_secs(), 60);
    assert_eq!(client.backend.notes(), ["connected", "lost"]);
    assert_eq!(client.hub.known_devices(client.who.user), [client.who.device], "it can still resume");
    assert!(!client.hub.is_connected(client.who.user, client.who.device));
}

#[tokio::test(start_paused = true)]
async fn who_never_says_hello_is_sent_away() {
    let mut client = Client::dial();
    client.say(r#"{"id":1,"type":"ping","data":{"last_seq":0}}"#);
    let began = Instant::now();
    assert_eq!(client.close_code().await, Some(close_code::NO_HELLO));
    assert_eq!(began.elapsed().as_secs(), 10);
    assert!(client.backend.notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off_and_its_session_waits() {
    let client = Client::welcomed().await;
    client.room.store(0, Ordering::Relaxed);
    client.hub.send_to_user(client.who.user, &Event::ContactsChanged);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(client.backend.notes(), ["connected", "lost"]);
    assert_eq!(client.hub.known_devices(client.who.user), [client.who.device]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_events_cuts_off_a_slow_reader_before_memory_fills() {
    let mut client = Client::welcomed().await;
    for _ in 0..600 {
        client.hub.send_to_user(client.who.user, &Event::ContactsChanged);
    }
    assert_eq!(client.close_code().await, Some(close_code::TOO_SLOW));
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_ends_the_session_and_a_lost_connection_does_not() {
    let client = Client::welcomed().await;
    client.to_server.send(Message::Close(Some(CloseFrame { code: 1000, reason: "".into() }))).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(client.backend.notes(), ["connected", "goodbye"]);
    assert!(client.hub.known_devices(client.who.user).is_empty());

    let mut client = Client::welcomed().await;
    client.hub.end_sign_in(client.who.sign_in);
    assert_eq!(client.close_code().await, Some(close_code::SIGNED_OUT));
    assert!(client.hub.known_devices(client.who.user).is_empty(), "nobody resumes what was signed out");
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_shouting_is_sent_away() {
    let mut client = Client::welcomed().await;
    for _ in 0..800 {
        client.say("{");
    }
    assert_eq!(client.close_code().await, Some(close_code::TOO_LOUD));
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_socket_is_forgotten_after_its_retention() {
    let client = Client::welcomed().await;
    drop(client.to_server);
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.hub.sweep(Duration::from_secs(300));
    assert_eq!(client.hub.known_devices(client.who.user).len(), 1);
    tokio::time::sleep(Duration::from_secs(300)).await;
    client.hub.sweep(Duration::from_secs(300));
    assert!(client.hub.known_devices(client.who.user).is_empty());
}

#[test]
fn a_device_that_comes_back_while_its_loss_is_told_is_there_in_the_end() {
    let (hub, who, told) = (Hub::default(), somebody(), Recorder::default());
    let Attached { link, .. } = hub.attach(who, None, |_| told.note("there"));
    let (came_back, back) = std::sync::mpsc::channel();
    link.detach(false, || {
        let (hub, told_back) = (hub.clone(), told.clone());
        std::thread::spawn(move || {
            let attached = hub.attach(who, None, |_| told_back.note("back"));
            came_back.send(attached).unwrap();
        });
        // It can't be back before this ends, however long that is waited for.
        assert!(back.recv_timeout(Duration::from_millis(50)).is_err());
        told.note("gone");
    });
    let _open = back.recv().unwrap();
    assert_eq!(told.notes(), ["there", "gone", "back"]);
    assert!(hub.is_connected(who.user, who.device));
}
