//! This installation's identity and the key of its local store: where they are kept, and how they are opened.
//!
//! Both are one secret in the system's keyring. Where there is none, they are a file under a passphrase; where there is
//! none of that either, they live in memory and end with the process, and the window says so.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedside_e2ee::{
    DeviceIdentity,
    at_rest::{self, RecordError, RecordKey, SealedStore},
    identity::IdentityError,
    store::{MemoryStore, Store, StoreError},
};
use bedside_protocol::{DeviceId, Secret, UserId};
use bedside_ui_contract::chat::VaultView;
use zeroize::Zeroizing;

use super::disk::{Backing, Disk};
use crate::secrets::SecretStore;

/// Records of this device, whatever they lie in.
pub(crate) type Local = Arc<dyn Store + Send + Sync>;

/// The shortest passphrase for a new file, characters.
const SHORTEST_PASSPHRASE: usize = 12;
/// Names the store in which everything else is.
const MARK: &[u8] = b"mark";

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
    Store(#[from] StoreError),
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
    fn secret(&self) -> String {
        format!("vault-{}", self.user)
    }

    fn passphrase_file(&self) -> PathBuf {
        self.folder.join(format!("vault-{}.sealed", self.user))
    }

    fn database(&self) -> PathBuf {
        self.folder.join(format!("messages-{}.redb", self.user))
    }
}

/// What is secret: the identity and the key of everything on disk.
struct Keys {
    identity: Zeroizing<Vec<u8>>,
    store: RecordKey,
}

impl Keys {
    fn generate(place: &Place) -> Result<Self, VaultError> {
        let identity = DeviceIdentity::generate(place.user, place.device)?;
        Ok(Self { identity: identity.export(), store: RecordKey::generate().map_err(RecordError::from)? })
    }

    fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 + self.identity.len()));
        bytes.extend_from_slice(self.store.expose());
        bytes.extend_from_slice(&self.identity);
        bytes
    }

    /// `None` for what is damaged, or belongs to another installation.
    fn read(bytes: &[u8], place: &Place) -> Option<Self> {
        let (store, identity) = bytes.split_first_chunk::<32>()?;
        let public = DeviceIdentity::import(identity).ok()?.public();
        let ours = public.user == place.user && public.device == place.device;
        ours.then(|| Self {
            identity: Zeroizing::new(identity.to_vec()),
            store: RecordKey::from_bytes(*store),
        })
    }
}

/// An open vault.
pub(crate) struct Vault {
    place: Place,
    keys: Keys,
    /// Present when records are kept on disk.
    disk: Option<Arc<dyn Backing>>,
    /// Present when they are not.
    memory: Option<MemoryStore>,
    /// Everything this device keeps, sealed.
    pub(crate) local: Local,
    /// What the window says about it.
    pub(crate) view: VaultView,
    /// Nothing was there: the device is new, or has lost what it had.
    pub(crate) fresh: bool,
}

/// What opening came to.
pub(crate) enum Opening {
    Open(Box<Vault>),
    /// A passphrase is wanted.
    Locked,
}

/// Opens the vault, or makes one. Blocking: the keyring may ask its user for a password.
pub(crate) fn open(secrets: &dyn SecretStore, place: &Place) -> Result<Opening, VaultError> {
    fs::create_dir_all(&place.folder)?;
    let stored = secrets.load(&place.secret());
    if let Ok(Some(secret)) = &stored {
        let bytes = STANDARD.decode(secret.expose()).map(Zeroizing::new).ok();
        if let Some(keys) = bytes.and_then(|bytes| Keys::read(&bytes, place)) {
            let view = if secrets.is_lasting() { VaultView::Keyring } else { VaultView::Temporary };
            return Ok(Opening::Open(Box::new(Vault::on_disk(place, keys, view)?)));
        }
    } else if place.passphrase_file().exists() {
        return Ok(Opening::Locked);
    }
    // A new installation, or one whose keys are lost: what was sealed with them can't be read any more.
    let keys = Keys::generate(place)?;
    let text = Secret::new(STANDARD.encode(&*keys.write()));
    if stored.is_ok() && secrets.save(&place.secret(), &text).is_ok() {
        set_aside(&place.database());
        let view = if secrets.is_lasting() { VaultView::Keyring } else { VaultView::Temporary };
        return Ok(Opening::Open(Box::new(Vault::on_disk(place, keys, view)?)));
    }
    tracing::warn!("there is no keyring: messages are kept until the app is closed");
    Ok(Opening::Open(Box::new(Vault::in_memory(place, keys, VaultView::Temporary))))
}

