//! How much one account, or one address before anybody has signed in, may ask over either API.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bedside_call::rate::{KeyedBuckets, retry_after_s};
use bedside_protocol::{ConversationId, ErrorCode, Problem, UserId};
use tokio::time::Instant;

use crate::{auth::network_of, config::RateLimits, fault::Fault};

/// Rate limits of both APIs. A socket counts its messages itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Mutex<Buckets>>);

#[derive(Debug)]
struct Buckets {
    accounts: KeyedBuckets<UserId>,
    addresses: KeyedBuckets<IpAddr>,
    claims: KeyedBuckets<(UserId, UserId)>,
    changes: KeyedBuckets<(UserId, ConversationId)>,
    entries: KeyedBuckets<UserId>,
}

impl Limits {
    /// Limits as configured.
    #[must_use]
    pub fn new(limits: &RateLimits) -> Self {
        Self(Arc::new(Mutex::new(Buckets {
            accounts: KeyedBuckets::new(limits.rest_per_second, limits.rest_burst),
            addresses: KeyedBuckets::new(limits.rest_per_second, limits.rest_burst),
            claims: KeyedBuckets::slow(limits.claim_every, limits.claim_burst),
            changes: KeyedBuckets::slow(limits.change_every, limits.change_burst),
            entries: KeyedBuckets::slow(limits.entry_kib_every, limits.entry_burst_kib),
        })))
    }

    /// Counts a request of an account.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn check_account(&self, user: UserId) -> Result<(), Fault> {
        self.lock().accounts.take(user, now()).map_err(|wait| limited(wait).into())
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Fault> {
        self.lock().addresses.take(network_of(address), now()).map_err(|wait| limited(wait).into())
    }

    /// Counts a claim of somebody's key packages: each takes one away from every device of theirs.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn check_claim(&self, claimer: UserId, of: UserId) -> Result<(), Fault> {
        self.lock().claims.take((claimer, of), now()).map_err(|wait| limited(wait).into())
    }

    /// Counts a change of a conversation's group: one that nobody can follow puts every device out of it.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn check_change(&self, by: UserId, of: ConversationId) -> Result<(), Fault> {
        self.lock().changes.take((by, of), now()).map_err(|wait| limited(wait).into())
    }

    /// Counts what somebody puts into a log: every other device stores it, whatever is kept here.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn check_entry(&self, by: UserId, bytes: usize) -> Result<(), Fault> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.lock().entries.take_some(by, kib, now()).map_err(|wait| limited(wait).into())
    }

    /// Forgets whoever has been quiet.
    pub fn sweep(&self) {
        let (mut buckets, now) = (self.lock(), now());
        buckets.accounts.sweep(now);
        buckets.addresses.sweep(now);
        buckets.claims.sweep(now);
        buckets.changes.sweep(now);
        buckets.entries.sweep(now);
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By the clock of the runtime.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// The problem for too many requests.
pub(crate) fn limited(wait: Duration) -> Problem {
    Problem::new(ErrorCode::RateLimited)
        .with_detail("Too many requests at once. Please wait a moment.")
        .with_retry_after(retry_after_s(wait))
}
