//! What an account has on this computer: an identity, a database, and the key of it. Where they are kept, and how they
//! are opened.
//!
//! The keys are one secret in the system's keyring. Where there is none, they are a file under a passphrase; where there
//! is none of that either, they live in memory and end with the process, and the window says so.
//!
//! The database is the account's, whatever device the server takes this installation for: messages, what waits and who
//! was compared stay. What belongs to the identity alone, its MLS groups, does not outlive it ([`Vault::former`]).

mod keys;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bedside_e2ee::{
    DeviceIdentity, PublicIdentity,
    at_rest::{RecordError, SealedStore},
    identity::IdentityError,
    mls::MlsError,
    store::{Batch, MemoryStore, Store, StoreError},
};
use bedside_protocol::{DeviceId, UserId};
use bedside_ui_contract::chat::VaultView;
use zeroize::Zeroizing;

use self::keys::{Keys, passphrase_file};
use super::disk::{Backing, Disk, Latch};
use crate::secrets::{SecretError, SecretStore};

/// Records of this device, whatever they lie in.
pub(crate) type Local = Arc<dyn Store + Send + Sync>;

/// The shortest passphrase for a new file, characters.
const SHORTEST_PASSPHRASE: usize = 12;
/// Names the store in which everything else is.
const MARK: &[u8] = b"mark";
/// The identity whose groups are in the store.
const INSTALLATION: &[u8] = b"installation";
/// How files end whose key ends with the process that made it.
const BRIEF: &str = ".brief.redb";

/// Why there is no vault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    #[error("the passphrase is not right")]
    WrongPassphrase,
    #[error("the passphrase is too short")]
    ShortPassphrase,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the vault's file can't be read or written")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the keyring did not keep what it was given")]
    NotKept,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Groups(#[from] MlsError),
    #[error("another program has the messages open: close it, and start this one again")]
    InUse,
}

/// Where a vault is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The profile's folder.
    pub(crate) folder: PathBuf,
    /// Whose it is.
    pub(crate) user: UserId,
    /// Which installation, as the server numbers them.
    pub(crate) device: DeviceId,
}

impl Place {
    fn passphrase_file(&self) -> PathBuf {
        passphrase_file(&self.folder, self.user)
    }

    /// Each key has a database of its own, so that none is ever in another's way.
    fn database(&self, keys: &Keys, view: VaultView) -> PathBuf {
        let name = format!("messages-{}-{}", self.user, keys.database_id());
        let brief = self.folder.join(format!("{name}{BRIEF}"));
        let lasting = self.folder.join(format!("{name}.redb"));
        if brief.exists() || (view == VaultView::Temporary && !lasting.exists()) { brief } else { lasting }
    }

    /// The database by the name that it had when there was one for whatever key.
    fn take_over_unnamed(&self, file: &Path) {
        let unnamed = self.folder.join(format!("messages-{}.redb", self.user));
        if unnamed.exists() && !file.exists() && fs::rename(&unnamed, file).is_err() {
            tracing::warn!("the messages of an earlier version can't be taken over");
        }
    }

    /// Removes what earlier runs have left whose keys ended with them.
    fn sweep(&self) {
        let ours = format!("messages-{}-", self.user);
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&ours) && name.ends_with(BRIEF) && fs::remove_file(entry.path()).is_err() {
                tracing::warn!("a file that nobody can open any more stays in the profile");
            }
        }
    }
}

/// An open vault.
pub(crate) struct Vault {
    place: Place,
    keys: Keys,
    /// Present when records are kept on disk.
    disk: Option<Arc<Latch>>,
    /// Present when they are not.
    memory: Option<MemoryStore>,
    /// Everything this device keeps, sealed.
    pub(crate) local: Local,
    /// What the window says about it.
    pub(crate) view: VaultView,
    /// Whose groups are in it, where that is not this identity: they are of no use to it. See [`Vault::moved_in`].
    pub(crate) former: Option<PublicIdentity>,
}

/// What opening came to.
pub(crate) enum Opening {
    Open(Box<Vault>),
    /// A passphrase is wanted.
    Locked,
}

