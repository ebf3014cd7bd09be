//! The task behind [`super::Socket`]: one connection at a time, for as long as somebody is signed in.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bedside_call::reconnect::{NextTry, Reconnect};
use bedside_protocol::{
    ErrorCode, MAX_FRAME_BYTES, PROTOCOL_VERSIONS, Problem,
    socket::{ClientFrame, Event, Hello, Outcome, Pong, Reply, Request, Resume, ServerFrame, Welcome},
};
use bedside_ui_contract::{Failure, snapshot::ConnectionView};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self, Message, client::IntoClientRequest, http::header::AUTHORIZATION, protocol::WebSocketConfig,
    },
};
use tokio_util::sync::CancellationToken;

use super::{Ask, SocketError, SocketEvent, WAITING_REQUESTS};
use crate::{
    api::{Api, bearer},
    clock::ServerClock,
};

/// Without a frame from the server for this long the line is dead.
const DEAD_AFTER: Duration = Duration::from_secs(60);
/// A sign-in that is in use does not run out: it is renewed this often, though the line itself needs no new token.
const RENEWED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an answer may take after the network changed.
const PROBE: Duration = Duration::from_secs(3);

/// Connecting and `hello` take no longer than this, or it is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest message that is read; a server that means well sends no longer one.
const LONGEST_FRAME_BYTES: usize = 2 * MAX_FRAME_BYTES;

/// The shortest pause that a server which goes away may ask for.
const SHORTEST_AWAY: Duration = Duration::from_millis(500);

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What is kept from one connection to the next.
struct Line {
    api: Api,
    events: mpsc::Sender<SocketEvent>,
    resume: Option<Resume>,
    clock: ServerClock,
    /// The newest ping and when it was sent.
    pinged: Option<(u64, Instant)>,
    /// The program ends: what waits is still sent.
    closing: CancellationToken,
    next_id: u64,
    /// Asked and not answered, by id. Those that may be repeated are sent again on the next connection.
    unanswered: BTreeMap<u64, Ask>,
    /// Not sent yet.
    unsent: VecDeque<Ask>,
}

/// Why a connection ended.
enum Lost {
    /// Try again after the pause that the policy gives.
    Retry,
    /// The server goes away for a moment and says for how long.
    RetryAfter(Duration),
    /// Server and app don't understand each other.
    UnsupportedVersion,
    /// The sign-in is over.
    SignedOut,
    /// Nobody listens any more.
    Closed,
}

/// What the pause before the next attempt ended with.
enum Waited {
    /// It passed.
    TimePassed,
    /// The network changed or the person asked: all attempts are made anew.
    Woken,
    /// Nobody holds the socket any more.
    Abandoned,
}

pub(super) async fn run(
    api: Api,
    mut asks: mpsc::Receiver<Ask>,
    wake: Arc<Notify>,
    closing: CancellationToken,
    events: mpsc::Sender<SocketEvent>,
    clock: ServerClock,
    seed: u64,
) {
    let mut line = Line {
        api,
        events,
        clock,
        pinged: None,
        closing,
        resume: None,
        next_id: 1,
        unanswered: BTreeMap::new(),
        unsent: VecDeque::new(),
    };
    let mut policy = Reconnect::new(seed);
    // The person is asked: what is tried meanwhile is shown only when it succeeds.
    let mut asked = false;
    loop {
        if !asked {
            line.state(ConnectionView::Connecting).await;
        }
        let lost = match line.connect().await {
            Ok((stream, welcome)) => {
                policy.succeeded();
                line.serve(stream, welcome, &mut asks, &wake).await
            }
            Err(lost) => lost,
        };
        line.drop_unrepeatable();
        let (pause, state) = match lost {
            Lost::Retry => match policy.failed() {
                NextTry::After(pause) => waiting(pause, policy.attempts()),
                NextTry::Ask(pause) => (Some(pause), ConnectionView::GaveUp),
            },
            Lost::RetryAfter(pause) => waiting(pause, policy.attempts()),
            Lost::UnsupportedVersion => (None, ConnectionView::UnsupportedVersion),
            Lost::SignedOut => {
                let _ = line.events.send(SocketEvent::SignedOut).await;
                return;
            }
            Lost::Closed => return,
        };
        let given_up = state == ConnectionView::GaveUp;
        if !(asked && given_up) {
            line.state(state).await;
        }
        asked = given_up;
        match line.wait(pause, &mut asks, &wake).await {
            Waited::TimePassed => {}
            Waited::Woken => {
                policy.network_changed();
                asked = false;
            }
            Waited::Abandoned => return,
        }
    }
}

