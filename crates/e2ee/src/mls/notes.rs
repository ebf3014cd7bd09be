//! What a device notes about a group, in the same batches as the group's MLS state.

use std::collections::BTreeMap;

use bedside_protocol::{DeviceId, Sealed};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Change, MAX_BODY_BYTES, MessageId, Outgoing, Refusal};

/// Begins the content of every message.
const CONTENT_VERSION: u8 = 1;
const CONTENT_HEADER_BYTES: usize = 1 + 8 + 16;

/// One group's notes.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Notes {
    /// The log entry that is read next.
    pub(super) next: u64,
    /// Events of entries before this one were acknowledged.
    pub(super) acknowledged: u64,
    /// Number of the newest message of this device.
    pub(super) written: u64,
    /// Number of the newest message of this device that was seen in the log; those between wait.
    pub(super) seen: u64,
    /// This device's commit that was not seen in the log yet.
    pub(super) commit: Option<OwnCommit>,
    /// This device's commit from outside, that was not seen in the log yet.
    pub(super) joining: Option<OwnCommit>,
    /// Number of the newest message of each other device.
    pub(super) heard: BTreeMap<DeviceId, u64>,
    /// This device was removed.
    pub(super) removed: bool,
}

/// A commit under way.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct OwnCommit {
    pub(super) change: Change,
    pub(super) outgoing: Outgoing,
}

/// By which an entry of this device's is found again.
pub(super) fn digest(entry: &[u8]) -> [u8; 32] {
    Sha256::digest(entry).into()
}

impl OwnCommit {
    pub(super) fn is(&self, entry: &[u8]) -> bool {
        self.outgoing.entry.0 == entry
    }
}

/// A message under way.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct OwnMessage {
    pub(super) id: MessageId,
    pub(super) body: Sealed,
    pub(super) outgoing: Outgoing,
}

/// What is inside an MLS application message: version, number, id, body.
pub(super) struct Content<'a> {
    pub(super) number: u64,
    pub(super) id: MessageId,
    pub(super) body: &'a [u8],
}

impl<'a> Content<'a> {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CONTENT_HEADER_BYTES + self.body.len());
        bytes.push(CONTENT_VERSION);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(self.id.0.as_bytes());
        bytes.extend_from_slice(self.body);
        bytes
    }

    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let (&version, rest) = bytes.split_first().ok_or(Refusal::Malformed)?;
        let (number, rest) = rest.split_first_chunk::<8>().ok_or(Refusal::Malformed)?;
        let (id, body) = rest.split_first_chunk::<16>().ok_or(Refusal::Malformed)?;
        if version != CONTENT_VERSION {
            return Err(Refusal::Malformed);
        }
        if body.len() > MAX_BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        Ok(Self { number: u64::from_be_bytes(*number), id: MessageId(Uuid::from_bytes(*id)), body })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn content_comes_back(number: u64, id: [u8; 16], body in prop::collection::vec(any::<u8>(), 0..300)) {
            let id = MessageId(Uuid::from_bytes(id));
            let bytes = Content { number, id, body: &body }.write();
            let read = Content::read(&bytes).map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
            prop_assert_eq!((read.number, read.id, read.body), (number, id, &body[..]));
        }

        #[test]
        fn random_bytes_are_content_only_by_their_header(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let valid = bytes.len() >= CONTENT_HEADER_BYTES && bytes[0] == CONTENT_VERSION;
            prop_assert_eq!(Content::read(&bytes).is_ok(), valid);
        }
    }
}