/// Opens the vault with its passphrase.
pub(crate) fn unlock(place: &Place, passphrase: &str) -> Result<Vault, VaultError> {
    let sealed = fs::read(place.passphrase_file())?;
    let bytes = match at_rest::open_with_passphrase(passphrase, &sealed) {
        Ok(bytes) => bytes,
        Err(RecordError::WrongKey) => return Err(VaultError::WrongPassphrase),
        Err(error) => return Err(error.into()),
    };
    match Keys::read(&bytes, place) {
        Some(keys) => Vault::on_disk(place, keys, VaultView::Passphrase),
        None => {
            // The server took this for another installation: its identity is of no use.
            let keys = Keys::generate(place)?;
            seal_to(place, passphrase, &keys)?;
            set_aside(&place.database());
            Vault::on_disk(place, keys, VaultView::Passphrase)
        }
    }
}

impl Vault {
    fn on_disk(place: &Place, keys: Keys, view: VaultView) -> Result<Self, VaultError> {
        let (disk, fresh) = match open_disk(place, &keys) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, "the messages on this computer can't be read; they are set aside");
                set_aside(&place.database());
                match open_disk(place, &keys) {
                    Ok(opened) => opened,
                    Err(error) => {
                        tracing::error!(%error, "nothing can be kept on this computer");
                        return Ok(Self::in_memory(place, keys, VaultView::Broken));
                    }
                }
            }
        };
        let local: Local = Arc::new(SealedStore::new(disk.clone(), keys.store.clone()));
        Ok(Self { place: place.clone(), keys, disk: Some(disk), memory: None, local, view, fresh })
    }

    fn in_memory(place: &Place, keys: Keys, view: VaultView) -> Self {
        let memory = MemoryStore::default();
        let local: Local = Arc::new(memory.clone());
        Self { place: place.clone(), keys, disk: None, memory: Some(memory), local, view, fresh: true }
    }

    /// A vault over something else than a file, with this identity.
    #[cfg(test)]
    pub(crate) fn over(place: &Place, identity: &[u8], disk: Arc<dyn Backing>, fresh: bool) -> Self {
        let identity = Zeroizing::new(identity.to_vec());
        let keys = Keys { identity, store: RecordKey::from_bytes([7; 32]) };
        let local: Local = Arc::new(SealedStore::new(disk.clone(), keys.store.clone()));
        let (place, view) = (place.clone(), VaultView::Keyring);
        Self { place, keys, disk: Some(disk), memory: None, local, view, fresh }
    }

    /// Who this installation is.
    pub(crate) fn identity(&self) -> Result<DeviceIdentity, VaultError> {
        Ok(DeviceIdentity::import(&self.keys.identity)?)
    }

    /// Waits until everything so far is on the disk.
    pub(crate) fn barrier(&self) -> Result<(), StoreError> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.barrier())
    }

    /// Keeps what lived in memory so far on disk, under a passphrase.
    pub(crate) fn keep_under(&mut self, passphrase: &str) -> Result<(), VaultError> {
        if passphrase.chars().count() < SHORTEST_PASSPHRASE {
            return Err(VaultError::ShortPassphrase);
        }
        seal_to(&self.place, passphrase, &self.keys)?;
        if let Some(memory) = self.memory.take() {
            set_aside(&self.place.database());
            let (disk, _) = open_disk(&self.place, &self.keys)?;
            let local: Local = Arc::new(SealedStore::new(disk.clone(), self.keys.store.clone()));
            let mut batch = bedside_e2ee::store::Batch::default();
            for (key, value) in memory.records() {
                batch.put(key, value);
            }
            local.apply(batch)?;
            disk.barrier()?;
            self.local = local;
            self.disk = Some(disk);
        }
        self.view = VaultView::Passphrase;
        Ok(())
    }
}

/// Opens the file and sees that it is sealed with this key; says whether it is new.
fn open_disk(place: &Place, keys: &Keys) -> Result<(Arc<Disk>, bool), StoreError> {
    let disk = Disk::open(&place.database()).map_err(|error| {
        tracing::error!(%error, "the messages' file can't be opened");
        StoreError::Unavailable
    })?;
    let disk = Arc::new(disk);
    let sealed = SealedStore::new(disk.clone(), keys.store.clone());
    let fresh = sealed.get(MARK)?.is_none();
    if fresh {
        let mut batch = bedside_e2ee::store::Batch::default();
        batch.put(MARK.to_vec(), Zeroizing::new(vec![1]));
        sealed.apply(batch)?;
        disk.barrier()?;
    }
    Ok((disk, fresh))
}

fn seal_to(place: &Place, passphrase: &str, keys: &Keys) -> Result<(), VaultError> {
    let sealed = at_rest::seal_with_passphrase(passphrase, &keys.write())?;
    let file = place.passphrase_file();
    let temporary = file.with_extension("new");
    fs::write(&temporary, sealed)?;
    Ok(fs::rename(temporary, file)?)
}

