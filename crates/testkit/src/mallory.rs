//! A server that is not to be trusted, in front of one that is: everything passes through it, and a test says what of it
//! is changed, withheld, repeated or invented.
//!
//! Somebody whose app signs in at [`Mallory::url`] has the server that Mallory makes of it. Each victim has a Mallory of
//! their own, so that two of them can be told different things. Logs are renumbered, so that what is withheld leaves no
//! gap and what is put in pushes nothing out of its place: an app that looks at positions alone notices nothing. Nobody
//! resumes a session here; whoever comes back fetches everything anew, which is where a server can lie most.

mod line;
mod script;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use bedside_protocol::{ConversationId, conversation::LogEntry, socket::Event};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task::JoinHandle,
};

use crate::clinic::Clinic;
use script::{Script, conversation_in};

/// The longest body that passes, bytes.
const LONGEST: usize = 64 * 1024 * 1024;

/// What an app's connections hear beside what the server says.
#[derive(Clone, Debug)]
enum Word {
    /// An event, without its number.
    Say(Box<Value>),
    /// A frame as it is, sense or nonsense.
    Raw(String),
    /// The connection ends.
    Cut,
}

/// The server in between. It stops when it is dropped.
pub struct Mallory {
    shared: Arc<Shared>,
    url: String,
    server: JoinHandle<()>,
}

