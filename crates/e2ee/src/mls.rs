//! Groups of devices that share keys through a server they don't trust (MLS, RFC 9420, by `openmls`).
//!
//! One group per conversation; every device of every participant is a member. The server keeps one log per group:
//! numbered entries, messages and commits in one order, and at most one commit per epoch. A [`Device`] reads the log
//! and acts on nothing else, so every device comes to the same state in the same order:
//!
//! ```text
//!  send / commit ──► written ahead ──► server's log ──► receive ──► event, written with the new state ──► acknowledge
//!        ▲                                 │
//!        └── unsent(): the same again ◄────┘ server says "that epoch is over": receive what is new first
//! ```
//!
//! - **Nothing is lost in a crash.** Each call ends in one batch ([`crate::store`]). What is to be sent is on disk
//!   before it is handed out, and stays in [`Device::unsent`] until it is seen in the log. What was received is on disk
//!   with the state it led to, and stays in [`Device::events`] until it is acknowledged.
//! - **One commit per epoch.** A commit takes effect when it is read from the log. When another one is read there
//!   first, one's own is dropped and [`Event::Changed`] says which change to ask for again. Messages that were sealed
//!   for the epoch that ended are sealed anew, by themselves.
//! - **Only the log's epoch.** Messages of other epochs are refused, so a removed device is out at once and no old key
//!   is kept.
//! - **Wrong input has an answer.** What is malformed, too large, of another group or epoch, replayed, unauthorised or
//!   unreadable becomes [`Event::Refused`] and the log goes on. Every device refuses the same entries.
//! - **Withheld messages show.** Senders number their messages inside; a gap is told with the next message.
//!
//! What MLS can't prevent: a member can make a commit that some can process and others can't. Those who can't see
//! [`Refusal::InvalidCommit`] and [`Refusal::WrongEpoch`] afterwards, and come back with [`Device::rejoin`].

mod device;
mod joining;
mod key_packages;
mod ledger;
mod notes;
mod receiving;
mod rules;
mod sending;
#[cfg(test)]
pub(crate) mod vectors;

use bedside_protocol::{DeviceId, Plaintext, Sealed};
use openmls::prelude::Ciphersuite;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use device::{Device, Revocation};
pub use rules::{Act, Authority, OwnDevicesLeave};

use crate::{
    EntropyError, PublicIdentity,
    store::{Batch, StoreError},
};

/// The mandatory suite of RFC 9420: X25519, AES-128-GCM, SHA-256, Ed25519.
const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
/// The longest body of one message, in bytes.
pub const MAX_BODY_BYTES: usize = 32 * 1024;
/// The longest entry of a log, key package, welcome or group information that is looked at, in bytes.
pub const MAX_ENTRY_BYTES: usize = 1024 * 1024;
/// Devices in one group.
pub const MAX_MEMBERS: usize = 256;
/// Lengths are rounded up to this before sealing, so that a short answer's length doesn't tell what it is.
const PADDING_BYTES: usize = 256;
/// How far a sender's messages may be ahead of what arrived, before they are refused.
const MAX_SKIPPED: u32 = 1000;
/// No log and no epoch comes this far; whoever says so counts on a number that overflows.
const MAX_POSITION: u64 = u64::MAX / 4;
/// How long a key package is valid: 84 days, the longest that `openmls` accepts.
const KEY_PACKAGE_SECONDS: u64 = 84 * 24 * 3600;
/// Clocks may be this far apart.
const CLOCK_SKEW_SECONDS: u64 = 3600;
/// Key packages that a device keeps on the server, beside the last resort.
pub const KEY_PACKAGES: usize = 50;
/// Below this many they are refilled.
const FEW_KEY_PACKAGES: usize = 20;

/// How many key packages to publish when the server still has `left`.
#[must_use]
pub const fn key_packages_wanted(left: usize) -> usize {
    if left < FEW_KEY_PACKAGES { KEY_PACKAGES - left } else { 0 }
}

