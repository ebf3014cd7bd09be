//! What a device notes about a group, in the same batches as the group's MLS state.

use std::collections::{BTreeMap, BTreeSet};

use bedside_protocol::{DeviceId, Plaintext};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Change, MAX_BODY_BYTES, MAX_MEMBERS, MessageId, Outgoing, Refusal};

/// Begins the content of every message.
const CONTENT_VERSION: u8 = 1;

/// From which of a sender's messages on somebody can have heard it: who joined with `epoch` reads those after the one of
/// number `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Beginning {
    pub(super) epoch: u64,
    pub(super) after: u64,
}

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
    /// The epoch that began when this device joined.
    pub(super) joined: u64,
    /// Where this device's messages begin for each member that joined later than it.
    pub(super) beginnings: BTreeMap<DeviceId, Beginning>,
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
    pub(super) body: Plaintext,
    pub(super) outgoing: Outgoing,
}

/// What is inside an MLS application message: version, number, id, how many beginnings and which, body.
pub(super) struct Content<'a> {
    pub(super) number: u64,
    pub(super) id: MessageId,
    pub(super) beginnings: BTreeSet<Beginning>,
    pub(super) body: &'a [u8],
}

impl<'a> Content<'a> {
    pub(super) fn write(&self) -> Zeroizing<Vec<u8>> {
        let count = u16::try_from(self.beginnings.len()).unwrap_or(u16::MAX);
        // As long as all of it: a buffer that has to grow leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(27 + 16 * usize::from(count) + self.body.len()));
        bytes.push(CONTENT_VERSION);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(self.id.0.as_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        for beginning in self.beginnings.iter().take(count.into()) {
            bytes.extend_from_slice(&beginning.epoch.to_be_bytes());
            bytes.extend_from_slice(&beginning.after.to_be_bytes());
        }
        bytes.extend_from_slice(self.body);
        bytes
    }

    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        Self::split(bytes).ok_or(Refusal::Malformed).and_then(|content| {
            if content.body.len() > MAX_BODY_BYTES || content.beginnings.len() > MAX_MEMBERS {
                return Err(Refusal::TooLarge);
            }
            Ok(content)
        })
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (_, rest) = bytes.split_first().filter(|&(&version, _)| version == CONTENT_VERSION)?;
        let (number, rest) = number(rest)?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (count, mut rest) = rest.split_first_chunk::<2>()?;
        let mut beginnings = BTreeSet::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let (epoch, after);
            (epoch, rest) = self::number(rest)?;
            (after, rest) = self::number(rest)?;
            beginnings.insert(Beginning { epoch, after });
        }
        Some(Self { number, id: MessageId(Uuid::from_bytes(*id)), beginnings, body: rest })
    }

    /// How many of the sender's messages a device should have heard before this one and has not: `heard` is the number
    /// of the newest that it did, and `joined` the epoch from which on it could.
    pub(super) fn missing(&self, heard: Option<u64>, joined: u64) -> u64 {
        let here = self.beginnings.iter().find(|beginning| beginning.epoch == joined);
        let before = heard.or(here.map(|beginning| beginning.after));
        // Who does not say begins here.
        before.map_or(0, |before| self.number.saturating_sub(before).saturating_sub(1))
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn content_comes_back(
            number: u64,
            id: [u8; 16],
            joined in prop::collection::btree_map(any::<u64>(), any::<u64>(), 0..MAX_MEMBERS),
            body in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let id = MessageId(Uuid::from_bytes(id));
            let beginnings: BTreeSet<_> =
                joined.into_iter().map(|(epoch, after)| Beginning { epoch, after }).collect();
            let bytes = Content { number, id, beginnings: beginnings.clone(), body: &body }.write();
            let read = Content::read(&bytes).map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
            prop_assert_eq!((read.number, read.id, read.body), (number, id, &body[..]));
            prop_assert_eq!(read.beginnings, beginnings);
        }

        #[test]
        fn random_bytes_are_content_only_by_their_header(
            version in 0u8..4,
            rest in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let bytes = [&[version], &rest[..]].concat();
            let count = rest.get(24..26).map(|count| usize::from(u16::from_be_bytes([count[0], count[1]])));
            let whole = count.is_some_and(|count| rest.len() >= 26 + 16 * count);
            prop_assert_eq!(Content::read(&bytes).is_ok(), version == CONTENT_VERSION && whole);
        }
    }
}
