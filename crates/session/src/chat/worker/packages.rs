//! Key packages: this device's own, by which others let it in, and those of others, by which it lets them in.
//!
//! How many of its own are left is the server's word; until when they are valid is known here alone. All of them are
//! replaced when half of their lifetime is over ([`key_packages_outdated`]), and the one of last resort also once somebody
//! has used it. Their private parts are on the disk before anybody can use them, and are forgotten when they expire.

use std::time::Duration;

use bedside_e2ee::{
    PublicIdentity,
    mls::{Change, KEY_PACKAGES, MlsError, key_packages_outdated, key_packages_wanted},
};
use bedside_protocol::{
    ConversationId, ErrorCode, UserId,
    conversation::{ClaimedKeyPackage, KeyPackagesLeft, PublishKeyPackages},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Outcome, Worker, group, groups::refused_with, now_seconds};
use crate::api::ApiError;

/// So often key packages are made at once, and then once in so long: the server says how many are left.
pub(super) const REFILLS: u32 = 3;
pub(super) const REFILL_EVERY: Duration = Duration::from_secs(600);
/// How often it is looked whether they are still valid, whatever the server says.
const LOOK_EVERY: Duration = REFILL_EVERY;
/// When that is done first: by then the welcomes are read that came while this device was away.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(60);
/// What the server did not take is handed in again after this long.
const HAND_IN_AGAIN: Duration = Duration::from_secs(60);
/// Taken for granted where the server has not said how many are left.
pub(super) const ENOUGH: KeyPackagesLeft = KeyPackagesLeft { left: KEY_PACKAGES, last_resort: true };

/// What the server hands out for this device.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct HandedOut {
    /// Whose keys.
    pub(super) by: PublicIdentity,
    /// When the oldest of them were made, in seconds since 1970.
    pub(super) made: u64,
}

impl HandedOut {
    pub(super) const NAME: &[u8] = b"handed out";
}

/// What the server was asked to hand out and has not yet said that it does. If it does not say so it is asked for the
/// same again: new ones each time would push the keys of those that it does hand out off the disk.
pub(super) struct Offered {
    body: PublishKeyPackages,
    made: u64,
}

impl Worker {
    /// The first thing when the server can be reached: until new ones are there nobody can let in a device that was
    /// away for long.
    pub(super) fn key_packages_first(&mut self) {
        if self.key_packages_are_outdated(now_seconds()) {
            return self.refill(ENOUGH);
        }
        let api = self.config.api.clone();
        self.start(async move { Outcome::KeyPackages(api.key_packages_left().await) });
    }

    /// From time to time: clocks go on, and are set.
    pub(super) fn look_after_key_packages(&mut self) {
        self.look_at_packages = Instant::now() + LOOK_EVERY;
        match self.device.forget_expired_key_packages(now_seconds()) {
            Ok(_) if self.online => self.refill(ENOUGH),
            Ok(_) => {}
            Err(MlsError::Store(error)) => self.store_failed(error),
            Err(error) => tracing::warn!(%error, "expired key packages could not be forgotten"),
        }
    }

    /// Whether what the server hands out is another identity's, or too old, or not known.
    fn key_packages_are_outdated(&self, now: u64) -> bool {
        let own = self.device.identity().public();
        self.handed_out.is_none_or(|out| out.by != own || key_packages_outdated(out.made, now))
    }

    /// How many key packages the server has: a device without any is new there, and so has to say what its are.
    pub(super) fn key_packages_counted(&mut self, answer: Result<KeyPackagesLeft, ApiError>) {
        match answer {
            Ok(left) => self.refill(left),
            Err(error) => tracing::warn!(%error, "key packages could not be counted"),
        }
    }

    /// The server has taken what was published, or not.
    pub(super) fn key_packages_taken(&mut self, answer: Result<KeyPackagesLeft, ApiError>) {
        self.publishing = false;
        match answer {
            Ok(left) => {
                if let Some(offered) = self.offered.take() {
                    self.are_handed_out(&offered);
                }
                self.refill(left);
            }
            Err(error) => {
                tracing::warn!(%error, "key packages could not be handed in");
                if refused_with(&error, ErrorCode::InvalidValue) || refused_with(&error, ErrorCode::TooLarge)
                {
                    // The same would be refused again.
                    self.offered = None;
                }
                self.look_at_packages = Instant::now() + HAND_IN_AGAIN;
            }
        }
    }