/// Whether key packages that were made at `made` are to be replaced at `now`, both in seconds since 1970: half of their
/// lifetime is over, or the clock was ahead when they were made, and to others they are not valid yet.
#[must_use]
pub const fn key_packages_outdated(made: u64, now: u64) -> bool {
    now >= made.saturating_add(KEY_PACKAGE_SECONDS / 2) || now.saturating_add(CLOCK_SKEW_SECONDS) < made
}

/// A group's name, at most 64 bytes, chosen by whoever creates it; the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(Vec<u8>);

impl GroupId {
    /// A name.
    ///
    /// # Errors
    /// [`MlsError::TooLarge`] above 64 bytes.
    pub fn new(name: impl Into<Vec<u8>>) -> Result<Self, MlsError> {
        let name = name.into();
        if name.len() > 64 { Err(MlsError::TooLarge) } else { Ok(Self(name)) }
    }

    /// The name's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn mls(&self) -> openmls::prelude::GroupId {
        openmls::prelude::GroupId::from_slice(&self.0)
    }
}

/// A message's name, chosen by its sender (a UUIDv7); the server doesn't see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub Uuid);

/// A device in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its place in the group's tree; SFrame's sender index.
    pub leaf: u32,
    /// Who it says it is, and its key.
    pub identity: PublicIdentity,
}

/// What a commit is to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Adds devices by their key packages, each as the server handed it out.
    Add(Vec<Sealed>),
    /// Removes these devices, as far as they are members.
    Remove(Vec<DeviceId>),
    /// New keys for this device: heals a group whose keys were stolen.
    Update,
}

/// What to give to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// For which group's log.
    pub group: GroupId,
    /// The epoch in which it is valid. The server takes nothing for another epoch than its log's.
    pub epoch: u64,
    /// Whether it ends that epoch.
    pub commit: bool,
    /// The entry for the log.
    pub entry: Sealed,
    /// For the devices that a commit adds, and only once the log has the commit.
    pub welcome: Option<Sealed>,
    /// The devices that a commit adds.
    pub welcome_for: Vec<DeviceId>,
    /// With a commit: what a device needs to join from outside in the epoch that it begins. Replaces the one before.
    pub group_info: Option<Sealed>,
}

/// What an entry of the log meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Somebody wrote something.
    Message {
        /// Who: proven by their signature.
        sender: PublicIdentity,
        /// The sender's name for it.
        id: MessageId,
        /// What. Opaque to this crate.
        body: Plaintext,
        /// Whether this very device sent it.
        own: bool,
        /// How many messages of this sender, before this one, never arrived: the server withheld or reordered them.
        missing: u64,
    },
    /// The group has new keys, and perhaps other members.
    Changed {
        /// Who made the change.
        by: PublicIdentity,
        /// The epoch that began.
        epoch: u64,
        /// Devices that are members now and were not.
        joined: Vec<PublicIdentity>,
        /// Devices that were members and are not now.
        left: Vec<PublicIdentity>,
        /// Whether `by` came from outside, let in by nobody (also when it was a member before and had lost its state).
        external: bool,
        /// Whether this very device made it.
        own: bool,
        /// This device's own change that came too late and has to be asked for again, if it still makes sense.
        lost: Option<Change>,
    },
    /// This device was removed; the group is closed to it.
    Removed {
        /// By whom.
        by: PublicIdentity,
    },
    /// Another commit came before this device's [`Device::rejoin`]: try again with newer group information.
    JoinLost,
    /// The entry is not acceptable. Nothing changed.
    Refused(Refusal),
}

