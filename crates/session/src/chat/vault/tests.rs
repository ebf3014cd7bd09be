use bedside_protocol::Secret;
use tempfile::TempDir;

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

/// Where a device keeps what it has, for as long as the folder lives.
fn place() -> (TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let place =
        Place { folder: folder.path().to_owned(), user: UserId::random(), device: DeviceId::random() };
    (folder, place)
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
    let (secrets, (_folder, place)) = (Secrets::default(), place());
    let vault = opened(open(&secrets, &place).unwrap());
    put(&vault, b"kept");
    let before = vault.identity().unwrap().public();
    drop(vault);
    let vault = opened(open(&secrets, &place).unwrap());
    assert_eq!(vault.identity().unwrap().public(), before);
    assert_eq!(**vault.local.get(b"note").unwrap().unwrap(), *b"kept");
}

#[test]
fn nothing_of_a_record_can_be_read_from_the_disk() {
    let (secrets, (_folder, place)) = (Secrets::default(), place());
    let vault = opened(open(&secrets, &place).unwrap());
    put(&vault, b"the patient is allergic to penicillin");
    drop(vault);
    let bytes = fs::read(file_of(&place)).unwrap();
    assert!(!bytes.windows(10).any(|part| part == b"penicillin"));
    assert!(!bytes.windows(4).any(|part| part == b"note"));
}

