//! Bounds what a failure inside the transport stack can do: a panic there ends a step or a connection, never the task
//! of whoever asked, and the end of the stack's driver is noticed rather than waited for.
//!
//! The stack reads what strangers send. What it is known to stumble over is refused before it gets there
//! ([`sdp`](super::sdp), [`candidate`](super::candidate)); this is for what is not known.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use webrtc::runtime::{AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime};

use super::rounds::Rounds;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long the driver has to take its leave. The stack itself gives it a tenth of a second, which on a busy machine is
/// too little: the other side would not hear that we left.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// The stack panicked within a step. What it panicked at goes to nobody: it may quote a description.
#[derive(Debug)]
pub(super) struct Panicked;

/// Runs a step of the stack. After [`Panicked`] the stack may be half way through the step: close the connection.
pub(super) async fn contained<T>(step: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(step).catch_unwind().await.map_err(|_| Panicked)
}

/// The runtime that the stack of one connection gets: the given one, with its driver under observation.
#[derive(Debug)]
pub(super) struct Supervised {
    inner: Arc<dyn Runtime>,
    ended: CancellationToken,
    rounds: Arc<Rounds>,
}

impl Supervised {
    /// `ended` is cancelled when the connection's driver has ended, for whatever reason.
    pub(super) fn new(inner: Arc<dyn Runtime>, ended: CancellationToken, rounds: Arc<Rounds>) -> Self {
        Self { inner, ended, rounds }
    }
}

async fn watched(task: Task) {
    if contained(task).await.is_err() {
        tracing::error!("a task of the transport stack panicked");
    }
}

/// A driver that, when it is aborted, may first take its leave.
struct Driver {
    task: Arc<dyn JoinHandle>,
    ended: CancellationToken,
    runtime: Arc<dyn Runtime>,
}

impl JoinHandle for Driver {
    fn detach(&self) {
        self.task.detach();
    }

    fn abort(&self) {
        let (task, ended) = (Arc::clone(&self.task), self.ended.clone());
        let late = self.runtime.sleep(FAREWELL);
        let patience = self.runtime.spawn(Box::pin(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = late => task.abort(),
            }
        }));
        patience.detach();
    }

    fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl Runtime for Supervised {
    fn spawn(&self, task: Task) -> Box<dyn JoinHandle> {
        self.inner.spawn(Box::pin(watched(task)))
    }

    /// The stack asks for this once per connection, for its driver.
    fn spawn_reactor(&self, _threads: usize, driver: Task) -> Box<dyn JoinHandle> {
        // A guard, since the stack also ends its driver by aborting it.
        let guard = self.ended.clone().drop_guard();
        let driver = self.inner.spawn(Box::pin(async move {
            watched(driver).await;
            drop(guard);
        }));
        let runtime = Arc::clone(&self.inner);
        Box::new(Driver { task: Arc::from(driver), ended: self.ended.clone(), runtime })
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.inner.wrap_udp_socket(socket).map(|socket| self.rounds.listen(socket))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.inner.wrap_tcp_listener(listener)
    }

    /// Never: the stack would connect to wherever a candidate points, and media goes over UDP alone.
    fn connect_tcp<'a>(&'a self, _to: SocketAddr) -> Pending<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Pending<'a, io::Result<Vec<SocketAddr>>> {
        self.inner.resolve_host(host)
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    /// The stack's driver asks for one at the end of each round.
    fn sleep(&self, duration: Duration) -> Pending<'static, ()> {
        Box::pin(self.rounds.sleep(self.inner.sleep(duration)))
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.inner.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.inner.block_on(future);
    }

    fn yield_now(&self) -> Pending<'static, ()> {
        self.inner.yield_now()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

#[cfg(test)]
mod tests {
    use webrtc::runtime::TokioRuntime;

    use super::*;

    #[tokio::test]
    async fn a_driver_that_panics_is_noticed_and_takes_nobody_along() {
        let ended = CancellationToken::new();
        let runtime = Supervised::new(Arc::new(TokioRuntime), ended.clone(), Arc::default());
        runtime.spawn(Box::pin(async { panic!("a task") }));
        runtime.spawn_reactor(1, Box::pin(async { panic!("the driver") }));
        ended.cancelled().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_is_aborted_ends_in_time_and_is_noticed() {
        let ended = CancellationToken::new();
        let runtime = Supervised::new(Arc::new(TokioRuntime), ended.clone(), Arc::default());
        let driver = runtime.spawn_reactor(1, Box::pin(std::future::pending()));
        assert!(!ended.is_cancelled());
        driver.abort();
        let patience = 2 * FAREWELL;
        tokio::time::timeout(patience, ended.cancelled()).await.expect("it ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_is_aborted_may_take_its_leave() {
        let ended = CancellationToken::new();
        let runtime = Supervised::new(Arc::new(TokioRuntime), ended.clone(), Arc::default());
        let (left, farewell) = tokio::sync::oneshot::channel();
        let driver = runtime.spawn_reactor(
            1,
            Box::pin(async {
                tokio::time::sleep(FAREWELL / 2).await;
                let _ = left.send(());
            }),
        );
        driver.abort();
        farewell.await.expect("it took its leave");
        ended.cancelled().await;
    }

    #[tokio::test]
    async fn nothing_is_connected_to_over_tcp() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let runtime = Supervised::new(Arc::new(TokioRuntime), CancellationToken::new(), Arc::default());
        let refused = runtime.connect_tcp(listener.local_addr().unwrap()).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
