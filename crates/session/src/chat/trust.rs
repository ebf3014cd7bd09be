//! Whose devices this person has checked, on this device: those of people whom a code was compared with, and those of
//! their own that they accepted. An identity is a person, a device and a key: another of any is another.

use bedside_e2ee::PublicIdentity;
use bedside_protocol::UserId;
use serde::{Deserialize, Serialize};

/// The checked identities.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trust(Vec<PublicIdentity>);

impl Trust {
    /// The name of its record.
    pub(crate) const NAME: &[u8] = b"trust";

    pub(crate) fn knows(&self, identity: &PublicIdentity) -> bool {
        self.0.contains(identity)
    }

    /// Whether any key of this person was checked.
    pub(crate) fn knows_one_of(&self, user: UserId) -> bool {
        self.0.iter().any(|known| known.user == user)
    }

    pub(crate) fn add(&mut self, identities: &[PublicIdentity]) {
        for identity in identities {
            if !self.knows(identity) {
                self.0.push(*identity);
            }
        }
    }

    pub(crate) fn remove(&mut self, identities: &[PublicIdentity]) {
        self.0.retain(|known| !identities.contains(known));
    }
}
