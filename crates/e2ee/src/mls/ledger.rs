//! What `openmls` writes, kept until the operation's batch is written: its storage over a [`Store`].
//!
//! Reads see what the same operation wrote before. Nothing reaches the store until [`Ledger::into_batch`] hands all of
//! it over at once.

use std::cell::RefCell;

use openmls_traits::storage::{CURRENT_VERSION, StorageProvider, traits};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::store::{Batch, Store, StoreError, encode};

const V: u16 = CURRENT_VERSION;

/// One kind of record, by the first bytes of its key.
#[derive(Clone, Copy)]
pub(super) struct Kind(&'static str);

impl Kind {
    /// What a device notes about a group, beside what MLS needs.
    pub(super) const NOTES: Self = Self("notes");
    /// The groups of this device.
    pub(super) const GROUPS: Self = Self("groups");
    /// The names of this device's key packages and when they expire.
    pub(super) const KEY_PACKAGES: Self = Self("key packages");
    /// The same of those that serve more than once.
    pub(super) const LAST_RESORTS: Self = Self("last resorts");
    /// Whether one of them has been used since the newest was handed in.
    pub(super) const LAST_RESORT_USED: Self = Self("last resort used");
    /// One message of this device that was not seen in its group's log yet.
    pub(super) const MESSAGE: Self = Self("message");
    /// The number of such a message, by its id.
    pub(super) const NUMBER: Self = Self("number");
    /// The number of such a message, by the digest of its entry.
    pub(super) const ENTRY: Self = Self("entry");
    /// One event of a group that has not been acknowledged.
    pub(super) const EVENT: Self = Self("event");
}

/// One operation's reads and writes.
pub(super) struct Ledger<'a, S> {
    store: &'a S,
    written: RefCell<Batch>,
}

impl<'a, S: Store> Ledger<'a, S> {
    pub(super) fn new(store: &'a S) -> Self {
        Self { store, written: RefCell::default() }
    }

    /// All that was written, to be applied at once.
    pub(super) fn into_batch(self) -> Batch {
        self.written.into_inner()
    }

    pub(super) fn put(
        &self,
        kind: Kind,
        key: &impl Serialize,
        value: &impl Serialize,
    ) -> Result<(), StoreError> {
        let value = encode(value)?;
        self.written.borrow_mut().put(name(kind, key)?, value);
        Ok(())
    }

    pub(super) fn get<T: DeserializeOwned>(
        &self,
        kind: Kind,
        key: &impl Serialize,
    ) -> Result<Option<T>, StoreError> {
        let name = name(kind, key)?;
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|_| StoreError::Damaged);
        if let Some(written) = self.written.borrow().get(&name) {
            return written.map(|bytes| parse(bytes)).transpose();
        }
        self.store.get(&name)?.map(|bytes| parse(&bytes)).transpose()
    }

    pub(super) fn erase(&self, kind: Kind, key: &impl Serialize) -> Result<(), StoreError> {
        self.written.borrow_mut().delete(name(kind, key)?);
        Ok(())
    }

    /// Changes a list that is kept as one record.
    fn change_list(
        &self,
        kind: Kind,
        key: &impl Serialize,
        change: impl FnOnce(&mut Vec<Value>),
    ) -> Result<(), StoreError> {
        let mut list: Vec<Value> = self.get(kind, key)?.unwrap_or_default();
        change(&mut list);
        if list.is_empty() { self.erase(kind, key) } else { self.put(kind, key, &list) }
    }
}

fn name(kind: Kind, key: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut name = format!("mls {} ", kind.0).into_bytes();
    serde_json::to_writer(&mut name, key).map_err(|_| StoreError::Damaged)?;
    Ok(name)
}

fn value(value: &impl Serialize) -> Result<Value, StoreError> {
    serde_json::to_value(value).map_err(|_| StoreError::Damaged)
}

const OWN_LEAVES: Kind = Kind("own leaves");
const PROPOSAL: Kind = Kind("proposal");
const PROPOSALS: Kind = Kind("proposals");
const EPOCH_KEYS: Kind = Kind("epoch keys");
const GROUP_STATE: Kind = Kind("group state");
const ENCRYPTION_KEY: Kind = Kind("encryption key");
const PSK: Kind = Kind("psk");

