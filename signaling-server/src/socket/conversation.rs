//! One socket from hello to close: reads requests, answers them in order, sends events, and ends the connection
//! when it is silent, too slow, too loud, replaced or signed out.
//!
//! Works on anything that sends and receives WebSocket messages, so that its clockwork is tested in virtual time.

use axum::extract::ws::{CloseFrame, Message};
use bedside_call::rate::TokenBucket;
use bedside_protocol::{
    ErrorCode, MAX_FRAME_BYTES, PROTOCOL_VERSIONS, Problem, SessionId,
    call::CallRecord,
    socket::{ClientFrame, Hello, Outcome, Reply, Request, Resume, Welcome, parse_client_frame},
    user::UserProfile,
};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::{
    clock,
    config::{RateLimits, SocketTiming},
    fault::Fault,
    hub::{Attached, CloseReason, Hub, Link, Next},
    identity::Identity,
    limits::limited,
    socket::to_value,
};

/// Refused messages in a row after which a client that does not slow down is disconnected.
const MAX_REFUSALS: u32 = 500;

/// Close codes of Bedside's own (RFC 6455 §7.4.2 leaves 4000–4999 to applications).
pub mod close_code {
    /// The same device opened another socket.
    pub const REPLACED: u16 = 4000;
    /// The sign-in was ended: sign in again.
    pub const SIGNED_OUT: u16 = 4001;
    /// No hello, or none that could be served.
    pub const NO_HELLO: u16 = 4002;
    /// Nothing was heard for too long.
    pub const SILENT: u16 = 4003;
    /// Events were not read fast enough; resume.
    pub const TOO_SLOW: u16 = 4004;
    /// Far too many messages.
    pub const TOO_LOUD: u16 = 4005;
    /// The server goes away (RFC 6455 §7.4.1).
    pub const GOING_AWAY: u16 = 1001;
    /// A message beyond any limit (RFC 6455 §7.4.1).
    pub const TOO_BIG: u16 = 1009;
}

/// How patient the server is with a socket.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Heartbeat and time-outs.
    pub timing: SocketTiming,
    /// The token bucket.
    pub limits: RateLimits,
}

/// What a conversation needs of the rest of the server.
pub trait Backend: Send + Sync {
    /// The public face of who is signed in.
    fn profile(&self, who: &Identity) -> impl Future<Output = Result<UserProfile, Fault>> + Send;
    /// Their calls that are not over.
    fn live_calls(&self, who: &Identity) -> impl Future<Output = Vec<CallRecord>> + Send;
    /// The device has a socket. This and [`Backend::disconnected`] are called in the order in which it came about.
    fn connected(&self, who: &Identity, resumed: bool);
    /// The device has none any more.
    fn disconnected(&self, who: &Identity, said_goodbye: bool);
    /// Something arrived.
    fn heard(&self, who: &Identity);
    /// Serves a request; the answer's `data`.
    fn handle(&self, who: &Identity, request: Request) -> impl Future<Output = Result<Value, Fault>> + Send;
}

/// Why a conversation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it in good order: it does not come back to this session.
    Goodbye,
    /// The connection is gone without a word.
    Lost,
    /// The server closes it with this code.
    Close(u16),
}

/// A hello that can be served.
struct Greeting {
    id: u64,
    version: u16,
    resume: Option<Resume>,
    user: UserProfile,
}

struct Conversation<S, B> {
    socket: S,
    who: Identity,
    rules: Rules,
    backend: B,
    bucket: TokenBucket,
    refusals: u32,
}

