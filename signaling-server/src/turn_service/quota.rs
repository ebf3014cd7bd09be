//! How many relays one account may have at a time: each is a port and a file descriptor, and nobody may take them all.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A call takes one for each of a device's ways out. What was allocated before a change of network or a crash stays for
/// ten minutes.
pub(super) const RELAYS_PER_ACCOUNT: u32 = 20;

/// Counts relays by account. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Quota(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whose request is being served.
    asking: Arc<str>,
    held: HashMap<Arc<str>, u32>,
}

impl Quota {
    /// The request that is served from now on is of `account`. The library serves one after the other, and asks for its
    /// key before it asks for a relay, which it does without saying for whom.
    pub(super) fn asked_by(&self, account: &str) {
        self.lock().asking = account.into();
    }

    /// A relay for who asks, unless they have as many as they may.
    pub(super) fn take(&self) -> Option<Share> {
        let mut state = self.lock();
        let account = Arc::clone(&state.asking);
        let held = state.held.entry(Arc::clone(&account)).or_default();
        (*held < RELAYS_PER_ACCOUNT).then(|| {
            *held += 1;
            Share { of: self.clone(), account }
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One relay of an account's; given back when its socket is closed.
#[derive(Debug)]
pub(super) struct Share {
    of: Quota,
    account: Arc<str>,
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Entry::Occupied(mut held) = self.of.lock().held.entry(Arc::clone(&self.account)) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}
