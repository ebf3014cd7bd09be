//! Where secrets are kept: the refresh token, and the keys of this installation.
//!
//! The app's go to the operating system's keyring and nowhere else. Where there is none (a kiosk, a test), the
//! caller picks [`MemoryStore`]: the sign-in then lasts until the process ends, and the window says so. A program
//! without anybody at it keeps them in a file of its own ([`FileStore`]).

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bedside_protocol::Secret;
use zeroize::Zeroizing;

use crate::private;

/// Why a secret could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no keyring service, or it is locked and cannot ask.
    #[error("the system's keyring can't be used: unlock it or install a Secret Service")]
    Unavailable(#[source] keyring::Error),
    /// The keyring refused.
    #[error("the system's keyring refused the secret")]
    Refused(#[source] keyring::Error),
    /// What is stored under the name is not text of ours.
    #[error("the stored secret is damaged: sign in again")]
    Damaged,
    /// The file of a [`FileStore`] can't be used.
    #[error("the file of the secrets can't be read or written")]
    File(#[source] io::Error),
}

/// A place for secrets, by name. Blocking: a keyring may ask its user for a password.
pub trait SecretStore: Send + Sync {
    /// The secret of that name.
    ///
    /// # Errors
    /// When the store can't be used; a name without a secret is `Ok(None)`.
    fn load(&self, name: &str) -> Result<Option<Secret>, SecretError>;

    /// Keeps a secret, replacing the one before.
    ///
    /// # Errors
    /// When the store can't be used.
    fn save(&self, name: &str, secret: &Secret) -> Result<(), SecretError>;

    /// Forgets a secret; forgetting what was never there is no error.
    ///
    /// # Errors
    /// When the store can't be used.
    fn delete(&self, name: &str) -> Result<(), SecretError>;

    /// Whether what is saved outlives this process, as far as is known by now.
    fn is_lasting(&self) -> bool;
}

/// The operating system's keyring: Secret Service, macOS Keychain, Windows Credential Manager.
///
/// It is opened once per process: where there is none at the first use, there is none until the next start.
#[derive(Debug)]
pub struct OsKeyring {
    service: String,
    /// The last attempt to read or write worked; false before the first.
    works: AtomicBool,
}

impl OsKeyring {
    /// A keyring under `service`, so that several profiles on one machine keep apart.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), works: AtomicBool::new(false) }
    }

    /// Notes whether the keyring works.
    fn tried<T>(&self, outcome: Result<T, SecretError>) -> Result<T, SecretError> {
        let works = match &outcome {
            Ok(_) | Err(SecretError::Damaged) => true,
            Err(SecretError::Unavailable(_) | SecretError::Refused(_) | SecretError::File(_)) => false,
        };
        self.works.store(works, Ordering::Relaxed);
        outcome
    }

    fn entry(&self, name: &str) -> Result<keyring::Entry, SecretError> {
        keyring::Entry::new(&self.service, name).map_err(SecretError::Unavailable)
    }
}

impl SecretStore for OsKeyring {
    fn load(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        self.tried(self.entry(name).and_then(|entry| match entry.get_password() {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(keyring::Error::BadEncoding(_)) => Err(SecretError::Damaged),
            Err(error) => Err(SecretError::Unavailable(error)),
        }))
    }

    fn save(&self, name: &str, secret: &Secret) -> Result<(), SecretError> {
        self.tried(
            self.entry(name)
                .and_then(|entry| entry.set_password(secret.expose()).map_err(SecretError::Refused)),
        )
    }

    fn delete(&self, name: &str) -> Result<(), SecretError> {
        self.tried(self.entry(name).and_then(|entry| match entry.delete_credential() {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(SecretError::Refused(error)),
        }))
    }

    fn is_lasting(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }
}

/// Secrets in a file that on Unix only its owner may read: for machines without anybody who could unlock a keyring.
///
/// They are not encrypted. Whoever can read the file can read what they protect.
#[derive(Debug)]
pub struct FileStore {
    file: PathBuf,
    /// One change at a time.
    changing: Mutex<()>,
}

impl FileStore {
    /// Secrets in `file`, which is made with the first one.
    #[must_use]
    pub const fn new(file: PathBuf) -> Self {
        Self { file, changing: Mutex::new(()) }
    }

    fn read(&self) -> Result<BTreeMap<String, Secret>, SecretError> {
        match fs::read(&self.file).map(Zeroizing::new) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| SecretError::Damaged),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(SecretError::File(error)),
        }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Secret>)) -> Result<(), SecretError> {
        let _alone = self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut secrets = self.read()?;
        change(&mut secrets);
        let bytes = serde_json::to_vec(&secrets).map(Zeroizing::new).map_err(|_| SecretError::Damaged)?;
        private::write(&self.file, &bytes).map_err(SecretError::File)
    }
}

impl SecretStore for FileStore {
    fn load(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        Ok(self.read()?.remove(name))
    }

    fn save(&self, name: &str, secret: &Secret) -> Result<(), SecretError> {
        self.change(|secrets| {
            secrets.insert(name.to_owned(), secret.clone());
        })
    }

    fn delete(&self, name: &str) -> Result<(), SecretError> {
        self.change(|secrets| drop(secrets.remove(name)))
    }

    fn is_lasting(&self) -> bool {
        true
    }
}

/// Secrets that end with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    secrets: Mutex<HashMap<String, Secret>>,
}

impl MemoryStore {
    fn secrets(&self) -> std::sync::MutexGuard<'_, HashMap<String, Secret>> {
        self.secrets.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl SecretStore for MemoryStore {
    fn load(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        Ok(self.secrets().get(name).cloned())
    }

    fn save(&self, name: &str, secret: &Secret) -> Result<(), SecretError> {
        self.secrets().insert(name.to_owned(), secret.clone());
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), SecretError> {
        self.secrets().remove(name);
        Ok(())
    }

    fn is_lasting(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_replaced_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets");
        kept_replaced_and_forgotten(&MemoryStore::default());
        kept_replaced_and_forgotten(&FileStore::new(file.clone()));
        FileStore::new(file.clone()).save("one", &Secret::new("1".into())).unwrap();
        assert_eq!(FileStore::new(file.clone()).load("one").unwrap().unwrap().expose(), "1");
        fs::write(&file, b"{").unwrap();
        assert!(matches!(FileStore::new(file).load("one"), Err(SecretError::Damaged)));
    }

    fn kept_replaced_and_forgotten(store: &dyn SecretStore) {
        assert_eq!(store.load("refresh").unwrap(), None);
        store.save("refresh", &Secret::new("one".into())).unwrap();
        store.save("refresh", &Secret::new("two".into())).unwrap();
        assert_eq!(store.load("refresh").unwrap().unwrap().expose(), "two");
        store.delete("refresh").unwrap();
        store.delete("refresh").unwrap();
        assert_eq!(store.load("refresh").unwrap(), None);
    }
}
