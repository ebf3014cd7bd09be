//! How many relays one account may have at a time: each is a port and a file descriptor, and nobody may take them all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::shares::{Share, Shares};

/// A call takes one for each of a device's ways out. What was allocated before a change of network or a crash stays for
/// ten minutes.
pub(super) const RELAYS_PER_ACCOUNT: u32 = 20;

/// One relay of an account's; given back when its socket is closed.
pub(super) type Relayed = Share<Arc<str>>;

/// Counts relays by account. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    /// Whose request is being served.
    asking: Arc<Mutex<Arc<str>>>,
    relays: Shares<Arc<str>>,
}

impl Quota {
    pub(super) fn new() -> Self {
        Self { asking: Arc::new(Mutex::new("".into())), relays: Shares::new(RELAYS_PER_ACCOUNT) }
    }

    /// The request that is served from now on is of `account`. The library serves one after the other, and asks for its
    /// key before it asks for a relay, which it does without saying for whom.
    pub(super) fn asked_by(&self, account: &str) {
        *self.asking() = account.into();
    }

    /// A relay for who asks, unless they have as many as they may.
    pub(super) fn take(&self) -> Option<Relayed> {
        let account = Arc::clone(&self.asking());
        self.relays.take(account)
    }

    fn asking(&self) -> MutexGuard<'_, Arc<str>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
