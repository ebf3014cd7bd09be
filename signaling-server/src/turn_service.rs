//! The embedded TURN service: relays media over UDP for a small clinic (RFC 8656).
//!
//! Credentials are those of `ice`. It relays to where a participant can be and nowhere else: not to the machine
//! itself, not to link-local addresses (where clouds keep their metadata), not to groups of machines.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bedside_protocol::Secret;
use tokio::net::UdpSocket;
use turn::{
    auth::{AuthHandler, generate_auth_key},
    relay::RelayAddressGenerator,
    server::{
        Server,
        config::{ConnConfig, ServerConfig},
    },
};
use webrtc_util::Conn;

use crate::{clock, config::TurnConfig, ice};

const REALM: &str = "bedside";
/// How often a free port is looked for.
const PORT_TRIES: u32 = 32;

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Another process has the port, or the address is not this machine's.
    #[error("TURN can't listen on {address}: {source}")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Clients can't be told "any address": set `turn_public_address`.
    #[error("TURN listens on every address: say under which one clients reach it (turn_public_address)")]
    NoPublicAddress,
    /// The largest port must not be below the smallest.
    #[error("the range of relay ports is empty")]
    EmptyPortRange,
    /// The TURN library refused.
    #[error("TURN could not be started: {0}")]
    Library(#[from] turn::Error),
}

/// The running service.
pub struct TurnService {
    server: Server,
    /// Where clients reach it.
    public: SocketAddr,
}

impl TurnService {
    /// Begins to listen. Clients authenticate with passwords under `secret`.
    ///
    /// # Errors
    /// See [`TurnError`].
    pub async fn start(config: &TurnConfig, secret: Secret) -> Result<Self, TurnError> {
        let (min_port, max_port) = config.relay_ports;
        if min_port == 0 || min_port > max_port {
            return Err(TurnError::EmptyPortRange);
        }
        let bind_error = |source| TurnError::Bind { address: config.listen, source };
        let socket = UdpSocket::bind(config.listen).await.map_err(bind_error)?;
        let local = socket.local_addr().map_err(bind_error)?;
        let public_ip = match config.public_address {
            Some(address) => address,
            None if local.ip().is_unspecified() => return Err(TurnError::NoPublicAddress),
            None => local.ip(),
        };
        let public = SocketAddr::new(public_ip, local.port());
        let policy = RelayPolicy {
            allow_loopback: public_ip.is_loopback(),
            own: [public_ip, local.ip()],
            service_port: public.port(),
            relay_ports: config.relay_ports,
        };
        let relays = Relays { bind: local.ip(), public: public_ip, min_port, max_port, policy };
        let server = Server::new(ServerConfig {
            conn_configs: vec![ConnConfig { conn: Arc::new(socket), relay_addr_generator: Box::new(relays) }],
            realm: REALM.to_owned(),
            auth_handler: Arc::new(Credentials { secret }),
            channel_bind_timeout: Duration::ZERO,
            alloc_close_notify: None,
        })
        .await?;
        Ok(Self { server, public })
    }

    /// Where clients reach it.
    #[must_use]
    pub const fn public(&self) -> SocketAddr {
        self.public
    }

    /// The URLs to hand out.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        vec![format!("stun:{}", self.public), format!("turn:{}?transport=udp", self.public)]
    }

    /// Ends all relaying.
    pub async fn stop(&self) {
        if let Err(error) = self.server.close().await {
            tracing::warn!(%error, "TURN did not stop in good order");
        }
    }
}

/// Checks `<expiry>:<device>` and gives the key that its password makes.
struct Credentials {
    secret: Secret,
}

impl AuthHandler for Credentials {
    fn auth_handle(&self, username: &str, realm: &str, _from: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        let expiry = username.split(':').next().and_then(|text| text.parse::<i64>().ok());
        if expiry.is_none_or(|expiry| expiry <= clock::now().0 / 1000) {
            return Err(turn::Error::Other("the credentials have run out".to_owned()));
        }
        let password = ice::password_for(&self.secret, username);
        Ok(generate_auth_key(username, realm, password.expose()))
    }
}