/// One record per group: written, read, deleted.
macro_rules! per_group {
    ($($kind:literal $entity:ident: $write:ident $read:ident $delete:ident;)*) => {$(
        fn $write<G: traits::GroupId<V>, E: traits::$entity<V>>(&self, group: &G, value: &E) -> Result<(), StoreError> {
            self.put(Kind($kind), group, value)
        }

        fn $read<G: traits::GroupId<V>, E: traits::$entity<V>>(&self, group: &G) -> Result<Option<E>, StoreError> {
            self.get(Kind($kind), group)
        }

        fn $delete<G: traits::GroupId<V>>(&self, group: &G) -> Result<(), StoreError> {
            self.erase(Kind($kind), group)
        }
    )*};
}

/// One record per key of its own: written, read, deleted.
macro_rules! per_key {
    ($($kind:literal $key:ident $entity:ident: $write:ident $read:ident $delete:ident;)*) => {$(
        fn $write<K: traits::$key<V>, E: traits::$entity<V>>(&self, key: &K, value: &E) -> Result<(), StoreError> {
            self.put(Kind($kind), key, value)
        }

        fn $read<K: traits::$key<V>, E: traits::$entity<V>>(&self, key: &K) -> Result<Option<E>, StoreError> {
            self.get(Kind($kind), key)
        }

        fn $delete<K: traits::$key<V>>(&self, key: &K) -> Result<(), StoreError> {
            self.erase(Kind($kind), key)
        }
    )*};
}