/// Runs a socket to its end.
pub async fn run<S, B>(socket: S, who: Identity, hub: Hub, rules: Rules, backend: B)
where
    S: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin + Send,
    B: Backend,
{
    let bucket = TokenBucket::new(
        rules.limits.socket_per_second,
        rules.limits.socket_burst,
        Instant::now().into_std(),
    );
    let mut conversation = Conversation { socket, who, rules, backend, bucket, refusals: 0 };
    let greeting = match timeout(rules.timing.hello_within, conversation.greet()).await {
        Ok(greeting) => greeting,
        Err(_) => Err(End::Close(close_code::NO_HELLO)),
    };
    let greeting = match greeting {
        Ok(greeting) => greeting,
        Err(end) => return conversation.close(end).await,
    };
    // Events are kept from here on, so that none falls between the calls in the welcome and the first event.
    let resume = greeting.resume.map(|resume| (resume.session, resume.last_seq));
    let Attached { session, resumed, mut link } =
        hub.attach(who, resume, |resumed| conversation.backend.connected(&who, resumed));
    let end = match conversation.welcome(greeting, session, resumed).await {
        Ok(()) => conversation.converse(&mut link).await,
        Err(end) => end,
    };
    let said_goodbye = end == End::Goodbye;
    let forget = said_goodbye || end == End::Close(close_code::SIGNED_OUT);
    // What follows from the connection's end must not wait for its last frame to be written.
    link.detach(forget, || conversation.backend.disconnected(&who, said_goodbye));
    conversation.close(end).await;
}

