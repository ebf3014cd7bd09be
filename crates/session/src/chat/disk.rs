//! Records in one file on this computer, by `redb`.
//!
//! Batches are atomic at once and durable at the next [`Disk::barrier`]: a process that is killed, or a computer that
//! loses power, comes back to the state after some batch not older than the last barrier. Nothing is told to anybody
//! before a barrier, so what is rolled back was never said, and what was received can be received again.

use std::path::Path;

use bedside_e2ee::store::{Batch, Store, StoreError};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use zeroize::Zeroizing;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// Records that outlive the process, and from the next barrier on also a power cut.
pub(crate) trait Backing: Store + Send + Sync {
    /// Waits until everything applied so far is there to stay.
    fn barrier(&self) -> Result<(), StoreError>;
}

/// The file.
pub(crate) struct Disk(Database);

impl Disk {
    /// Opens the file, or makes it.
    pub(crate) fn open(file: &Path) -> Result<Self, redb::Error> {
        let database = Database::create(file)?;
        // Reading from a table that was never written to is an error.
        let write = database.begin_write()?;
        write.open_table(RECORDS)?;
        write.commit()?;
        Ok(Self(database))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, redb::Error> {
        let table = self.0.begin_read()?.open_table(RECORDS)?;
        Ok(table.get(key)?.map(|value| Zeroizing::new(value.value().to_vec())))
    }

    fn write(&self, batch: Batch) -> Result<(), redb::Error> {
        let mut write = self.0.begin_write()?;
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

fn unavailable(error: &redb::Error) -> StoreError {
    tracing::error!(%error, "the local store does not answer");
    match error {
        redb::Error::Corrupted(_) => StoreError::Damaged,
        _ => StoreError::Unavailable,
    }
}

impl Store for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.read(key).map_err(|error| unavailable(&error))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.write(batch).map_err(|error| unavailable(&error))
    }
}

impl Backing for Disk {
    fn barrier(&self) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> { Ok(self.0.begin_write()?.commit()?) };
        write().map_err(|error| unavailable(&error))
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
        let folder = tempfile();
        let file = folder.join("store.redb");
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
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn tempfile() -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("bedside-disk-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}
