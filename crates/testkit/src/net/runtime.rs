//! Tokio with the sockets of a host instead of the operating system's.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};

use super::{Shared, socket::HostSocket, world::HostId};

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

#[derive(Debug)]
pub(super) struct HostRuntime {
    host: HostId,
    shared: Arc<Shared>,
}

impl HostRuntime {
    pub(super) const fn new(host: HostId, shared: Arc<Shared>) -> Self {
        Self { host, shared }
    }
}

impl Runtime for HostRuntime {
    fn spawn(&self, future: Task<()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn spawn_reactor(&self, pool_size: usize, future: Task<()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn_reactor(pool_size, future)
    }

    /// The stack binds a real socket for its address; what it sends goes over the network of this process.
    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(HostSocket::bind(self.host, Arc::clone(&self.shared), socket)?))
    }

    fn wrap_tcp_listener(&self, _: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        Err(udp_only())
    }

    fn connect_tcp(&self, _: SocketAddr) -> Pending<'_, Arc<dyn AsyncTcpStream>> {
        Box::pin(std::future::ready(Err(udp_only())))
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Pending<'a, Vec<SocketAddr>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Task<()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Task<()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "in-process network"
    }
}

fn udp_only() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this network carries UDP alone")
}