struct Shared {
    /// `127.0.0.1:4711`.
    upstream: String,
    http: reqwest::Client,
    script: Mutex<Script>,
    words: broadcast::Sender<Word>,
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mallory {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Mallory {
    /// Stands before a clinic's server.
    ///
    /// # Panics
    /// When there is no port on loopback.
    pub async fn before(clinic: &Clinic) -> Self {
        let upstream = clinic.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (words, _) = broadcast::channel(4096);
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let shared = Arc::new(Shared { upstream, http, script: Mutex::default(), words });
        let router = Router::new().route("/ws", any(line::open)).fallback(pass).with_state(shared.clone());
        let server = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Self { shared, url, server }
    }

    /// Where apps sign in.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// What becomes of each entry of each log: it as it is, something else, nothing, more. Positions are Mallory's.
    pub fn twist_log(&self, twist: impl FnMut(LogEntry) -> Vec<LogEntry> + Send + 'static) {
        self.shared.script().log = Some(Box::new(twist));
    }

    /// What becomes of each event that is no entry of a log; `{"type": …, "data": …}`.
    pub fn twist_events(&self, twist: impl FnMut(Value) -> Vec<Value> + Send + 'static) {
        self.shared.script().events = Some(Box::new(twist));
    }

    /// What becomes of each frame of the app; `None` withholds it.
    pub fn twist_frames(&self, twist: impl FnMut(Value) -> Option<Value> + Send + 'static) {
        self.shared.script().frames = Some(Box::new(twist));
    }

    /// What becomes of each good answer to a request, by the request's path.
    pub fn twist_answers(&self, twist: impl FnMut(&str, Value) -> Value + Send + 'static) {
        self.shared.script().answers = Some(Box::new(twist));
    }

    /// What becomes of good answers that are no JSON: files. By the request's path.
    pub fn twist_bytes(&self, twist: impl FnMut(&str, Vec<u8>) -> Vec<u8> + Send + 'static) {
        self.shared.script().bytes = Some(Box::new(twist));
    }

    /// Answers requests in the server's place, where this gives an answer: by method, path and body.
    pub fn answer_instead(
        &self,
        answer: impl FnMut(&Method, &str, &Value) -> Option<(u16, Value)> + Send + 'static,
    ) {
        self.shared.script().instead = Some(Box::new(answer));
    }

    /// From now on everything passes as it is. What was told stays told.
    pub fn behave(&self) {
        let mut script = self.shared.script();
        script.log = None;
        script.events = None;
        script.frames = None;
        script.answers = None;
        script.bytes = None;
        script.instead = None;
    }

    /// Tells an event.
    ///
    /// # Panics
    /// Never: events can be written.
    pub fn say(&self, event: &Event) {
        self.voice()(event);
    }

    /// Tells something in an event's place; `{"type": …, "data": …}`.
    pub fn say_json(&self, event: Value) {
        // Nobody may be connected.
        let _ = self.shared.words.send(Word::Say(Box::new(event)));
    }

    /// Tells events from within a twist.
    pub fn voice(&self) -> impl Fn(&Event) + Send + 'static {
        let words = self.shared.words.clone();
        move |event| {
            let event = serde_json::to_value(event).expect("an event");
            let _ = words.send(Word::Say(Box::new(event)));
        }
    }

    /// Sends a frame that is no event.
    pub fn say_raw(&self, text: &str) {
        let _ = self.shared.words.send(Word::Raw(text.to_owned()));
    }

    /// Puts an entry at the end of a log and tells it.
    pub fn append(&self, entry: LogEntry) {
        let entry = self.shared.script().put(entry);
        self.say(&Event::of_entry(entry));
    }

    /// Tells the newest entry of a conversation once more, so that the app looks at its log.
    pub fn nudge(&self, conversation: &str) {
        if let Some(mut entry) = self.told(conversation).pop() {
            entry.body = None;
            self.say(&Event::of_entry(entry));
        }
    }

    /// Everything that the server wrote into a conversation's log, as far as it passed here.
    #[must_use]
    pub fn genuine(&self, conversation: &str) -> Vec<LogEntry> {
        let script = self.shared.script();
        script
            .genuine
            .iter()
            .filter(|entry| entry.conversation_id.to_string() == conversation)
            .cloned()
            .collect()
    }

    /// The log of a conversation as the app was told it.
    #[must_use]
    pub fn told(&self, conversation: &str) -> Vec<LogEntry> {
        self.shared.script().told(conversation)
    }

    /// Tells nothing of what comes into any log, until [`Mallory::release`].
    pub fn hold(&self) {
        self.shared.script().held.get_or_insert_default();
    }

    /// Tells what was held back, in order, and from then on everything as it comes.
    pub fn release(&self) {
        let held = self.shared.script().held.take();
        for entry in held.into_iter().flatten() {
            self.append(entry);
        }
    }

    /// Never answers requests whose path holds this. What it returns tells how many wait for an answer.
    #[must_use]
    pub fn keep_back(&self, path: &str) -> watch::Receiver<u32> {
        let (waiting, watched) = watch::channel(0);
        self.shared.script().kept_back = Some((path.to_owned(), waiting));
        watched
    }

    /// Ends the app's connections; it comes back by itself.
    pub fn cut(&self) {
        let _ = self.shared.words.send(Word::Cut);
    }

    /// Answers nothing any more, or does again.
    pub fn go_away(&self, away: bool) {
        self.shared.script().away = away;
        if away {
            self.cut();
        }
    }

    /// How many requests were made to paths that hold this.
    #[must_use]
    pub fn asked(&self, path: &str) -> usize {
        self.shared.script().asked.iter().filter(|asked| asked.contains(path)).count()
    }
}

/// One request to the server and back.
async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LONGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let asked = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let instead = {
        let mut script = shared.script();
        if script.away {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        script.asked.push(format!("{} {path}", parts.method));
        script.instead.as_mut().and_then(|answer| answer(&parts.method, &path, &asked))
    };
    if let Some((status, value)) = instead {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return (status, axum::Json(value)).into_response();
    }
    let conversation = conversation_in(&path);
    if let Some((id, from)) =
        conversation.filter(|_| parts.method == Method::GET && path.contains("/messages?"))
    {
        return log(&shared, &parts.headers, id, from).await;
    }
    let kept_back = shared.script().keeps_back(&path);
    if let Some(_waiting) = kept_back {
        std::future::pending::<()>().await;
    }
    match fetch(&shared, parts.method, &path, &parts.headers, body).await {
        Some((status, headers, answer)) => {
            let answer = match serde_json::from_slice(&answer) {
                Ok(value) if status.is_success() => {
                    let value = shared.script().answered(&path, conversation.map(|(id, _)| id), value);
                    Bytes::from(value.to_string())
                }
                Err(_) if status.is_success() => match shared.script().bytes.as_mut() {
                    Some(twist) => twist(&path, answer.into()).into(),
                    None => answer,
                },
                _ => answer,
            };
            let mut response = Response::new(Body::from(answer));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// A stretch of a log, as it is told.
async fn log(shared: &Shared, headers: &HeaderMap, id: ConversationId, from: u64) -> Response {
    let next = shared.script().next_real(id, from);
    let path = format!("/api/conversations/{id}/messages?from={next}&page=1&per_page=100");
    let Some((status, headers, body)) = fetch(shared, Method::GET, &path, headers, Bytes::new()).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if !status.is_success() {
        return (status, headers, body).into_response();
    }
    let mut page: Value = serde_json::from_slice(&body).unwrap_or_default();
    let real: Vec<LogEntry> = page
        .get_mut("items")
        .map(Value::take)
        .and_then(|items| serde_json::from_value(items).ok())
        .unwrap_or_default();
    let mut script = shared.script();
    for entry in real {
        let _ = script.entry(entry);
    }
    page["items"] = serde_json::to_value(script.stretch(id, from)).unwrap_or_default();
    let page = match script.answers.as_mut() {
        Some(twist) => twist(&path, page),
        None => page,
    };
    axum::Json(page).into_response()
}

async fn fetch(
    shared: &Shared,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Option<(StatusCode, HeaderMap, Bytes)> {
    let mut request = shared.http.request(method, format!("http://{}{path}", shared.upstream)).body(body);
    for (name, value) in headers {
        if ![header::HOST, header::CONTENT_LENGTH, header::CONNECTION].contains(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.ok()?;
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for of_the_line in [header::CONTENT_LENGTH, header::CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(of_the_line);
    }
    Some((status, headers, answer.bytes().await.ok()?))
}