/// Why an entry of the log was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// No MLS message, or one that has no place in a log.
    #[error("the entry is no message")]
    Malformed,
    /// Longer than allowed.
    #[error("the entry is too large")]
    TooLarge,
    /// A message of another group.
    #[error("the entry belongs to another group")]
    WrongGroup,
    /// Of another epoch than the log's. When `theirs` is later, this device missed a commit and has to rejoin.
    #[error("the entry is of epoch {theirs}, this is epoch {ours}")]
    WrongEpoch {
        /// The epoch here.
        ours: u64,
        /// The entry's.
        theirs: u64,
    },
    /// Seen before, older than one that was seen, or further ahead than any honest gap.
    #[error("the message was seen before")]
    Replayed,
    /// Damaged, forged, or by somebody who is no member.
    #[error("the message does not open")]
    Unreadable,
    /// A commit that doesn't follow from this device's state.
    #[error("the change to the group is invalid")]
    InvalidCommit,
    /// A change that this member may not make, or a member whose identity is none.
    #[error("the change to the group is not allowed")]
    Unauthorised,
    /// Another device put it into the log than made it.
    #[error("the entry was posted by another device than made it")]
    PostedByAnother,
}

/// Why a call did nothing. The state is as before the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MlsError {
    /// See [`StoreError`]; call again when the store answers.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// This device has no such group.
    #[error("there is no such group on this device")]
    UnknownGroup,
    /// This device is in a group of that name already.
    #[error("this device is in that group already")]
    GroupExists,
    /// This device was removed from the group; somebody has to add it, or it has to rejoin.
    #[error("this device was removed from the group")]
    Removed,
    /// This device has asked to join and not yet seen that it did.
    #[error("this device is still joining the group")]
    Joining,
    /// A commit of this device waits to be seen in the log; there can be one at a time.
    #[error("an earlier change of this device is still under way")]
    CommitPending,
    /// The change would change nothing: nobody to add, or none of those to remove is a member.
    #[error("there is nothing to change")]
    NothingToDo,
    /// A device to add is a member already, or comes twice.
    #[error("device {0} is in the group already")]
    AlreadyMember(DeviceId),
    /// A device can't remove itself; another has to.
    #[error("a device cannot remove itself")]
    OwnDevice,
    /// More than [`MAX_MEMBERS`].
    #[error("the group would have too many devices")]
    TooManyMembers,
    /// Longer than allowed.
    #[error("this is too long")]
    TooLarge,
    /// The [`Authority`] does not permit the change.
    #[error("this change is not allowed")]
    Unauthorised,
    /// No key package, of another suite, expired, or with an identity that is none.
    #[error("this is no valid key package")]
    BadKeyPackage,
    /// No welcome, or one that is not consistent.
    #[error("this is no valid welcome")]
    BadWelcome,
    /// The welcome is for a key package that this device doesn't have: used already, expired, or never its own.
    #[error("the welcome is not for this device")]
    NotForThisDevice,
    /// No group information, or not signed by a member it names.
    #[error("this is no valid group information")]
    BadGroupInfo,
    /// The log has a gap: entries from `expected` on have to be fetched first.
    #[error("log entry {expected} is next, not {got}")]
    Gap {
        /// The next position.
        expected: u64,
        /// The position that was given.
        got: u64,
    },
    /// `openmls` refused what it should not; the text is for a report and holds no content.
    #[error("the MLS library failed: {0}")]
    Library(&'static str),
}

/// One operation's access to cryptography and storage.
struct Provider<'a, S> {
    crypto: &'a openmls_rust_crypto::RustCrypto,
    ledger: ledger::Ledger<'a, S>,
}

impl<S> Provider<'_, S>
where
    S: crate::store::Store,
{
    fn into_batch(self) -> Batch {
        self.ledger.into_batch()
    }
}

impl<'a, S: crate::store::Store> openmls_traits::OpenMlsProvider for Provider<'a, S> {
    type CryptoProvider = openmls_rust_crypto::RustCrypto;
    type RandProvider = openmls_rust_crypto::RustCrypto;
    type StorageProvider = ledger::Ledger<'a, S>;

    fn storage(&self) -> &Self::StorageProvider {
        &self.ledger
    }

    fn crypto(&self) -> &Self::CryptoProvider {
        self.crypto
    }

    fn rand(&self) -> &Self::RandProvider {
        self.crypto
    }
}