/// The one database in the folder.
fn file_of(place: &Place) -> PathBuf {
    let files = fs::read_dir(&place.folder).unwrap().flatten().map(|entry| entry.path());
    let files: Vec<_> = files.filter(|file| file.extension().is_some_and(|kind| kind == "redb")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[test]
fn another_device_id_changes_the_identity_and_nothing_that_was_kept() {
    let (secrets, (_folder, mut place)) = (Secrets::default(), place());
    let vault = opened(open(&secrets, &place).unwrap());
    put(&vault, b"kept");
    let before = vault.identity().unwrap().public();
    drop(vault);
    place.device = DeviceId::random();
    let vault = opened(open(&secrets, &place).unwrap());
    assert_eq!(vault.identity().unwrap().public().device, place.device);
    assert_eq!(vault.former, Some(before), "whose groups are in it");
    assert_eq!(**vault.local.get(b"note").unwrap().unwrap(), *b"kept");
    let now = vault.identity().unwrap().public();
    // Until the former one's groups are out, it is asked for each time.
    drop(vault);
    let vault = opened(open(&secrets, &place).unwrap());
    assert_eq!((vault.identity().unwrap().public(), vault.former), (now, Some(before)));
    vault.moved_in().unwrap();
    drop(vault);
    assert_eq!(opened(open(&secrets, &place).unwrap()).former, None);
}

#[test]
fn another_device_id_under_a_passphrase_loses_nothing_either() {
    let (_folder, mut place) = place();
    let mut vault = opened(open(&NoKeyring, &place).unwrap());
    put(&vault, b"kept");
    vault.keep_under("correct horse battery").unwrap();
    let before = vault.identity().unwrap().public();
    drop(vault);
    place.device = DeviceId::random();
    let vault = unlock(&place, "correct horse battery").unwrap();
    assert_eq!(vault.former, Some(before));
    assert_eq!(**vault.local.get(b"note").unwrap().unwrap(), *b"kept");
    drop(vault);
    let again = unlock(&place, "correct horse battery").unwrap();
    assert_eq!(again.identity().unwrap().public().device, place.device);
}

/// A keyring that dies at the n-th change.
struct Dying(Secrets, std::cell::Cell<u32>);

// Used by one thread of one test.
impl SecretStore for std::sync::Mutex<Dying> {
    fn load(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        self.lock().unwrap().0.load(name)
    }
    fn save(&self, name: &str, secret: &Secret) -> Result<(), SecretError> {
        let dying = self.lock().unwrap();
        let left = dying.1.get().checked_sub(1).ok_or(SecretError::Damaged)?;
        dying.1.set(left);
        dying.0.save(name, secret)
    }
    fn delete(&self, name: &str) -> Result<(), SecretError> {
        let dying = self.lock().unwrap();
        let left = dying.1.get().checked_sub(1).ok_or(SecretError::Damaged)?;
        dying.1.set(left);
        dying.0.delete(name)
    }
    fn is_lasting(&self) -> bool {
        true
    }
}

#[test]
fn a_keyring_that_dies_at_any_change_still_opens_what_was_kept() {
    for changes in 0..5 {
        let (keyring, (_folder, mut place)) =
            (std::sync::Mutex::new(Dying(Secrets::default(), std::cell::Cell::new(9))), place());
        put(&opened(open(&keyring, &place).unwrap()), b"kept");
        place.device = DeviceId::random();
        keyring.lock().unwrap().1.set(changes);
        // It opens, or says that it could not be done.
        let _ = open(&keyring, &place);
        keyring.lock().unwrap().1.set(9);
        let vault = opened(open(&keyring, &place).unwrap());
        assert_eq!(vault.identity().unwrap().public().device, place.device);
        assert_eq!(**vault.local.get(b"note").unwrap().unwrap(), *b"kept", "after {changes} changes");
        drop(vault);
    }
}

#[test]
fn a_keyring_that_is_locked_once_costs_nothing_of_what_is_under_it() {
    let (secrets, (_folder, place)) = (Secrets::default(), place());
    let vault = opened(open(&secrets, &place).unwrap());
    put(&vault, b"kept");
    let before = vault.identity().unwrap().public();
    drop(vault);
    let other = Place { device: DeviceId::random(), ..place.clone() };
    let mut locked = opened(open(&NoKeyring, &other).unwrap());
    assert_eq!(locked.view, VaultView::Temporary);
    put(&locked, b"of the day without the keyring");
    locked.keep_under("correct horse battery").unwrap();
    drop(locked);
    assert_eq!(installed(&secrets, &place.folder, place.user, place.device).unwrap(), Some(place.device));
    assert_eq!(installed(&NoKeyring, &place.folder, place.user, other.device).unwrap(), Some(other.device));
    let vault = opened(open(&secrets, &place).unwrap());
    assert_eq!((vault.identity().unwrap().public(), vault.former), (before, None));
    assert_eq!(**vault.local.get(b"note").unwrap().unwrap(), *b"kept");
    let day = unlock(&other, "correct horse battery").unwrap();
    assert_eq!(**day.local.get(b"note").unwrap().unwrap(), *b"of the day without the keyring");
}

#[test]
fn what_nobody_can_open_any_more_does_not_pile_up() {
    let (_folder, place) = place();
    for _ in 0..3 {
        // A store that ends with its process.
        put(&opened(open(&Secrets::default(), &place).unwrap()), b"gone");
        file_of(&place);
    }
}

#[test]
fn the_database_of_an_earlier_version_is_taken_over() {
    let (secrets, (_folder, place)) = (Secrets::default(), place());
    put(&opened(open(&secrets, &place).unwrap()), b"kept");
    let old = place.folder.join(format!("messages-{}.redb", place.user));
    fs::rename(file_of(&place), &old).unwrap();
    let vault = opened(open(&secrets, &place).unwrap());
    assert_eq!(**vault.local.get(b"note").unwrap().unwrap(), *b"kept");
    assert!(!old.exists());
}

#[test]
fn without_a_keyring_a_passphrase_keeps_what_memory_held() {
    let (_folder, place) = place();
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
}

#[test]
fn a_passphrase_that_could_not_be_set_leaves_everything_as_it_was_and_is_set_the_next_time() {
    let (_folder, place) = place();
    let mut vault = opened(open(&NoKeyring, &place).unwrap());
    put(&vault, b"of then");
    let file = place.passphrase_file();
    fs::create_dir(&file).unwrap();
    assert!(vault.keep_under("correct horse battery").is_err());
    assert_eq!(vault.view, VaultView::Temporary);
    let mut batch = bedside_e2ee::store::Batch::default();
    batch.put(b"other".to_vec(), Zeroizing::new(b"of now".to_vec()));
    batch.delete(b"note".to_vec());
    vault.local.apply(batch).unwrap();
    fs::remove_dir(&file).unwrap();
    vault.keep_under("correct horse battery").unwrap();
    drop(vault);
    let vault = unlock(&place, "correct horse battery").unwrap();
    assert_eq!(**vault.local.get(b"other").unwrap().unwrap(), *b"of now");
    assert!(vault.local.get(b"note").unwrap().is_none(), "what was deleted meanwhile");
}

#[test]
fn a_run_that_is_still_closing_is_waited_for_and_takes_nothing_with_it() {
    let (secrets, (_folder, place)) = (Secrets::default(), place());
    let last = opened(open(&secrets, &place).unwrap());
    put(&last, b"kept");
    std::thread::scope(|scope| {
        let next = scope.spawn(|| opened(open(&secrets, &place).unwrap()));
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!next.is_finished(), "it waits");
        drop(last);
        let next = next.join().unwrap();
        assert_eq!(**next.local.get(b"note").unwrap().unwrap(), *b"kept");
    });
}

#[test]
fn a_damaged_file_is_set_aside_and_nothing_stops() {
    let (secrets, (_folder, place)) = (Secrets::default(), place());
    for _ in 0..3 {
        put(&opened(open(&secrets, &place).unwrap()), b"kept");
        fs::write(file_of(&place), b"not a database").unwrap();
        assert!(opened(open(&secrets, &place).unwrap()).local.get(b"note").unwrap().is_none());
    }
    let set_aside = fs::read_dir(&place.folder).unwrap().flatten();
    let set_aside = set_aside.filter(|entry| entry.file_name().to_string_lossy().contains("unreadable"));
    assert_eq!(set_aside.count(), 3, "none takes the place of another");
}