/// The next attempt comes by itself after `pause`.
fn waiting(pause: Duration, attempt: u32) -> (Option<Duration>, ConnectionView) {
    let retry_at = crate::clock::now().plus_millis(u64::try_from(pause.as_millis()).unwrap_or(0));
    (Some(pause), ConnectionView::Waiting { retry_at, attempt })
}

impl Line {
    async fn state(&self, state: ConnectionView) {
        let _ = self.events.send(SocketEvent::State(state)).await;
    }

    /// Waits for the next attempt; `None` until somebody asks for it.
    async fn wait(
        &mut self,
        pause: Option<Duration>,
        asks: &mut mpsc::Receiver<Ask>,
        wake: &Notify,
    ) -> Waited {
        let until = Instant::now() + pause.unwrap_or(Duration::from_secs(60 * 60 * 24 * 365));
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Waited::TimePassed,
                () = wake.notified() => return Waited::Woken,
                () = self.closing.cancelled() => return Waited::Abandoned,
                ask = asks.recv() => match ask {
                    Some(ask) if is_repeatable(&ask.request) && self.has_room() => self.unsent.push_back(ask),
                    Some(ask) => refuse(ask, SocketError::Offline),
                    None => return Waited::Abandoned,
                },
            }
        }
    }

    async fn connect(&mut self) -> Result<(Stream, Welcome), Lost> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(Lost::Retry),
        }
    }

    async fn open(&mut self) -> Result<(Stream, Welcome), Lost> {
        let token = self
            .api
            .access_token()
            .await
            .map_err(|error| if error.ends_sign_in() { Lost::SignedOut } else { Lost::Retry })?;
        let mut request = self.api.socket_url().into_client_request().map_err(|_| Lost::Retry)?;
        request.headers_mut().insert(AUTHORIZATION, bearer(&token));
        let limits = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_FRAME_BYTES))
            .max_frame_size(Some(LONGEST_FRAME_BYTES));
        let connected = tokio_tungstenite::connect_async_with_config(request, Some(limits), true).await;
        let (mut stream, _) = match connected {
            Ok(connected) => connected,
            Err(tungstenite::Error::Http(response)) if response.status().as_u16() == 401 => {
                // The token was revoked or the server's clock differs: the refresh decides which.
                self.api.expire_access_token().await;
                return Err(Lost::Retry);
            }
            Err(_) => return Err(Lost::Retry),
        };
        let hello = Request::Hello(Hello { versions: PROTOCOL_VERSIONS.to_vec(), resume: self.resume });
        let id = self.take_id();
        let asked = Instant::now();
        stream.send(frame(id, hello)).await.map_err(|_| Lost::Retry)?;
        while let Some(Ok(message)) = stream.next().await {
            let Some(ServerFrame::Reply(Reply { re, outcome })) = read(&message) else { continue };
            if re != Some(id) {
                continue;
            }
            return match outcome {
                Outcome::Ok(value) => match serde_json::from_value::<Welcome>(value) {
                    Ok(welcome) => {
                        self.clock.heard(welcome.server_time, asked, Instant::now());
                        Ok((stream, welcome))
                    }
                    Err(_) => Err(Lost::UnsupportedVersion),
                },
                Outcome::Error(problem) => Err(refused(problem.code)),
            };
        }
        Err(Lost::Retry)
    }

    async fn serve(
        &mut self,
        stream: Stream,
        welcome: Welcome,
        asks: &mut mpsc::Receiver<Ask>,
        wake: &Notify,
    ) -> Lost {
        let (mut sink, mut incoming) = stream.split();
        let mut last_seq = match self.resume {
            Some(resume) if welcome.resumed => resume.last_seq,
            _ => 0,
        };
        let session = welcome.session;
        self.resume = Some(Resume { session, last_seq });
        let mut heartbeat =
            tokio::time::interval(Duration::from_millis(welcome.heartbeat_ms.clamp(1_000, 60_000)));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut renewal = tokio::time::interval(RENEWED_EVERY);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewal.reset();
        if self.events.send(SocketEvent::Up(Box::new(welcome))).await.is_err() {
            return Lost::Closed;
        }
        self.state(ConnectionView::Online).await;
        let again: Vec<Ask> = std::mem::take(&mut self.unanswered).into_values().collect();
        for ask in again.into_iter().rev() {
            self.unsent.push_front(ask);
        }
        let mut dead_at = Instant::now() + DEAD_AFTER;
        let closing = self.closing.clone();
        loop {
            while let Some(ask) = self.unsent.pop_front() {
                if ask.is_given_up() {
                    continue;
                }
                // A dead path takes nothing once its buffers are full.
                let sent = tokio::time::timeout(DEAD_AFTER, sink.send(self.register(ask))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return Lost::Retry;
                }
            }
            tokio::select! {
                message = incoming.next() => {
                    let Some(Ok(message)) = message else { return Lost::Retry };
                    dead_at = Instant::now() + DEAD_AFTER;
                    match read(&message) {
                        Some(ServerFrame::Reply(reply)) => self.answered(reply),
                        Some(ServerFrame::Event(event)) if event.seq > last_seq => {
                            last_seq = event.seq;
                            self.resume = Some(Resume { session, last_seq });
                            if let Event::GoingAway { retry_after_ms } = event.event {
                                let pause = Duration::from_millis(retry_after_ms.min(30_000));
                                return Lost::RetryAfter(pause.max(SHORTEST_AWAY));
                            }
                            if self.events.send(SocketEvent::Event(Box::new(event.event))).await.is_err() {
                                return Lost::Closed;
                            }
                        }
                        Some(ServerFrame::Event(_)) | None => {}
                    }
                }
                // Who answers nothing is not asked for ever.
                ask = asks.recv(), if self.has_room() => match ask {
                    Some(ask) => self.unsent.push_back(ask),
                    None => {
                        let _ = sink.close().await;
                        return Lost::Closed;
                    }
                },
                // On another network the old path may lead nowhere, and nothing would tell of it for long.
                () = wake.notified() => {
                    self.unsent.push_back(Ask { request: Request::Ping { last_seq }, answer: None });
                    dead_at = dead_at.min(Instant::now() + PROBE);
                }
                // What was asked before still comes, and then nothing.
                () = closing.cancelled(), if !asks.is_closed() => asks.close(),
                _ = heartbeat.tick() => {
                    self.unsent.push_back(Ask { request: Request::Ping { last_seq }, answer: None });
                }
                _ = renewal.tick() => {
                    let api = self.api.clone();
                    tokio::spawn(async move {
                        if let Err(error) = api.renew().await {
                            tracing::debug!(%error, "the sign-in could not be renewed");
                        }
                    });
                }
                () = tokio::time::sleep_until(dead_at) => return Lost::Retry,
            }
        }
    }

    /// Whether one more may be on its way.
    fn has_room(&self) -> bool {
        self.unsent.len() + self.unanswered.len() < WAITING_REQUESTS
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn register(&mut self, ask: Ask) -> Message {
        let id = self.take_id();
        if matches!(ask.request, Request::Ping { .. }) {
            self.pinged = Some((id, Instant::now()));
        }
        let message = frame(id, ask.request.clone());
        self.unanswered.insert(id, ask);
        message
    }

    /// A ping is answered with the time.
    fn learn_time(&mut self, reply: &Reply) {
        let Some((_, asked)) = self.pinged.take_if(|(id, _)| reply.re == Some(*id)) else { return };
        let Outcome::Ok(value) = &reply.outcome else { return };
        if let Ok(Pong { server_time }) = serde_json::from_value(value.clone()) {
            self.clock.heard(server_time, asked, Instant::now());
        }
    }

    fn answered(&mut self, reply: Reply) {
        self.learn_time(&reply);
        let Some(ask) = reply.re.and_then(|id| self.unanswered.remove(&id)) else { return };
        let outcome = match reply.outcome {
            Outcome::Ok(value) => Ok(value),
            Outcome::Error(problem) => {
                tracing::debug!(code = problem.code.as_str(), "the server refused a request");
                Err(SocketError::Refused(problem))
            }
        };
        if let Some(answer) = ask.answer {
            let _ = answer.send(outcome);
        }
    }

    /// A lost connection leaves unanswered requests in doubt: what may be repeated waits, the rest fails.
    fn drop_unrepeatable(&mut self) {
        let (repeat, refuse_now): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unanswered)
            .into_iter()
            .partition(|(_, ask)| is_repeatable(&ask.request));
        self.unanswered = repeat.into_iter().collect();
        for (_, ask) in refuse_now {
            refuse(ask, SocketError::Offline);
        }
    }
}