impl<S, B> Conversation<S, B>
where
    S: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin + Send,
    B: Backend,
{
    /// Waits for a hello that can be served.
    async fn greet(&mut self) -> Result<Greeting, End> {
        loop {
            let message = self.socket.next().await;
            let Some(frame) = self.read(message).await? else { continue };
            let Request::Hello(hello) = frame.request else {
                self.answer(Some(frame.id), Err(ErrorCode::HelloExpected.into())).await?;
                continue;
            };
            let Some(version) = common_version(&hello) else {
                let problem = Problem::new(ErrorCode::UnsupportedVersion)
                    .with_detail(format!("This server speaks version {PROTOCOL_VERSIONS:?}."));
                self.answer(Some(frame.id), Err(problem.into())).await?;
                return Err(End::Close(close_code::NO_HELLO));
            };
            match self.backend.profile(&self.who).await {
                Ok(user) => return Ok(Greeting { id: frame.id, version, resume: hello.resume, user }),
                Err(fault) => {
                    self.answer(Some(frame.id), Err(fault)).await?;
                    return Err(End::Close(close_code::NO_HELLO));
                }
            }
        }
    }

    async fn welcome(&mut self, greeting: Greeting, session: SessionId, resumed: bool) -> Result<(), End> {
        let welcome = Welcome {
            version: greeting.version,
            session,
            resumed,
            user: greeting.user,
            device_id: self.who.device,
            calls: self.backend.live_calls(&self.who).await,
            heartbeat_ms: u64::try_from(self.rules.timing.heartbeat.as_millis()).unwrap_or(u64::MAX),
            server_time: clock::now(),
        };
        self.answer(Some(greeting.id), to_value(&welcome)).await
    }

    /// Serves requests and sends events until the end.
    async fn converse(&mut self, link: &mut Link) -> End {
        let mut dead_at = Instant::now() + self.rules.timing.dead_after;
        loop {
            let served = tokio::select! {
                message = self.socket.next() => {
                    dead_at = Instant::now() + self.rules.timing.dead_after;
                    self.backend.heard(&self.who);
                    self.serve(message, link).await
                }
                next = link.next() => match next {
                    Next::Frame(text) => self.send(Message::Text(text.into())).await,
                    Next::Close(reason) => Err(End::Close(code_for(reason))),
                },
                () = tokio::time::sleep_until(dead_at) => Err(End::Close(close_code::SILENT)),
            };
            if let Err(end) = served {
                return end;
            }
        }
    }

    async fn serve(&mut self, message: Option<Result<Message, axum::Error>>, link: &Link) -> Result<(), End> {
        let Some(frame) = self.read(message).await? else { return Ok(()) };
        if let Request::Ping { last_seq } = frame.request {
            link.acknowledge(last_seq);
        }
        // Boxed: the largest handler would otherwise be part of every idle connection.
        let answer = Box::pin(self.backend.handle(&self.who, frame.request)).await;
        self.answer(Some(frame.id), answer).await
    }

    /// A request out of what arrived. What is no request, or one too many, is answered here.
    async fn read(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
    ) -> Result<Option<ClientFrame>, End> {
        let parsed = match message {
            None => return Err(End::Lost),
            Some(Err(error)) if is_too_long(&error) => {
                self.answer(None, Err(too_large().into())).await?;
                return Err(End::Close(close_code::TOO_BIG));
            }
            Some(Err(_)) => return Err(End::Lost),
            Some(Ok(Message::Close(frame))) => {
                let normal = frame.is_some_and(|frame| frame.code == 1000);
                return Err(if normal { End::Goodbye } else { End::Lost });
            }
            // The library answers pings by itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(None),
            Some(Ok(Message::Binary(_))) => {
                let problem = Problem::new(ErrorCode::MalformedMessage).with_detail("Frames are JSON text.");
                Err((None, Box::new(problem)))
            }
            Some(Ok(Message::Text(text))) if text.len() > MAX_FRAME_BYTES => {
                Err((None, Box::new(too_large())))
            }
            Some(Ok(Message::Text(text))) => parse_client_frame(&text),
        };
        if let Err(wait) = self.bucket.take(Instant::now().into_std()) {
            self.refusals += 1;
            if self.refusals > MAX_REFUSALS {
                return Err(End::Close(close_code::TOO_LOUD));
            }
            let id = parsed.map_or_else(|(id, _)| id, |frame| Some(frame.id));
            self.answer(id, Err(limited(wait).into())).await?;
            return Ok(None);
        }
        self.refusals = 0;
        match parsed {
            Ok(frame) => Ok(Some(frame)),
            Err((id, problem)) => {
                self.answer(id, Err(problem.into())).await?;
                Ok(None)
            }
        }
    }

    async fn answer(&mut self, re: Option<u64>, answer: Result<Value, Fault>) -> Result<(), End> {
        let outcome = match answer {
            Ok(value) => Outcome::Ok(value),
            Err(fault) => Outcome::Error(fault.into_problem()),
        };
        match serde_json::to_string(&Reply { re, outcome }) {
            Ok(text) => self.send(Message::Text(text.into())).await,
            Err(_) => Err(End::Lost),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.rules.timing.write_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Lost),
            Err(_) => Err(End::Close(close_code::TOO_SLOW)),
        }
    }

    async fn close(mut self, end: End) {
        let farewell = async {
            if let End::Close(code) = end {
                let frame = CloseFrame { code, reason: "".into() };
                let _ = self.socket.send(Message::Close(Some(frame))).await;
            }
            let _ = self.socket.close().await;
            // The client's own close frame ends the handshake (RFC 6455 §7.1.1).
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = timeout(std::time::Duration::from_secs(1), farewell).await;
    }
}

fn common_version(hello: &Hello) -> Option<u16> {
    PROTOCOL_VERSIONS.iter().copied().find(|version| hello.versions.contains(version))
}

const fn code_for(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::Replaced => close_code::REPLACED,
        CloseReason::SignedOut => close_code::SIGNED_OUT,
        CloseReason::TooSlow => close_code::TOO_SLOW,
        CloseReason::GoingAway => close_code::GOING_AWAY,
    }
}

fn too_large() -> Problem {
    Problem::new(ErrorCode::TooLarge).with_detail(format!("A frame may have {MAX_FRAME_BYTES} bytes."))
}

/// The library's own limit was exceeded. Its error type is not exported; its words are stable.
fn is_too_long(error: &axum::Error) -> bool {
    error.to_string().contains("too long")
}

#[cfg(test)]
mod tests;
