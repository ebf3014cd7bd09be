//! Key packages: this device's own, by which others let it in, and those of others, by which it lets them in.

use std::time::Duration;

use bedside_e2ee::mls::{Change, KEY_PACKAGES, MlsError, key_packages_wanted};
use bedside_protocol::{
    ConversationId, UserId,
    conversation::{ClaimedKeyPackage, KeyPackagesLeft, PublishKeyPackages},
};
use tokio::time::Instant;

use super::{Outcome, PUBLISHED, Worker, group, now_seconds};
use crate::api::ApiError;

/// So often key packages are made at once, and then once in so long: the server says how many are left.
pub(super) const REFILLS: u32 = 3;
pub(super) const REFILL_EVERY: Duration = Duration::from_secs(600);

impl Worker {
    /// How many key packages the server has: a device without any is new there, and so has to say what its are.
    pub(super) fn key_packages_counted(&mut self, answer: Result<KeyPackagesLeft, ApiError>) {
        match answer {
            Ok(left) => self.refill(left),
            Err(error) => tracing::warn!(%error, "key packages could not be handed in"),
        }
    }

    /// The server has taken what was published, or not: whose keys it hands out is known at the next start.
    pub(super) fn key_packages_taken(&mut self, answer: Result<KeyPackagesLeft, ApiError>) {
        if answer.is_ok() && !self.published {
            self.published = true;
            let public = self.device.identity().public();
            self.note(PUBLISHED, &public);
        }
        self.publishing = false;
        self.key_packages_counted(answer);
    }

    /// Publishes key packages when few are left; all new ones when those there are not this identity's.
    pub(super) fn refill(&mut self, left: KeyPackagesLeft) {
        let replace = !self.published;
        let wanted = if replace { KEY_PACKAGES } else { key_packages_wanted(left.left) };
        if self.publishing || (wanted == 0 && left.last_resort) {
            return;
        }
        if let Err(wait) = self.refills.take(Instant::now().into_std()) {
            return tracing::warn!(?wait, "the server wants key packages again; it has to wait");
        }
        let now = now_seconds();
        let made = (|| -> Result<_, MlsError> {
            self.device.forget_expired_key_packages(now)?;
            let packages = self.device.key_packages(wanted, false, now)?;
            let last_resort = if replace || !left.last_resort {
                self.device.key_packages(1, true, now)?.pop()
            } else {
                None
            };
            Ok(PublishKeyPackages { packages, last_resort, replace })
        })();
        let body = match made {
            Ok(body) => body,
            Err(error) => return tracing::warn!(%error, "key packages could not be made"),
        };
        if !self.barrier() {
            return;
        }
        self.publishing = true;
        let api = self.config.api.clone();
        self.start(async move { Outcome::Published(api.publish_key_packages(&body).await) });
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
