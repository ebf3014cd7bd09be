//! The keys of an installation, and how they are kept: as one secret in a store, or in a file under a passphrase.
//!
//! The key of the database is the account's on this computer and never changes. The identity beside it may: whoever the
//! server takes for a new device becomes one. What opens the database is written over only once its copy can be read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedside_e2ee::{
    DeviceIdentity, PublicIdentity,
    at_rest::{self, RecordError, RecordKey},
    store::StoreError,
};
use bedside_protocol::{DeviceId, Secret, UserId};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Place, VaultError};
use crate::{
    private,
    secrets::{SecretError, SecretStore},
};

/// What is secret: the identity and the key of everything on disk.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) identity: Zeroizing<Vec<u8>>,
    pub(super) store: RecordKey,
    public: PublicIdentity,
}

impl Keys {
    pub(super) fn generate(place: &Place) -> Result<Self, VaultError> {
        let store = RecordKey::generate().map_err(RecordError::from)?;
        Self::of(store, &DeviceIdentity::generate(place.user, place.device)?)
    }

    /// The same database's, with a new identity.
    pub(super) fn become_new(&self, place: &Place) -> Result<Self, VaultError> {
        Self::of(self.store.clone(), &DeviceIdentity::generate(place.user, place.device)?)
    }

    fn of(store: RecordKey, identity: &DeviceIdentity) -> Result<Self, VaultError> {
        Ok(Self { identity: identity.export(), store, public: identity.public() })
    }

    pub(super) const fn public(&self) -> PublicIdentity {
        self.public
    }

    /// Whose groups are in a store, as it is written there.
    pub(super) fn installation(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        serde_json::to_vec(&self.public).map(Zeroizing::new).map_err(|_| StoreError::Damaged)
    }

    /// Names the database that these open, and tells nothing of them.
    pub(super) fn database_id(&self) -> String {
        let digest = Sha256::new().chain_update(b"Bedside 1 database").chain_update(self.store.expose());
        digest.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 + self.identity.len()));
        bytes.extend_from_slice(self.store.expose());
        bytes.extend_from_slice(&self.identity);
        bytes
    }

    /// `None` for what is damaged, or somebody else's.
    pub(super) fn read(bytes: &[u8], user: UserId) -> Option<Self> {
        let (store, identity) = bytes.split_first_chunk::<32>()?;
        let public = DeviceIdentity::import(identity).ok()?.public();
        let identity = Zeroizing::new(identity.to_vec());
        (public.user == user).then(|| Self { identity, store: RecordKey::from_bytes(*store), public })
    }
}

/// The name of somebody's secret.
fn name(user: UserId) -> String {
    format!("vault-{user}")
}

/// Where its replacement is until it has taken its place.
fn next_name(user: UserId) -> String {
    format!("{}-next", name(user))
}

fn read(secret: &Secret, user: UserId) -> Option<Keys> {
    let bytes = STANDARD.decode(secret.expose()).map(Zeroizing::new).ok()?;
    Keys::read(&bytes, user)
}

fn text(keys: &Keys) -> Secret {
    Secret::new(STANDARD.encode(&*keys.write()))
}

/// The keys in a store: where there are two, those of this device.
pub(super) fn stored(
    secrets: &dyn SecretStore,
    user: UserId,
    device: DeviceId,
) -> Result<Option<Keys>, SecretError> {
    let mut found = None;
    for name in [name(user), next_name(user)] {
        let keys = secrets.load(&name)?.and_then(|secret| read(&secret, user));
        if keys.as_ref().is_some_and(|keys| keys.public.device == device) {
            return Ok(keys);
        }
        found = found.or(keys);
    }
    Ok(found)
}

/// Keeps the first keys of an account. What is under their name and can't be read stays under another.
pub(super) fn store_first(secrets: &dyn SecretStore, keys: &Keys) -> Result<(), SecretError> {
    let name = name(keys.public.user);
    if let Some(unreadable) = secrets.load(&name)? {
        secrets.save(&format!("{name}-unreadable"), &unreadable)?;
    }
    secrets.save(&name, &text(keys))
}

/// Keeps keys with another identity in the place of those before, which open the same database.
pub(super) fn store_next(secrets: &dyn SecretStore, keys: &Keys) -> Result<(), VaultError> {
    let user = keys.public.user;
    let (next, new) = (next_name(user), text(keys));
    secrets.save(&next, &new)?;
    if secrets.load(&next)?.is_none_or(|kept| kept.expose() != new.expose()) {
        return Err(VaultError::NotKept);
    }
    secrets.save(&name(user), &new)?;
    Ok(secrets.delete(&next)?)
}

/// Where the keys of somebody are under a passphrase.
pub(super) fn passphrase_file(folder: &Path, user: UserId) -> PathBuf {
    folder.join(format!("vault-{user}.sealed"))
}

/// Keeps keys under a passphrase; durable when it returns.
pub(super) fn seal_to(file: &Path, passphrase: &str, keys: &Keys) -> Result<(), VaultError> {
    let sealed = at_rest::seal_with_passphrase(passphrase, &keys.write())?;
    Ok(private::write(file, &sealed)?)
}

/// The keys under a passphrase.
pub(super) fn unseal(file: &Path, passphrase: &str, user: UserId) -> Result<Keys, VaultError> {
    let bytes = match at_rest::open_with_passphrase(passphrase, &fs::read(file)?) {
        Ok(bytes) => bytes,
        Err(RecordError::WrongKey) => return Err(VaultError::WrongPassphrase),
        Err(error) => return Err(error.into()),
    };
    Keys::read(&bytes, user).ok_or(VaultError::Record(RecordError::Malformed))
}
