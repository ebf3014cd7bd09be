//! Where secrets are kept: the refresh token today, identity keys later.
//!
//! Secrets go to the operating system's keyring and nowhere else. Where there is none (a kiosk, a test), the
//! caller picks [`MemoryStore`]: the sign-in then lasts until the process ends, and the window says so.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bedside_protocol::Secret;

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
            Err(SecretError::Unavailable(_) | SecretError::Refused(_)) => false,
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
        let store = MemoryStore::default();
        assert_eq!(store.load("refresh").unwrap(), None);
        store.save("refresh", &Secret::new("one".into())).unwrap();
        store.save("refresh", &Secret::new("two".into())).unwrap();
        assert_eq!(store.load("refresh").unwrap().unwrap().expose(), "two");
        store.delete("refresh").unwrap();
        store.delete("refresh").unwrap();
        assert_eq!(store.load("refresh").unwrap(), None);
    }
}
