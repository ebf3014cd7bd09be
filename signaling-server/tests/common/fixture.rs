//! A server in this process on a free port with a database of its own, people in it, and a client that speaks
//! the raw protocol: tests see what is on the wire. Shared by this package's integration tests.

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use bedside_protocol::{
    CallId, ConversationId, DeviceId, EntryId, ErrorCode, Pii, Problem, Role, Secret, SessionId, UserId,
    conversation::{Append, Conversation, LogEntry},
    rest::{SignInRequest, SignedIn},
    socket::{Event, EventFrame, Outcome, ServerFrame, Welcome},
    user::DeviceInfo,
};
use bedside_server::{
    Config, RunningServer,
    accounts::{Accounts, NewUser},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, protocol::CloseFrame},
};

pub(crate) const PASSWORD: &str = "tulip anvil nine";

/// Nothing in these tests takes longer unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server with its folder.
pub(crate) struct Clinic {
    pub(crate) server: RunningServer,
    pub(crate) http: reqwest::Client,
    config: Config,
    folder: TempDir,
}

impl Clinic {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::for_tests(folder.path().join("test.db"));
        config.socket.presence_grace = Duration::ZERO;
        change(&mut config);
        let server = bedside_server::start(config.clone()).await.unwrap();
        Self { server, http: reqwest::Client::new(), config, folder }
    }

    /// A clinic whose archive is the account `archive`.
    pub(crate) async fn open_with_archive(change: impl FnOnce(&mut Config)) -> Self {
        let clinic = Self::open().await;
        clinic.add("archive", Role::Admin).await;
        let set = |config: &mut Config| {
            config.archive_user = Some("archive".to_owned());
            change(config);
        };
        clinic.restart_with(true, set).await
    }

    /// The same database under a new process: in good order, or as after a power cut.
    pub(crate) async fn restart(self, in_good_order: bool) -> Self {
        self.restart_with(in_good_order, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn restart_with(self, in_good_order: bool, change: impl FnOnce(&mut Config)) -> Self {
        let Self { server, http, mut config, folder } = self;
        change(&mut config);
        if in_good_order {
            server.shutdown().await;
        } else {
            server.kill().await;
        }
        let server = bedside_server::start(config.clone()).await.unwrap();
        Self { server, http, config, folder }
    }

    pub(crate) async fn close(self) {
        self.server.shutdown().await;
    }

    /// Where the bytes of attachments are.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.folder.path().join("uploads")
    }

    pub(crate) fn accounts(&self) -> Accounts {
        self.server.accounts()
    }

    pub(crate) async fn add(&self, login: &str, role: Role) -> UserId {
        let user = NewUser {
            login: login.into(),
            name: Pii::new(format!("{login} of the tests")),
            role,
            specialty: None,
            password: Secret::new(PASSWORD.to_owned()),
        };
        self.accounts().add(user).await.unwrap()
    }

    /// An account that is signed in on a new device.
    pub(crate) async fn person(&self, login: &str, role: Role) -> SignedIn {
        self.add(login, role).await;
        self.sign_in(login).await
    }

    pub(crate) async fn befriend(&self, one: &str, other: &str) {
        self.accounts().add_contact(one, other).await.unwrap();
    }

    /// A doctor and a patient who may talk.
    pub(crate) async fn doctor_and_patient(&self) -> (SignedIn, SignedIn) {
        let doctor = self.person("osei", Role::Clinician).await;
        let patient = self.person("ana", Role::Patient).await;
        self.befriend("osei", "ana").await;
        (doctor, patient)
    }

    /// A clinic with the two of them, each connected with one device.
    pub(crate) async fn online() -> (Self, [SignedIn; 2], [Socket; 2]) {
        let clinic = Self::open().await;
        let (doctor, patient) = clinic.doctor_and_patient().await;
        let sockets = [clinic.connect(&doctor).await, clinic.connect(&patient).await];
        (clinic, [doctor, patient], sockets)
    }

    pub(crate) async fn sign_in(&self, login: &str) -> SignedIn {
        let response = self.try_sign_in(login, PASSWORD, None).await;
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    pub(crate) async fn try_sign_in(
        &self,
        login: &str,
        password: &str,
        device: Option<DeviceId>,
    ) -> reqwest::Response {
        let request = SignInRequest {
            login: login.into(),
            password: Secret::new(password.to_owned()),
            device: DeviceInfo { id: device, name: Pii::from("a test"), device_type: Default::default() },
        };
        self.http.post(self.url("/api/auth/sign-in")).json(&request).send().await.unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    pub(crate) async fn get(&self, who: &SignedIn, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).bearer_auth(who.access_token.expose()).send().await.unwrap()
    }

    pub(crate) async fn post(&self, who: &SignedIn, path: &str, body: Value) -> reqwest::Response {
        self.http
            .post(self.url(path))
            .bearer_auth(who.access_token.expose())
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn put(&self, who: &SignedIn, path: &str, body: Value) -> reqwest::Response {
        self.http.put(self.url(path)).bearer_auth(who.access_token.expose()).json(&body).send().await.unwrap()
    }

    pub(crate) async fn patch(&self, who: &SignedIn, path: &str, body: Value) -> reqwest::Response {
        self.http
            .patch(self.url(path))
            .bearer_auth(who.access_token.expose())
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn delete(&self, who: &SignedIn, path: &str) -> reqwest::Response {
        self.http.delete(self.url(path)).bearer_auth(who.access_token.expose()).send().await.unwrap()
    }

    /// The direct conversation of two people, with a group.
    pub(crate) async fn conversation(&self, who: &SignedIn, with: UserId) -> ConversationId {
        let wish = json!({"kind": "direct", "participants": [with]});
        let response = self.post(who, "/api/conversations", wish).await;
        assert_eq!(response.status(), 200);
        let conversation: Conversation = response.json().await.unwrap();
        let info = crate::mls::group_info(conversation.id, 0, b"of the founder");
        let response = self.found(who, conversation.id, json!({"group_info": info})).await;
        assert_eq!(response.status(), 200);
        self.admit(conversation.id).await;
        conversation.id
    }

    pub(crate) async fn found(&self, who: &SignedIn, log: ConversationId, wish: Value) -> reqwest::Response {
        self.post(who, &format!("/api/conversations/{log}/found"), wish).await
    }

    /// Every device of the participants is in the group.
    async fn admit(&self, log: ConversationId) {
        let sql = "INSERT INTO conversation_members (conversation_id, device_id)
            SELECT p.conversation_id, d.id FROM conversation_participants p JOIN devices d ON d.user_id = p.user_id
            WHERE p.conversation_id = ?1 ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(log.0).execute(&self.server.app().db.write).await.unwrap();
    }

    /// A socket that has said hello.
    pub(crate) async fn connect(&self, who: &SignedIn) -> Socket {
        let mut socket = self.dial(who.access_token.expose()).await;
        socket.hello(None).await;
        socket
    }

    /// A socket that has said nothing yet.
    pub(crate) async fn dial(&self, token: &str) -> Socket {
        let mut request = format!("ws://{}/ws", self.server.addr()).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let (stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Socket { stream, next_id: 0, last_seq: 0, events: VecDeque::new() }
    }
}

/// The problem in an answer that is one.
pub(crate) async fn problem(response: reqwest::Response) -> Problem {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status().as_u16();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.status, status);
    problem
}

/// A device's end of the socket.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    pub(crate) last_seq: u64,
    events: VecDeque<Event>,
}

impl Socket {
    pub(crate) async fn hello(&mut self, resume: Option<(SessionId, u64)>) -> Welcome {
        let mut data = json!({"versions": [1]});
        if let Some((session, last_seq)) = resume {
            data["resume"] = json!({"session": session, "last_seq": last_seq});
            self.last_seq = last_seq;
        }
        serde_json::from_value(self.request("hello", data).await.unwrap()).unwrap()
    }

    /// Sends a request and waits for its answer; events in between are kept for [`Socket::event`].
    pub(crate) async fn request(&mut self, kind: &str, data: Value) -> Result<Value, Box<Problem>> {
        self.next_id += 1;
        let id = self.next_id;
        self.send_text(json!({"id": id, "type": kind, "data": data}).to_string()).await;
        let (re, outcome) = self.reply().await;
        assert_eq!(re, Some(id));
        match outcome {
            Outcome::Ok(value) => Ok(value),
            Outcome::Error(problem) => Err(problem),
        }
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// The next answer.
    pub(crate) async fn reply(&mut self) -> (Option<u64>, Outcome) {
        loop {
            match self.frame().await.expect("the socket closed before the answer") {
                ServerFrame::Reply(reply) => return (reply.re, reply.outcome),
                ServerFrame::Event(event) => self.keep(event),
            }
        }
    }

    /// The code of the next answer, which has to be an error.
    pub(crate) async fn error(&mut self) -> (Option<u64>, ErrorCode) {
        match self.reply().await {
            (re, Outcome::Error(problem)) => (re, problem.code),
            (re, Outcome::Ok(_)) => panic!("request {re:?} should have been refused"),
        }
    }

    /// The next event. Checks that numbers have no gap and no repetition.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            match self.frame().await.expect("the socket closed before the event") {
                ServerFrame::Event(event) => self.keep(event),
                ServerFrame::Reply(reply) => panic!("an answer to nothing: {reply:?}"),
            }
        }
    }

    /// The next event that `pick` wants; others are dropped.
    pub(crate) async fn event_where<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(&self.event().await) {
                return found;
            }
        }
    }

    /// Events that have arrived by the time the server has answered a ping.
    pub(crate) async fn events_so_far(&mut self) -> Vec<Event> {
        self.request("ping", json!({"last_seq": 0})).await.unwrap();
        self.events.drain(..).collect()
    }

    /// How the server closes the socket; `None` when it is gone without a word.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("the socket stayed open") {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(Message::Text(text))) => {
                    if let Ok(ServerFrame::Event(event)) = serde_json::from_str(&text) {
                        self.keep(event);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The close code the server sends.
    pub(crate) async fn close_code(&mut self) -> u16 {
        self.closed().await.expect("a close frame").code.into()
    }

    pub(crate) async fn say_goodbye(mut self) {
        use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = self.stream.close(Some(frame)).await;
        while let Some(Ok(_)) = self.stream.next().await {}
    }

    fn keep(&mut self, frame: EventFrame) {
        assert_eq!(frame.seq, self.last_seq + 1, "an event was lost or came twice");
        self.last_seq = frame.seq;
        self.events.push_back(frame.event);
    }

    async fn frame(&mut self) -> Option<ServerFrame> {
        loop {
            match tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("nothing came") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}

/// An entry for a log.
pub(crate) fn entry(conversation_id: ConversationId, epoch: u64, body: &[u8]) -> Append {
    Append {
        conversation_id,
        id: EntryId::random(),
        epoch,
        next_position: 0,
        body: crate::mls::private(conversation_id, epoch, crate::mls::Content::Application, body),
        message_type: Default::default(),
        call_id: None,
        room_token: None,
    }
}

/// The entry of a log that an event brings.
pub(crate) fn log_entry(event: &Event) -> Option<LogEntry> {
    event.log_entry().cloned()
}

/// Ids for events that tests make up.
pub(crate) fn some_call() -> CallId {
    CallId::random()
}
