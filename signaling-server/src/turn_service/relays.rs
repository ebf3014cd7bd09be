//! The sockets that the embedded TURN service relays by, one per allocation.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::net::UdpSocket;
use turn::relay::RelayAddressGenerator;
use webrtc_util::Conn;

use super::{
    policy::RelayPolicy,
    quota::{Quota, Relayed},
};

/// How often a free port is looked for.
const PORT_TRIES: u32 = 32;

/// Opens a socket per allocation.
pub(super) struct Relays {
    pub(super) bind: IpAddr,
    /// As clients see `bind`.
    pub(super) public: IpAddr,
    /// The smallest and the largest.
    pub(super) ports: (u16, u16),
    pub(super) policy: Arc<RelayPolicy>,
    pub(super) quota: Quota,
}

#[async_trait]
impl RelayAddressGenerator for Relays {
    fn validate(&self) -> Result<(), turn::Error> {
        Ok(())
    }

    async fn allocate_conn(
        &self,
        use_ipv4: bool,
        requested_port: u16,
    ) -> Result<(Arc<dyn Conn + Send + Sync>, SocketAddr), turn::Error> {
        if use_ipv4 != self.bind.is_ipv4() {
            return Err(turn::Error::Other("this address family is not served".to_owned()));
        }
        let Some(share) = self.quota.take() else {
            return Err(turn::Error::Other("the account has as many relays as it may".to_owned()));
        };
        let (min, max) = self.ports;
        for _ in 0..PORT_TRIES {
            let port = match requested_port {
                0 => rand::random_range(min..=max),
                port if (min..=max).contains(&port) => port,
                _ => break,
            };
            let Ok(socket) = UdpSocket::bind((self.bind, port)).await else { continue };
            let relayed = SocketAddr::new(self.public, port);
            let relay = GuardedRelay { socket, policy: Arc::clone(&self.policy), _share: share };
            return Ok((Arc::new(relay), relayed));
        }
        Err(turn::Error::ErrMaxRetriesExceeded)
    }
}

/// A relay's socket that neither sends to nor hears from where the policy does not permit.
struct GuardedRelay {
    socket: UdpSocket,
    policy: Arc<RelayPolicy>,
    _share: Relayed,
}

pub(super) type ConnResult<T> = Result<T, webrtc_util::Error>;

/// The next packet, and where it came from.
pub(super) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> ConnResult<(usize, SocketAddr)> {
    loop {
        match socket.recv_from(buffer).await {
            Ok(received) => return Ok(received),
            // Windows reports an ICMP "port unreachable" for an earlier packet here; the socket goes on.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[async_trait]
impl Conn for GuardedRelay {
    async fn connect(&self, address: SocketAddr) -> ConnResult<()> {
        Ok(self.socket.connect(address).await?)
    }

    async fn recv(&self, buffer: &mut [u8]) -> ConnResult<usize> {
        self.recv_from(buffer).await.map(|(length, _)| length)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> ConnResult<(usize, SocketAddr)> {
        loop {
            let (length, from) = receive(&self.socket, buffer).await?;
            if self.policy.permits(from) {
                return Ok((length, from));
            }
        }
    }

    async fn send(&self, buffer: &[u8]) -> ConnResult<usize> {
        Ok(self.socket.send(buffer).await?)
    }

    async fn send_to(&self, buffer: &[u8], target: SocketAddr) -> ConnResult<usize> {
        if !self.policy.permits(target) {
            // As if the network had lost it.
            return Ok(buffer.len());
        }
        Ok(self.socket.send_to(buffer, target).await?)
    }

    fn local_addr(&self) -> ConnResult<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> ConnResult<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}