/// Which device an account's keys on this computer are of; none where there are none that can be had, so that whoever
/// signs in is a new device. What is under a passphrase is of the device `remembered`. Blocking, as [`open`].
pub(crate) fn installed(
    secrets: &dyn SecretStore,
    folder: &Path,
    user: UserId,
    remembered: DeviceId,
) -> Result<Option<DeviceId>, SecretError> {
    let stored = keys::stored(secrets, user, remembered);
    match stored {
        Ok(Some(keys)) => Ok(Some(keys.public().device)),
        _ if passphrase_file(folder, user).exists() => Ok(Some(remembered)),
        other => other.map(|_| None),
    }
}

/// Opens the vault, or makes one. Blocking: the keyring may ask its user for a password.
pub(crate) fn open(secrets: &dyn SecretStore, place: &Place) -> Result<Opening, VaultError> {
    fs::create_dir_all(&place.folder)?;
    let stored = keys::stored(secrets, place.user, place.device);
    let view = if secrets.is_lasting() { VaultView::Keyring } else { VaultView::Temporary };
    let opened = match stored {
        Ok(Some(known)) => {
            let before = known.public();
            let keys = if before.device == place.device {
                known
            } else {
                let keys = known.become_new(place)?;
                keys::store_next(secrets, &keys)?;
                keys
            };
            Vault::on_disk(place, keys, view, Some(before))?
        }
        _ if place.passphrase_file().exists() => return Ok(Opening::Locked),
        Ok(None) => {
            // A new installation, or one whose keys are lost: what was sealed with them can't be read any more.
            let keys = Keys::generate(place)?;
            match keys::store_first(secrets, &keys) {
                Ok(()) => {
                    if view == VaultView::Temporary {
                        place.sweep();
                    }
                    Vault::on_disk(place, keys, view, None)?
                }
                Err(error) => Vault::without_keyring(place, keys, &error),
            }
        }
        Err(error) => Vault::without_keyring(place, Keys::generate(place)?, &error),
    };
    Ok(Opening::Open(Box::new(opened)))
}

/// Opens the vault with its passphrase.
pub(crate) fn unlock(place: &Place, passphrase: &str) -> Result<Vault, VaultError> {
    let file = place.passphrase_file();
    let known = keys::unseal(&file, passphrase, place.user)?;
    let before = known.public();
    let keys = if before.device == place.device {
        known
    } else {
        let keys = known.become_new(place)?;
        keys::seal_to(&file, passphrase, &keys)?;
        keys
    };
    Vault::on_disk(place, keys, VaultView::Passphrase, Some(before))
}

impl Vault {
    /// `before` is whose the keys were until now.
    fn on_disk(
        place: &Place,
        keys: Keys,
        view: VaultView,
        before: Option<PublicIdentity>,
    ) -> Result<Self, VaultError> {
        let file = place.database(&keys, view);
        if before.is_some() {
            place.take_over_unnamed(&file);
        }
        let disk = match open_disk(&file, &keys) {
            // Those are as good as ever: they belong to somebody else for now, or there is no room.
            Err(error @ (VaultError::InUse | VaultError::Store(StoreError::Unavailable))) => {
                return Err(error);
            }
            Err(error) => {
                tracing::error!(%error, "the messages on this computer can't be read; they are set aside");
                set_aside(&file);
                match open_disk(&file, &keys) {
                    Ok(opened) => opened,
                    Err(error) => {
                        tracing::error!(%error, "nothing can be kept on this computer");
                        return Ok(Self::in_memory(place, keys, VaultView::Broken));
                    }
                }
            }
            Ok(opened) => opened,
        };
        let local: Local = Arc::new(SealedStore::new(disk.clone(), keys.store.clone()));
        let inside = match local.get(INSTALLATION)? {
            Some(bytes) => serde_json::from_slice(&bytes).ok(),
            None => before,
        };
        let former = inside.filter(|inside| *inside != keys.public());
        let vault = Self { place: place.clone(), keys, disk: Some(disk), memory: None, local, view, former };
        if vault.former.is_none() {
            vault.moved_in()?;
        }
        Ok(vault)
    }

    fn without_keyring(place: &Place, keys: Keys, error: &SecretError) -> Self {
        tracing::warn!(%error, "there is no keyring: messages are kept until the app is closed");
        Self::in_memory(place, keys, VaultView::Temporary)
    }

    fn in_memory(place: &Place, keys: Keys, view: VaultView) -> Self {
        let memory = MemoryStore::default();
        let local: Local = Arc::new(memory.clone());
        Self { place: place.clone(), keys, disk: None, memory: Some(memory), local, view, former: None }
    }

