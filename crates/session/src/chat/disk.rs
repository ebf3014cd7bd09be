//! Records in one file on this computer, by `redb`.
//!
//! Batches are atomic at once and durable at the next [`Disk::barrier`]: a process that is killed, or a computer that
//! loses power, comes back to the state after some batch not older than the last barrier. Nothing is told to anybody
//! before a barrier, so what is rolled back was never said, and what was received can be received again.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bedside_e2ee::store::{Batch, Store, StoreError};
use redb::{Database, DatabaseError, Durability, ReadableDatabase, TableDefinition};
use zeroize::Zeroizing;

use crate::private;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// How long another run may take to let go of the file.
const CLOSING: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Records that outlive the process, and from the next barrier on also a power cut.
pub(crate) trait Backing: Store + Send + Sync {
    /// Waits until everything applied so far is there to stay.
    fn barrier(&self) -> Result<(), StoreError>;

    /// Begins anew from what is there, after an operation that failed.
    fn reopen(&self) -> Result<(), StoreError>;
}

/// A backing that after a failed operation does nothing more until it is opened again: nothing is written that would
/// follow from what was not.
pub(crate) struct Latch {
    backing: Arc<dyn Backing>,
    failed: AtomicBool,
}

impl Latch {
    pub(crate) fn new(backing: Arc<dyn Backing>) -> Self {
        Self { backing, failed: AtomicBool::new(false) }
    }

    fn unless_failed<T>(&self, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable);
        }
        let done = act();
        if done.as_ref().err() == Some(&StoreError::Unavailable) {
            self.failed.store(true, Ordering::Release);
        }
        done
    }
}

impl Store for Latch {
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.unless_failed(|| self.backing.get(key))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.unless_failed(|| self.backing.apply(batch))
    }
}

impl Backing for Latch {
    fn barrier(&self) -> Result<(), StoreError> {
        self.unless_failed(|| self.backing.barrier())
    }

    fn reopen(&self) -> Result<(), StoreError> {
        self.failed.store(true, Ordering::Release);
        self.backing.reopen()?;
        self.failed.store(false, Ordering::Release);
        Ok(())
    }
}

/// The file.
pub(crate) struct Disk {
    file: PathBuf,
    /// None while it can't be opened again.
    database: RwLock<Option<Database>>,
}

impl Disk {
    /// Opens the file, or makes it. Blocking: the last run may still be closing it.
    pub(crate) fn open(file: &Path) -> Result<Self, redb::Error> {
        let database = RwLock::new(Some(Self::database(file)?));
        Ok(Self { file: file.to_owned(), database })
    }

    fn database(file: &Path) -> Result<Database, redb::Error> {
        private::file(file)?;
        let begun = Instant::now();
        let database = loop {
            match Database::create(file) {
                Err(DatabaseError::DatabaseAlreadyOpen) if begun.elapsed() < CLOSING => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                opened => break opened?,
            }
        };
        // Reading from a table that was never written to is an error.
        let write = database.begin_write()?;
        write.open_table(RECORDS)?;
        write.commit()?;
        Ok(database)
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Unavailable)?;
        act(database).map_err(|error| {
            tracing::error!(%error, "the local store does not answer");
            kind_of(&error)
        })
    }

    fn read(database: &Database, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, redb::Error> {
        let table = database.begin_read()?.open_table(RECORDS)?;
        Ok(table.get(key)?.map(|value| Zeroizing::new(value.value().to_vec())))
    }

    fn write(database: &Database, batch: Batch) -> Result<(), redb::Error> {
        let mut write = database.begin_write()?;
        write.set_durability(Durability::None)?;
        {
            let mut table = write.open_table(RECORDS)?;
            for (key, value) in batch {
                match value {
                    Some(value) => drop(table.insert(&*key, &**value)?),
                    None => drop(table.remove(&*key)?),
                }
            }
        }
        Ok(write.commit()?)
    }
}

/// Whether to try again, or never.
pub(crate) fn kind_of(error: &redb::Error) -> StoreError {
    match error {
        redb::Error::Corrupted(_) | redb::Error::RepairAborted | redb::Error::UpgradeRequired(_) => {
            StoreError::Damaged
        }
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => StoreError::Damaged,
        _ => StoreError::Unavailable,
    }
}

impl Store for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.with(|database| Self::read(database, key))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.with(|database| Self::write(database, batch))
    }
}

impl Backing for Disk {
    fn barrier(&self) -> Result<(), StoreError> {
        self.with(|database| Ok(database.begin_write()?.commit()?))
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The file is let go of first: it is opened once at a time.
        *database = None;
        let opened = Self::database(&self.file).map_err(|error| {
            tracing::warn!(%error, "the messages' file can't be opened again yet");
            kind_of(&error)
        })?;
        *database = Some(opened);
        Ok(())
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_applied_before_a_barrier_is_there_after_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.redb");
        let put = |disk: &Disk, key: &[u8], value: &[u8]| {
            let mut batch = Batch::default();
            batch.put(key.to_vec(), Zeroizing::new(value.to_vec()));
            disk.apply(batch).unwrap();
        };
        let disk = Disk::open(&file).unwrap();
        put(&disk, b"one", b"1");
        disk.barrier().unwrap();
        drop(disk);
        let disk = Disk::open(&file).unwrap();
        assert_eq!(**disk.get(b"one").unwrap().unwrap(), *b"1");
        assert!(disk.get(b"two").unwrap().is_none());
        let mut batch = Batch::default();
        batch.delete(b"one".to_vec());
        disk.apply(batch).unwrap();
        assert!(disk.get(b"one").unwrap().is_none());
    }

    #[test]
    fn a_file_that_is_opened_again_has_what_was_there_at_the_last_barrier() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(&folder.path().join("store.redb")).unwrap();
        let mut batch = Batch::default();
        batch.put(b"one".to_vec(), Zeroizing::new(b"1".to_vec()));
        disk.apply(batch).unwrap();
        disk.barrier().unwrap();
        disk.reopen().unwrap();
        assert_eq!(**disk.get(b"one").unwrap().unwrap(), *b"1");
    }
}
