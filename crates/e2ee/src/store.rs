//! Where the state of groups lives: named records, changed in batches that are written whole or not at all.
//!
//! Every operation of [`crate::mls`] ends in exactly one batch, written before its outcome is told to anybody. A
//! process that is killed at any moment has therefore either done an operation with all it entails or not at all:
//! no message key is used up without its message being kept, and no ciphertext leaves that is not on disk.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use zeroize::Zeroizing;

/// Why a store failed. The operation has not happened; the device reads its state anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, gone or locked: try again, or tell the person.
    #[error("the local store does not answer")]
    Unavailable,
    /// A record is not what was written: the conversation has to be joined anew.
    #[error("the local store is damaged")]
    Damaged,
}

/// A value as JSON, in a buffer that is erased when dropped and was never copied while it grew.
///
/// # Errors
/// [`StoreError::Damaged`] for a value that JSON can't say.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_err(|_| StoreError::Damaged)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, value).map_err(|_| StoreError::Damaged)?;
    Ok(bytes)
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Changes that belong together: new values, and names to delete.
#[derive(Clone, Default)]
pub struct Batch(BTreeMap<Vec<u8>, Option<Zeroizing<Vec<u8>>>>);

impl Batch {
    /// Writes `value` under `key`; a later change of the same key in this batch wins.
    pub fn put(&mut self, key: Vec<u8>, value: Zeroizing<Vec<u8>>) {
        self.0.insert(key, Some(value));
    }

    /// Deletes `key`, if it is there.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.0.insert(key, None);
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What this batch says about `key`: nothing, a deletion, or a value.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&Zeroizing<Vec<u8>>>> {
        self.0.get(key).map(Option::as_ref)
    }
}

impl IntoIterator for Batch {
    type Item = (Vec<u8>, Option<Zeroizing<Vec<u8>>>);
    type IntoIter = std::collections::btree_map::IntoIter<Vec<u8>, Option<Zeroizing<Vec<u8>>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} changes>", self.0.len())
    }
}

/// Named records. One device has one store, and one [`crate::mls::Device`] at a time uses it.
pub trait Store {
    /// The value of `key`.
    ///
    /// # Errors
    /// When the store does not answer or the record is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;

    /// Writes the whole batch, durably, or nothing of it.
    ///
    /// # Errors
    /// When the store does not answer.
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;
}

impl<S: Store + ?Sized> Store for &S {
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        (**self).get(key)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        (**self).apply(batch)
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        (**self).get(key)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        (**self).apply(batch)
    }
}

/// Records in memory, for tests and for guests who leave nothing behind. Clones share their records.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Records>>);

/// Values by their names.
pub type Records = BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>;

impl MemoryStore {
    /// A copy of every record.
    #[must_use]
    pub fn records(&self) -> Records {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore")
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch {
            match value {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
        Ok(())
    }
}