    fn are_handed_out(&mut self, offered: &Offered) {
        if offered.body.replace {
            let handed_out = HandedOut { by: self.device.identity().public(), made: offered.made };
            self.handed_out = Some(handed_out);
            self.note(HandedOut::NAME, &handed_out);
        }
        if offered.body.last_resort.is_some()
            && let Err(MlsError::Store(error)) = self.device.last_resort_replaced()
        {
            self.store_failed(error);
        }
    }

    /// Publishes key packages when few are left; all new ones when those there are not this identity's or too old.
    pub(super) fn refill(&mut self, left: KeyPackagesLeft) {
        let now = now_seconds();
        let replace = self.key_packages_are_outdated(now);
        self.offered.take_if(|offered| {
            (replace && !offered.body.replace) || key_packages_outdated(offered.made, now)
        });
        let wanted = if replace { KEY_PACKAGES } else { key_packages_wanted(left.left) };
        let last_resort = replace || !left.last_resort || self.device.last_resort_used().unwrap_or_default();
        if self.publishing || (wanted == 0 && !last_resort && self.offered.is_none()) {
            return;
        }
        if let Err(wait) = self.refills.take(Instant::now().into_std()) {
            self.look_at_packages = Instant::now() + wait;
            return tracing::warn!(?wait, "key packages are wanted again; that has to wait");
        }
        let offered = match self.offered.take() {
            Some(offered) => Ok(offered),
            None => self.make_key_packages(wanted, last_resort, replace, now),
        };
        let offered = match offered {
            Ok(offered) => self.offered.insert(offered),
            Err(MlsError::Store(error)) => return self.store_failed(error),
            Err(error) => return tracing::warn!(%error, "key packages could not be made"),
        };
        let (api, body) = (self.config.api.clone(), offered.body.clone());
        if !self.barrier() {
            return;
        }
        self.publishing = true;
        self.start(async move { Outcome::Published(api.publish_key_packages(&body).await) });
    }

    fn make_key_packages(
        &mut self,
        count: usize,
        last_resort: bool,
        replace: bool,
        made: u64,
    ) -> Result<Offered, MlsError> {
        let packages = self.device.key_packages(count, false, made)?;
        let last_resort = if last_resort { self.device.key_packages(1, true, made)?.pop() } else { None };
        Ok(Offered { body: PublishKeyPackages { packages, last_resort, replace }, made })
    }

    pub(super) fn claim(&self, id: ConversationId, founding: bool, users: Vec<UserId>) {
        let api = self.config.api.clone();
        self.start(async move {
            let mut claimed = Vec::new();
            for user in users {
                match api.claim_key_packages(user).await {
                    Ok(packages) => claimed.extend(packages.into_iter().map(|package| (user, package))),
                    Err(error) => return Outcome::Claimed { id, founding, answer: Err(error) },
                }
            }
            Outcome::Claimed { id, founding, answer: Ok(claimed) }
        });
    }

    pub(super) fn claimed(
        &mut self,
        id: ConversationId,
        founding: bool,
        answer: Result<Vec<(UserId, ClaimedKeyPackage)>, ApiError>,
    ) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let claimed = match answer {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "key packages could not be fetched");
                return live.failed(Instant::now());
            }
        };
        live.succeeded();
        let own = self.config.device;
        let packages: Vec<_> = claimed
            .into_iter()
            .filter(|(user, package)| {
                // A package that is somebody else's than was asked for is the server's mistake, or its attempt.
                self.device.newcomer(&package.key_package).is_ok_and(|newcomer| {
                    newcomer.user == *user && newcomer.device == package.device_id && newcomer.device != own
                })
            })
            .map(|(_, package)| package.key_package)
            .collect();
        if founding {
            return self.found(id, packages);
        }
        if packages.is_empty() {
            return self.flush(id);
        }
        match self.device.commit(&group(id), &Change::Add(packages)) {
            Ok(commit) => self.offer_commit(id, commit),
            Err(MlsError::NothingToDo | MlsError::AlreadyMember(_) | MlsError::CommitPending) => {
                self.flush(id)
            }
            Err(error) => self.mls_failed(id, &error),
        }
    }
}
