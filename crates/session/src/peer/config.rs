//! What a connection needs to know before it begins.

use std::{fmt, sync::Arc};

use bedside_protocol::rest::IceServer;
use tokio::sync::watch;
use webrtc::runtime::Runtime;

/// How to reach the network.
#[derive(Clone)]
pub struct NetworkOptions {
    /// Addresses to bind, `ip:port`; port 0 takes any. `0.0.0.0` means every interface except loopback.
    pub bind: Vec<String>,
    /// Use relayed candidates alone.
    pub relay_only: bool,
    /// Resolve browsers' `*.local` candidates by multicast.
    pub mdns: bool,
    /// Where sockets, timers and the clock come from; the operating system when absent.
    pub runtime: Option<Arc<dyn Runtime>>,
    /// Counts the changes of this machine's addresses; the operating system tells of them when absent.
    pub address_changes: Option<watch::Receiver<u64>>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            bind: vec!["0.0.0.0:0".to_owned()],
            relay_only: false,
            mdns: true,
            runtime: None,
            address_changes: None,
        }
    }
}

impl NetworkOptions {
    /// For both sides on one machine.
    #[must_use]
    pub fn loopback() -> Self {
        Self { bind: vec!["127.0.0.1:0".to_owned()], mdns: false, ..Self::default() }
    }
}

impl fmt::Debug for NetworkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkOptions")
            .field("sockets", &self.bind.len())
            .field("relay_only", &self.relay_only)
            .field("mdns", &self.mdns)
            .finish_non_exhaustive()
    }
}

/// What a [`Peer`] needs to know.
#[derive(Clone, Debug, Default)]
pub struct PeerConfig {
    /// STUN and TURN servers; those not reachable over UDP are left out.
    pub ice_servers: Vec<IceServer>,
    /// Whether this side makes the first offer.
    pub offerer: bool,
    /// How to reach the network.
    pub network: NetworkOptions,
}