impl<S: Store> StorageProvider<V> for Ledger<'_, S> {
    type Error = StoreError;

    per_group! {
        "config" MlsGroupJoinConfig: write_mls_join_config mls_group_join_config delete_group_config;
        "tree" TreeSync: write_tree tree delete_tree;
        "interim transcript hash" InterimTranscriptHash:
            write_interim_transcript_hash interim_transcript_hash delete_interim_transcript_hash;
        "context" GroupContext: write_context group_context delete_context;
        "confirmation tag" ConfirmationTag: write_confirmation_tag confirmation_tag delete_confirmation_tag;
        "message secrets" MessageSecrets: write_message_secrets message_secrets delete_message_secrets;
        "resumption psks" ResumptionPskStore:
            write_resumption_psk_store resumption_psk_store delete_all_resumption_psk_secrets;
        "own leaf index" LeafNodeIndex: write_own_leaf_index own_leaf_index delete_own_leaf_index;
        "epoch secrets" GroupEpochSecrets:
            write_group_epoch_secrets group_epoch_secrets delete_group_epoch_secrets;
    }

    per_key! {
        "signature key" SignaturePublicKey SignatureKeyPair:
            write_signature_key_pair signature_key_pair delete_signature_key_pair;
        "key package" HashReference KeyPackage: write_key_package key_package delete_key_package;
    }

    fn write_group_state<E: traits::GroupState<V>, G: traits::GroupId<V>>(
        &self,
        group: &G,
        state: &E,
    ) -> Result<(), StoreError> {
        self.put(GROUP_STATE, group, state)
    }

    fn group_state<E: traits::GroupState<V>, G: traits::GroupId<V>>(
        &self,
        group: &G,
    ) -> Result<Option<E>, StoreError> {
        self.get(GROUP_STATE, group)
    }

    fn delete_group_state<G: traits::GroupId<V>>(&self, group: &G) -> Result<(), StoreError> {
        self.erase(GROUP_STATE, group)
    }

    fn append_own_leaf_node<G: traits::GroupId<V>, E: traits::LeafNode<V>>(
        &self,
        group: &G,
        leaf: &E,
    ) -> Result<(), StoreError> {
        let leaf = value(leaf)?;
        self.change_list(OWN_LEAVES, group, |list| list.push(leaf))
    }

    fn own_leaf_nodes<G: traits::GroupId<V>, E: traits::LeafNode<V>>(
        &self,
        group: &G,
    ) -> Result<Vec<E>, StoreError> {
        self.get(OWN_LEAVES, group).map(Option::unwrap_or_default)
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<V>>(&self, group: &G) -> Result<(), StoreError> {
        self.erase(OWN_LEAVES, group)
    }

    fn queue_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(
        &self,
        group: &G,
        reference: &R,
        proposal: &E,
    ) -> Result<(), StoreError> {
        self.put(PROPOSAL, &(group, reference), proposal)?;
        let reference = value(reference)?;
        self.change_list(PROPOSALS, group, |list| list.push(reference))
    }

    fn queued_proposal_refs<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
    ) -> Result<Vec<R>, StoreError> {
        self.get(PROPOSALS, group).map(Option::unwrap_or_default)
    }

    fn queued_proposals<G: traits::GroupId<V>, R: traits::ProposalRef<V>, E: traits::QueuedProposal<V>>(
        &self,
        group: &G,
    ) -> Result<Vec<(R, E)>, StoreError> {
        let references: Vec<R> = self.queued_proposal_refs(group)?;
        let with_proposal = |reference| {
            let proposal = self.get(PROPOSAL, &(group, &reference))?.ok_or(StoreError::Damaged)?;
            Ok((reference, proposal))
        };
        references.into_iter().map(with_proposal).collect()
    }

    fn remove_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
        reference: &R,
    ) -> Result<(), StoreError> {
        self.erase(PROPOSAL, &(group, reference))?;
        let reference = value(reference)?;
        self.change_list(PROPOSALS, group, |list| list.retain(|other| *other != reference))
    }

    fn clear_proposal_queue<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
    ) -> Result<(), StoreError> {
        for reference in self.queued_proposal_refs::<G, R>(group)? {
            self.erase(PROPOSAL, &(group, reference))?;
        }
        self.erase(PROPOSALS, group)
    }

    fn write_encryption_key_pair<K: traits::EncryptionKey<V>, E: traits::HpkeKeyPair<V>>(
        &self,
        key: &K,
        pair: &E,
    ) -> Result<(), StoreError> {
        self.put(ENCRYPTION_KEY, key, pair)
    }

    fn encryption_key_pair<E: traits::HpkeKeyPair<V>, K: traits::EncryptionKey<V>>(
        &self,
        key: &K,
    ) -> Result<Option<E>, StoreError> {
        self.get(ENCRYPTION_KEY, key)
    }

    fn delete_encryption_key_pair<K: traits::EncryptionKey<V>>(&self, key: &K) -> Result<(), StoreError> {
        self.erase(ENCRYPTION_KEY, key)
    }

    fn write_encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        K: traits::EpochKey<V>,
        E: traits::HpkeKeyPair<V>,
    >(
        &self,
        group: &G,
        epoch: &K,
        leaf: u32,
        pairs: &[E],
    ) -> Result<(), StoreError> {
        self.put(EPOCH_KEYS, &(group, epoch, leaf), &pairs)
    }

    fn encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        K: traits::EpochKey<V>,
        E: traits::HpkeKeyPair<V>,
    >(
        &self,
        group: &G,
        epoch: &K,
        leaf: u32,
    ) -> Result<Vec<E>, StoreError> {
        self.get(EPOCH_KEYS, &(group, epoch, leaf)).map(Option::unwrap_or_default)
    }

    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>>(
        &self,
        group: &G,
        epoch: &K,
        leaf: u32,
    ) -> Result<(), StoreError> {
        self.erase(EPOCH_KEYS, &(group, epoch, leaf))
    }

    fn write_psk<K: traits::PskId<V>, E: traits::PskBundle<V>>(
        &self,
        id: &K,
        psk: &E,
    ) -> Result<(), StoreError> {
        self.put(PSK, id, psk)
    }

    fn psk<E: traits::PskBundle<V>, K: traits::PskId<V>>(&self, id: &K) -> Result<Option<E>, StoreError> {
        self.get(PSK, id)
    }

    fn delete_psk<K: traits::PskId<V>>(&self, id: &K) -> Result<(), StoreError> {
        self.erase(PSK, id)
    }
}
