//! A network inside this process: hosts whose UDP sockets reach one another over links of a given shape.
//!
//! Real datagrams of the real stack, in real time (media engines run on threads of their own); what happens to each is
//! decided by the seeded model of [`bedside_netem`], so a link treats the n-th packet on it alike in every run. A
//! [`Host`] gives [`NetworkOptions`] for an engine or a peer, and can be cut off, or move to other addresses.

mod courier;
mod runtime;
mod socket;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use bedside_netem::{Counts, Loss, Shape};
use bedside_session::peer::NetworkOptions;
use tokio::sync::watch;

use courier::Courier;
use runtime::HostRuntime;
use world::{HostId, World};

/// Hosts and the links between them. When it is dropped nothing is delivered any more.
pub struct Network {
    shared: Arc<Shared>,
    _courier: Courier,
}

impl Network {
    /// An empty network; links are perfect until they are shaped. Prints the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        println!("network seed {seed}");
        let shared = Arc::new(Shared::new(World::new(seed)));
        Self { _courier: Courier::start(&shared), shared }
    }

    /// Two hosts on one network whose links have this shape in both directions.
    #[must_use]
    pub fn pair(seed: u64, shape: Shape) -> (Self, Host, Host) {
        let network = Self::new(seed);
        let (one, other) = (network.host(), network.host());
        network.shape(&one, &other, shape);
        (network, one, other)
    }

    /// Adds a host.
    #[must_use]
    pub fn host(&self) -> Host {
        let id = self.world().add_host();
        Host { id, shared: Arc::clone(&self.shared), moves: watch::channel(0).0 }
    }

    /// Shapes both directions, from the next packet on.
    pub fn shape(&self, one: &Host, other: &Host, shape: Shape) {
        self.shape_one_way(one, other, shape);
        self.shape_one_way(other, one, shape);
    }

    /// Shapes one direction, from the next packet on.
    pub fn shape_one_way(&self, from: &Host, to: &Host, shape: Shape) {
        self.world().line(from.id, to.id).link.shape = shape;
    }

    /// Nothing passes in either direction, what is on its way included.
    pub fn cut(&self, one: &Host, other: &Host) {
        self.set_cut(one, other, true);
    }

    /// Everything that is sent from now on passes again.
    pub fn heal(&self, one: &Host, other: &Host) {
        self.set_cut(one, other, false);
    }

    /// What the link from one host to another has done so far.
    #[must_use]
    pub fn counts(&self, from: &Host, to: &Host) -> Counts {
        self.world().line(from.id, to.id).link.counts()
    }

    fn set_cut(&self, one: &Host, other: &Host, cut: bool) {
        let mut world = self.world();
        for (from, to) in [(one.id, other.id), (other.id, one.id)] {
            world.set_cut(from, to, cut);
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }
}

/// A machine on a [`Network`].
pub struct Host {
    id: HostId,
    shared: Arc<Shared>,
    moves: watch::Sender<u64>,
}

impl Host {
    /// How an engine or a peer on this host reaches the network.
    #[must_use]
    pub fn options(&self) -> NetworkOptions {
        NetworkOptions {
            runtime: Some(Arc::new(HostRuntime::new(self.id, Arc::clone(&self.shared)))),
            address_changes: Some(self.moves.subscribe()),
            ..NetworkOptions::loopback()
        }
    }

    /// Another Wi-Fi: every socket that is open now has an address that no longer exists; whatever is bound later
    /// works. The engine is told, as the operating system would.
    pub fn change_address(&self) {
        self.change_address_unnoticed();
        self.moves.send_modify(|count| *count += 1);
    }

    /// The same by a router on the way, of which the operating system knows nothing.
    pub fn change_address_unnoticed(&self) {
        self.shared.world().strand(self.id);
    }
}

/// What hosts, sockets and the courier have in common.
struct Shared {
    world: Mutex<World>,
    /// Something is due earlier than the courier thought, or it should stop.
    news: std::sync::Condvar,
}

impl Shared {
    fn new(world: World) -> Self {
        Self { world: Mutex::new(world), news: std::sync::Condvar::new() }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}