/// What follows when the server answers `hello` with a problem.
fn refused(code: ErrorCode) -> Lost {
    tracing::info!(code = code.as_str(), "the server refuses the line");
    if crate::api::failure_of(code) == Failure::UnsupportedVersion {
        Lost::UnsupportedVersion
    } else {
        Lost::Retry
    }
}

/// Whether doing it twice is the same as doing it once.
fn is_repeatable(request: &Request) -> bool {
    match request {
        Request::AcceptCall { .. }
        | Request::DeclineCall { .. }
        | Request::HangupCall { .. }
        | Request::ExtendCall { .. }
        | Request::CallMedia { .. }
        | Request::SwitchType { .. }
        | Request::UpdatePresence(_) => true,
        Request::Hello(_) | Request::Ping { .. } | Request::InitiateCall(_) => false,
        // Whoever sends these looks at the log first, and then sends what it does not have.
        Request::Offer(_)
        | Request::Answer(_)
        | Request::Ice(_)
        | Request::ChatMessage(_)
        | Request::ChatDelivered(_)
        | Request::ChatRead(_)
        | Request::ChatTyping(_)
        | Request::ChatAck(_) => false,
    }
}

fn refuse(ask: Ask, error: SocketError) {
    if let Some(answer) = ask.answer {
        let _ = answer.send(Err(error));
    }
}

fn frame(id: u64, request: Request) -> Message {
    let text = serde_json::to_string(&ClientFrame { id, request }).unwrap_or_default();
    Message::text(text)
}

/// A frame of the server, or nothing where it is none: a newer server may send events this build does not know.
fn read(message: &Message) -> Option<ServerFrame> {
    let Message::Text(text) = message else { return None };
    match serde_json::from_str(text.as_str()) {
        Ok(frame) => Some(frame),
        Err(_) => unreadable_reply(text.as_str()),
    }
}

/// A reply of an unknown shape still answers its request; an event of an unknown type is passed over.
fn unreadable_reply(text: &str) -> Option<ServerFrame> {
    tracing::debug!("a frame of an unknown type was passed over");
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let re = value.get("re")?.as_u64()?;
    let problem = Problem::new(ErrorCode::Unknown);
    Some(ServerFrame::Reply(Reply { re: Some(re), outcome: Outcome::Error(Box::new(problem)) }))
}
