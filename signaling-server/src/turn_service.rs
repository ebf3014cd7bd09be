//! The embedded TURN service: relays media over UDP for a small clinic (RFC 8656).
//!
//! Credentials are those of `ice`. `policy` says where it relays to, `quota` how much of it one account may have, and
//! `nonces` keeps those without an account from filling the memory.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bedside_protocol::Secret;
use tokio::net::UdpSocket;
use turn::{
    auth::{AuthHandler, generate_auth_key},
    server::{
        Server,
        config::{ConnConfig, ServerConfig},
    },
};

mod nonces;
mod policy;
mod quota;
mod relays;
pub(crate) mod secret;

use self::{
    nonces::Doorway,
    policy::{OwnAddresses, RelayPolicy},
    quota::Quota,
    relays::Relays,
};
use crate::{clock, config::TurnConfig, ice};

const REALM: &str = "bedside";

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Another process has the port, or the address is not this machine's.
    #[error("TURN can't listen on {address}")]
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
    /// Without them it can't be kept from relaying to the machine itself.
    #[error("TURN can't read the addresses of this machine")]
    OwnAddresses(#[source] std::io::Error),
    /// The TURN library refused.
    #[error("TURN could not be started")]
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
        let policy = Arc::new(RelayPolicy {
            on_loopback: public_ip.is_loopback(),
            public: public_ip,
            own: OwnAddresses::read(policy::interfaces).map_err(TurnError::OwnAddresses)?,
            service_port: public.port(),
            relay_ports: config.relay_ports,
        });
        let quota = Quota::new();
        let relays = Relays {
            bind: local.ip(),
            public: public_ip,
            ports: config.relay_ports,
            policy,
            quota: quota.clone(),
        };
        let server = Server::new(ServerConfig {
            conn_configs: vec![ConnConfig {
                conn: Arc::new(Doorway::new(socket)),
                relay_addr_generator: Box::new(relays),
            }],
            realm: REALM.to_owned(),
            auth_handler: Arc::new(Credentials { secret, quota }),
            channel_bind_timeout: Duration::ZERO,
            alloc_close_notify: None,
        })
        .await?;
        Ok(Self { server, public })
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

/// Checks `<expiry>:<account>` and gives the key that its password makes.
struct Credentials {
    secret: Secret,
    quota: Quota,
}

impl AuthHandler for Credentials {
    fn auth_handle(&self, username: &str, realm: &str, _from: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        let parts = username.split_once(':');
        let parts = parts.and_then(|(expiry, account)| Some((expiry.parse::<i64>().ok()?, account)));
        let Some((_, account)) = parts.filter(|(expiry, _)| *expiry > clock::now().0 / 1000) else {
            return Err(turn::Error::Other("the credentials have run out".to_owned()));
        };
        self.quota.asked_by(account);
        let password = ice::password_for(&self.secret, username);
        Ok(generate_auth_key(username, realm, password.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_have_run_out_or_make_no_sense_open_nothing() {
        let handler = Credentials { secret: Secret::new("k".into()), quota: Quota::new() };
        let from = "192.0.2.1:1".parse().unwrap();
        assert!(handler.auth_handle("1000:account", REALM, from).is_err());
        assert!(handler.auth_handle("soon:account", REALM, from).is_err());
        assert!(handler.auth_handle("99999999999:account", REALM, from).is_ok());
    }
}
