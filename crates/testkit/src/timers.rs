//! A runtime on which only short timers end.
//!
//! What still comes about on it does not wait for a repetition or a keepalive to push it on. That is said without a
//! clock, on a slow machine as on a quick one.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// The longest timer that ends: paths are checked more often than this, and nothing else of a connection that comes up
/// is done as often.
const LONGEST: Duration = Duration::from_millis(500);

/// For [`NetworkOptions`](bedside_session::peer::NetworkOptions). See the module.
#[derive(Debug)]
pub struct Brisk;

impl Runtime for Brisk {
    fn spawn(&self, task: Task) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(task)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn wrap_tcp_listener(&self, listener: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp(&self, to: SocketAddr) -> Pending<'_, Arc<dyn AsyncTcpStream>> {
        TokioRuntime.connect_tcp(to)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Pending<'a, Vec<SocketAddr>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Task {
        if duration > LONGEST { Box::pin(std::future::pending()) } else { TokioRuntime.sleep(duration) }
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}