    /// A vault over something else than a file, with this identity.
    #[cfg(test)]
    pub(crate) fn over(place: &Place, identity: &[u8], disk: Arc<dyn Backing>) -> Self {
        let bytes = Zeroizing::new([&[7; 32], identity].concat());
        let keys = Keys::read(&bytes, place.user).expect("an identity");
        let disk = Arc::new(Latch::new(disk));
        let local: Local = Arc::new(SealedStore::new(disk.clone(), keys.store.clone()));
        let (place, view) = (place.clone(), VaultView::Keyring);
        Self { place, keys, disk: Some(disk), memory: None, local, view, former: None }
    }

    /// Who this installation is.
    pub(crate) fn identity(&self) -> Result<DeviceIdentity, VaultError> {
        Ok(DeviceIdentity::import(&self.keys.identity)?)
    }

    /// Whether it is there at the next start.
    pub(crate) const fn is_lasting(&self) -> bool {
        matches!(self.view, VaultView::Keyring | VaultView::Passphrase)
    }

    /// Nothing of the former identity's is in the store any more.
    pub(crate) fn moved_in(&self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(INSTALLATION.to_vec(), self.keys.installation()?);
        self.local.apply(batch)?;
        self.barrier()
    }

    /// Waits until everything so far is on the disk.
    pub(crate) fn barrier(&self) -> Result<(), StoreError> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.barrier())
    }

    /// Opens the store once more after a write that failed: it is as it was at a moment before that.
    pub(crate) fn reopen(&self) -> Result<(), StoreError> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.reopen())
    }

    /// Keeps what lived in memory so far on disk, under a passphrase.
    pub(crate) fn keep_under(&mut self, passphrase: &str) -> Result<(), VaultError> {
        if passphrase.chars().count() < SHORTEST_PASSPHRASE {
            return Err(VaultError::ShortPassphrase);
        }
        let moved = self.memory.as_ref().map(|memory| self.write_down(memory)).transpose()?;
        // The keys count once what they open is there, and it is what counts once they do.
        keys::seal_to(&self.place.passphrase_file(), passphrase, &self.keys)?;
        if let Some((local, disk)) = moved {
            (self.local, self.disk, self.memory) = (local, Some(disk), None);
        }
        self.view = VaultView::Passphrase;
        Ok(())
    }

    /// A database of what lives in memory.
    fn write_down(&self, memory: &MemoryStore) -> Result<(Local, Arc<Latch>), VaultError> {
        let file = self.place.database(&self.keys, VaultView::Passphrase);
        // Of an attempt that failed; what was in memory then is not what is there now.
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let disk = open_disk(&file, &self.keys)?;
        let local: Local = Arc::new(SealedStore::new(disk.clone(), self.keys.store.clone()));
        let mut batch = Batch::default();
        for (key, value) in memory.records() {
            batch.put(key, value);
        }
        batch.put(INSTALLATION.to_vec(), self.keys.installation()?);
        local.apply(batch)?;
        disk.barrier()?;
        Ok((local, disk))
    }
}

/// Opens the file and sees that it is sealed with these keys.
fn open_disk(file: &Path, keys: &Keys) -> Result<Arc<Latch>, VaultError> {
    let disk = Disk::open(file).map_err(|error| {
        tracing::error!(%error, "the messages' file can't be opened");
        match error {
            redb::Error::DatabaseAlreadyOpen => VaultError::InUse,
            error => super::disk::kind_of(&error).into(),
        }
    })?;
    let disk = Arc::new(Latch::new(Arc::new(disk)));
    let sealed = SealedStore::new(disk.clone(), keys.store.clone());
    if sealed.get(MARK)?.is_none() {
        let mut batch = Batch::default();
        batch.put(MARK.to_vec(), Zeroizing::new(vec![1]));
        sealed.apply(batch)?;
        disk.barrier()?;
    }
    Ok(disk)
}

/// What can't be read any more does not stand in the way, and is not destroyed either.
fn set_aside(file: &Path) {
    let names = (1..).map(|number| file.with_extension(format!("redb.unreadable-{number}")));
    let free = names.into_iter().find(|name| !name.exists());
    if file.exists() && free.is_none_or(|free| fs::rename(file, free).is_err()) {
        tracing::warn!("an unreadable file stays in the profile");
    }
}

#[cfg(test)]
mod tests;