/// What can't be read any more does not stand in the way, and is not destroyed either.
fn set_aside(file: &Path) {
    if file.exists() && fs::rename(file, file.with_extension("redb.unreadable")).is_err() {
        tracing::warn!("an unreadable file stays in the profile");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{MemoryStore as Secrets, SecretError};

    /// A machine without a keyring.
    struct NoKeyring;

    impl SecretStore for NoKeyring {
        fn load(&self, _: &str) -> Result<Option<Secret>, SecretError> {
            Err(SecretError::Damaged)
        }
        fn save(&self, _: &str, _: &Secret) -> Result<(), SecretError> {
            Err(SecretError::Damaged)
        }
        fn delete(&self, _: &str) -> Result<(), SecretError> {
            Err(SecretError::Damaged)
        }
        fn is_lasting(&self) -> bool {
            false
        }
    }

    fn place() -> Place {
        let folder = std::env::temp_dir().join(format!("bedside-vault-{}", uuid::Uuid::new_v4()));
        Place { folder, user: UserId::random(), device: DeviceId::random() }
    }

    fn opened(opening: Opening) -> Vault {
        match opening {
            Opening::Open(vault) => *vault,
            Opening::Locked => panic!("the vault is locked"),
        }
    }

    fn put(vault: &Vault, value: &[u8]) {
        let mut batch = bedside_e2ee::store::Batch::default();
        batch.put(b"note".to_vec(), Zeroizing::new(value.to_vec()));
        vault.local.apply(batch).unwrap();
        vault.barrier().unwrap();
    }

    #[test]
    fn identity_and_records_are_the_same_after_a_restart() {
        let (secrets, place) = (Secrets::default(), place());
        let vault = opened(open(&secrets, &place).unwrap());
        assert!(vault.fresh);
        put(&vault, b"kept");
        let before = vault.identity().unwrap().public();
        drop(vault);
        let vault = opened(open(&secrets, &place).unwrap());
        assert!(!vault.fresh);
        assert_eq!(vault.identity().unwrap().public(), before);
        assert_eq!(**vault.local.get(b"note").unwrap().unwrap(), *b"kept");
        fs::remove_dir_all(place.folder).unwrap();
    }

    #[test]
    fn nothing_of_a_record_can_be_read_from_the_disk() {
        let (secrets, place) = (Secrets::default(), place());
        let vault = opened(open(&secrets, &place).unwrap());
        put(&vault, b"the patient is allergic to penicillin");
        drop(vault);
        let bytes = fs::read(place.database()).unwrap();
        assert!(!bytes.windows(10).any(|part| part == b"penicillin"));
        assert!(!bytes.windows(4).any(|part| part == b"note"));
        fs::remove_dir_all(place.folder).unwrap();
    }

    #[test]
    fn another_installation_gets_another_identity_and_an_empty_store() {
        let (secrets, mut place) = (Secrets::default(), place());
        put(&opened(open(&secrets, &place).unwrap()), b"kept");
        place.device = DeviceId::random();
        let vault = opened(open(&secrets, &place).unwrap());
        assert!(vault.fresh);
        assert_eq!(vault.identity().unwrap().public().device, place.device);
        assert!(vault.local.get(b"note").unwrap().is_none());
        fs::remove_dir_all(place.folder).unwrap();
    }

    #[test]
    fn without_a_keyring_a_passphrase_keeps_what_memory_held() {
        let place = place();
        let mut vault = opened(open(&NoKeyring, &place).unwrap());
        assert_eq!(vault.view, VaultView::Temporary);
        put(&vault, b"kept");
        let before = vault.identity().unwrap().public();
        assert!(matches!(vault.keep_under("short"), Err(VaultError::ShortPassphrase)));
        vault.keep_under("correct horse battery").unwrap();
        drop(vault);
        assert!(matches!(open(&NoKeyring, &place).unwrap(), Opening::Locked));
        assert!(matches!(unlock(&place, "wrong horse battery"), Err(VaultError::WrongPassphrase)));
        let vault = unlock(&place, "correct horse battery").unwrap();
        assert_eq!(vault.identity().unwrap().public(), before);
        assert_eq!(**vault.local.get(b"note").unwrap().unwrap(), *b"kept");
        fs::remove_dir_all(place.folder).unwrap();
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_nothing_stops() {
        let (secrets, place) = (Secrets::default(), place());
        drop(opened(open(&secrets, &place).unwrap()));
        fs::write(place.database(), b"not a database").unwrap();
        assert!(opened(open(&secrets, &place).unwrap()).fresh);
        fs::remove_dir_all(place.folder).unwrap();
    }
}
