//! The socket to the server: connects, resumes, asks, listens, and comes back by itself.
//!
//! One task owns the connection. It reconnects with the policy of [`bedside_call::reconnect`], resumes its session
//! so that no event is lost or seen twice, and holds what was asked meanwhile. It knows nothing of calls.

mod line;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bedside_protocol::{
    Problem, Timestamp,
    socket::{Event, Request, Welcome},
};
use bedside_ui_contract::snapshot::ConnectionView;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{api::Api, clock::ServerClock};

/// An answer that takes longer than this is an error: the person should not stare at a button, s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long taking leave of the server may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How many requests may wait for the line, and how many for an answer; more are refused.
const WAITING_REQUESTS: usize = 256;

/// Why a request got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The server refused.
    #[error("the server refused: {}", .0.title)]
    Refused(Box<Problem>),
    /// There is no line to the server.
    #[error("the server can't be reached now")]
    Offline,
    /// The answer has another shape than agreed.
    #[error("the server's answer could not be read: the app may be too old")]
    Unreadable,
}

/// What the socket tells the engine.
#[derive(Debug)]
pub enum SocketEvent {
    /// The line is up. Where `welcome.resumed` is false, everything must be fetched anew.
    Up(Box<Welcome>),
    /// Something happened on the server.
    Event(Box<Event>),
    /// The line's state changed.
    State(ConnectionView),
    /// The sign-in is over.
    SignedOut,
}

/// A request and where its answer goes.
pub(crate) struct Ask {
    request: Request,
    answer: Option<oneshot::Sender<Result<Value, SocketError>>>,
}

impl Ask {
    /// Whether the asker was told that it failed. It must not come about later, behind their back.
    fn is_given_up(&self) -> bool {
        self.answer.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

/// A handle to the socket's task. The task ends when the last handle is dropped.
#[derive(Clone)]
pub struct Socket {
    asks: mpsc::Sender<Ask>,
    wake: Arc<Notify>,
    closing: CancellationToken,
    closed: CancellationToken,
    clock: ServerClock,
    _task: Arc<AbortOnDrop>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Socket {
    /// Starts the task. `seed` drives the jitter of reconnection.
    #[must_use]
    pub fn start(api: Api, events: mpsc::Sender<SocketEvent>, seed: u64) -> Self {
        let (asks, waiting) = mpsc::channel(WAITING_REQUESTS);
        let wake = Arc::new(Notify::new());
        let (closing, closed) = (CancellationToken::new(), CancellationToken::new());
        let clock = ServerClock::default();
        let line = line::run(api, waiting, wake.clone(), closing.clone(), events, clock.clone(), seed);
        let end = closed.clone().drop_guard();
        let task = tokio::spawn(async move {
            line.await;
            drop(end);
        });
        Self { asks, wake, closing, closed, clock, _task: Arc::new(AbortOnDrop(task)) }
    }

    /// Sends what waits, takes leave of the server, which then need not wait for this device to come back, and ends. Returns
    /// when that is done, or when it takes longer than anybody who closes a window would wait.
    pub async fn close(&self) {
        self.closing.cancel();
        if tokio::time::timeout(LEAVE_WITHIN, self.closed.cancelled()).await.is_err() {
            tracing::debug!("the server was not told that this device leaves");
        }
    }

    /// Asks; the answer is awaited. Requests are sent in the order of these calls, however the answers are awaited.
    ///
    /// What has not been sent by the time the answer is given up is never sent. What has may still come about: after
    /// [`SocketError::Offline`] only the server knows.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn ask<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<T, SocketError>> + Send + use<T> {
        let (answer, answered) = oneshot::channel();
        let asked = self.asks.try_send(Ask { request, answer: Some(answer) });
        async move {
            asked.map_err(|_| SocketError::Offline)?;
            let value = tokio::time::timeout(ANSWER_TIMEOUT, answered)
                .await
                .map_err(|_| SocketError::Offline)?
                .map_err(|_| SocketError::Offline)??;
            serde_json::from_value(value).map_err(|_| SocketError::Unreadable)
        }
    }

    /// Asks without waiting; used for what the server answers with an event anyway.
    pub fn tell(&self, request: Request) {
        if self.asks.try_send(Ask { request, answer: None }).is_err() {
            tracing::warn!("too many requests wait for the server; one was dropped");
        }
    }

    /// Now, by the server's clock; `None` before it has said so.
    pub(crate) fn server_now(&self) -> Option<Timestamp> {
        self.clock.now()
    }

    /// Connects now instead of at the next planned attempt: the person asked, or the network changed.
    pub fn connect_now(&self) {
        self.wake.notify_one();
    }
}
