//! Whose devices this person has checked, on this device: those of people whom a code was compared with, and those of
//! their own that they accepted. An identity is a person, a device and a key: another of any is another.

use bedside_e2ee::PublicIdentity;
use bedside_protocol::UserId;
use serde::{Deserialize, Serialize};

/// The checked identities.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trust {
    checked: Vec<PublicIdentity>,
    /// Checked once, and put out by their own people since: lost, stolen or given away.
    retired: Vec<PublicIdentity>,
}

impl Trust {
    /// The name of its record.
    pub(crate) const NAME: &[u8] = b"trust";

    pub(crate) fn knows(&self, identity: &PublicIdentity) -> bool {
        self.checked.contains(identity)
    }

    /// Whether any key of this person was ever checked.
    pub(crate) fn knows_one_of(&self, user: UserId) -> bool {
        self.checked.iter().chain(&self.retired).any(|known| known.user == user)
    }

    pub(crate) fn add(&mut self, identities: &[PublicIdentity]) {
        self.retired.retain(|known| !identities.contains(known));
        for identity in identities {
            if !self.knows(identity) {
                self.checked.push(*identity);
            }
        }
    }

    pub(crate) fn remove(&mut self, identities: &[PublicIdentity]) {
        self.checked.retain(|known| !identities.contains(known));
    }

    /// These are no longer whose they were. Says whether any of them had been checked.
    pub(crate) fn retire(&mut self, identities: &[PublicIdentity]) -> bool {
        let retired: Vec<_> = self.checked.extract_if(.., |known| identities.contains(known)).collect();
        self.retired.extend(&retired);
        !retired.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use bedside_protocol::DeviceId;

    use super::*;

    #[test]
    fn a_device_that_its_person_put_out_is_known_no_more_and_its_person_still_is() {
        let user = UserId::random();
        let device = |key| PublicIdentity { user, device: DeviceId::random(), key: [key; 32] };
        let (laptop, phone) = (device(1), device(2));
        let mut trust = Trust::default();
        assert!(!trust.retire(&[laptop]) && !trust.knows_one_of(user));
        trust.add(&[laptop]);
        assert!(trust.retire(&[laptop, phone]));
        assert!(!trust.knows(&laptop) && trust.knows_one_of(user), "another key of theirs is news");
        trust.add(&[laptop]);
        assert!(trust.knows(&laptop), "compared again");
    }
}