/// Where relayed packets may go.
#[derive(Clone, Copy, Debug)]
struct RelayPolicy {
    /// Only when the whole service is on loopback: a demonstration, a test.
    allow_loopback: bool,
    /// The machine's own addresses: as others see it, and behind their translation.
    own: [IpAddr; 2],
    /// Where the service itself listens: no relaying in circles.
    service_port: u16,
    /// The ports of this machine where participants can be: others who are relayed here. The smallest and the largest.
    relay_ports: (u16, u16),
}

impl RelayPolicy {
    fn permits(self, peer: SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        let own = self.own.contains(&ip);
        if peer.port() == 0 || own && peer.port() == self.service_port {
            return false;
        }
        match ip {
            ip if ip.is_loopback() => self.allow_loopback,
            _ if own => (self.relay_ports.0..=self.relay_ports.1).contains(&peer.port()),
            ip if ip.is_unspecified() || ip.is_multicast() => false,
            IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_broadcast() && v4.octets()[0] != 0,
            IpAddr::V6(v6) => !is_link_local(v6),
        }
    }
}

/// `fe80::/10` (RFC 4291 §2.5.6).
fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// Opens a socket per allocation.
struct Relays {
    bind: IpAddr,
    public: IpAddr,
    min_port: u16,
    max_port: u16,
    policy: RelayPolicy,
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
        for _ in 0..PORT_TRIES {
            let port = match requested_port {
                0 => rand::random_range(self.min_port..=self.max_port),
                port if (self.min_port..=self.max_port).contains(&port) => port,
                _ => break,
            };
            let Ok(socket) = UdpSocket::bind((self.bind, port)).await else { continue };
            let relayed = SocketAddr::new(self.public, port);
            return Ok((Arc::new(GuardedRelay { socket, policy: self.policy }), relayed));
        }
        Err(turn::Error::ErrMaxRetriesExceeded)
    }
}

/// A relay's socket that neither sends to nor hears from where the policy does not permit.
struct GuardedRelay {
    socket: UdpSocket,
    policy: RelayPolicy,
}

type ConnResult<T> = Result<T, webrtc_util::Error>;

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
            match self.socket.recv_from(buffer).await {
                Ok((_, from)) if !self.policy.permits(from) => {}
                Ok(received) => return Ok(received),
                // Windows reports an ICMP "port unreachable" for an earlier packet here; the relay goes on.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
                Err(error) => return Err(error.into()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_reach_participants_but_not_the_machine_itself_or_its_neighbours_secrets() {
        let own = ["192.0.2.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let policy =
            RelayPolicy { allow_loopback: false, own, service_port: 3478, relay_ports: (49152, 65535) };
        for good in [
            "198.51.100.7:5000",
            "192.168.1.20:5000",
            "10.1.2.3:5000",
            "[2001:db8::5]:5000",
            "192.0.2.1:50000",
        ] {
            assert!(policy.permits(good.parse().unwrap()), "{good}");
        }
        for bad in [
            "127.0.0.1:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "169.254.169.254:80",
            "[fe80::1]:80",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "192.0.2.1:3478",
            "192.0.2.1:53",
            "10.0.0.2:3478",
            "10.0.0.2:161",
            "198.51.100.7:0",
        ] {
            assert!(!policy.permits(bad.parse().unwrap()), "{bad}");
        }
        assert!(RelayPolicy { allow_loopback: true, ..policy }.permits("127.0.0.1:80".parse().unwrap()));
    }

    #[test]
    fn credentials_that_have_run_out_or_make_no_sense_open_nothing() {
        let handler = Credentials { secret: Secret::new("k".into()) };
        let from = "192.0.2.1:1".parse().unwrap();
        assert!(handler.auth_handle("1000:device", REALM, from).is_err());
        assert!(handler.auth_handle("soon:device", REALM, from).is_err());
        assert!(handler.auth_handle("99999999999:device", REALM, from).is_ok());
    }
}
