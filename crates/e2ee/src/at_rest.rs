//! Small records on disk: sealed with a key from the keyring, or, where there is no keyring, from a passphrase.
//!
//! A record is bound to its name, so that one can't be put in another's place. What this cannot see is an old version
//! of the same record put back: whoever can write the disk can turn it back as a whole.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    AeadInPlace, KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    entropy::{self, EntropyError},
    store::{Batch, Store, StoreError},
};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const SALT_BYTES: usize = 16;
/// Version, memory (KiB), passes, lanes, salt.
const PASSPHRASE_HEADER_BYTES: usize = 1 + 4 + 4 + 4 + SALT_BYTES;
/// RFC 9106 §4, the second recommended option, for machines with little memory: 64 MiB, 3 passes, 4 lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What a file may ask for at most, so that opening a planted one can't exhaust the machine.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

/// Why a record could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not something this module wrote, or of a version that is not known yet.
    #[error("this is no sealed record of a known version")]
    Malformed,
    /// A wrong key or passphrase, another record's bytes, or damage: nothing tells these apart.
    #[error("the key does not open this record")]
    WrongKey,
    /// The record is longer than can be sealed (256 GiB).
    #[error("the record is too long")]
    TooLong,
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// A 256-bit key for records (XChaCha20-Poly1305, draft-irtf-cfrg-xchacha-03), erased from memory when dropped.
#[derive(Clone)]
pub struct RecordKey(Zeroizing<[u8; 32]>);

impl RecordKey {
    /// A new key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self, EntropyError> {
        entropy::key().map(Self)
    }

    /// A key that a secret store kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key, for a secret store and nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals `record` under `name`: version, 24 bytes of random nonce, ciphertext, tag; 41 bytes longer than `record`.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn seal(&self, name: &[u8], record: &[u8]) -> Result<Vec<u8>, RecordError> {
        let nonce: [u8; NONCE_BYTES] = entropy::bytes()?;
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + record.len() + 16);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        let text = XChaCha20Poly1305::new(self.0.as_slice().into())
            .encrypt(&nonce.into(), Payload { msg: record, aad: &bound(VERSION, name) })
            .map_err(|_| RecordError::TooLong)?;
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// What was sealed under `name`.
    ///
    /// # Errors
    /// [`RecordError::Malformed`] or [`RecordError::WrongKey`].
    pub fn open(&self, name: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        let (version, rest) = sealed.split_first().ok_or(RecordError::Malformed)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(RecordError::Malformed)?;
        if *version != VERSION || text.len() < 16 {
            return Err(RecordError::Malformed);
        }
        let mut record = Zeroizing::new(text.to_vec());
        XChaCha20Poly1305::new(self.0.as_slice().into())
            .decrypt_in_place(nonce.into(), &bound(*version, name), &mut *record)
            .map_err(|_| RecordError::WrongKey)?;
        Ok(record)
    }
}

impl std::fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordKey")
    }
}

/// What a record's tag covers besides the record.
fn bound(version: u8, name: &[u8]) -> Vec<u8> {
    [b"Bedside 1 record".as_slice(), &[version], name].concat()
}

/// Seals a secret (an exported identity, a [`RecordKey`]) with a passphrase, for machines without a keyring.
///
/// The file holds the Argon2id parameters (memory in KiB, passes, lanes), a random salt, and a record. About 0.2 s of
/// work and 64 MiB per guess; a short passphrase stays guessable for whoever has the file.
///
/// # Errors
/// When there are no random bytes.
pub fn seal_with_passphrase(passphrase: &str, secret: &[u8]) -> Result<Vec<u8>, RecordError> {
    let salt: [u8; SALT_BYTES] = entropy::bytes()?;
    let mut header = Vec::with_capacity(PASSPHRASE_HEADER_BYTES);
    header.push(VERSION);
    for number in [MEMORY_KIB, PASSES, LANES] {
        header.extend_from_slice(&number.to_be_bytes());
    }
    header.extend_from_slice(&salt);
    let sealed = passphrase_key(passphrase, &header)?.seal(&header, secret)?;
    header.extend_from_slice(&sealed);
    Ok(header)
}

/// What [`seal_with_passphrase`] sealed.
///
/// # Errors
/// [`RecordError::WrongKey`] for a wrong passphrase, [`RecordError::Malformed`] for anything that is no such file or
/// asks for more than 1 GiB, 16 passes or 16 lanes.
pub fn open_with_passphrase(passphrase: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, RecordError> {
    let (header, record) = sealed.split_at_checked(PASSPHRASE_HEADER_BYTES).ok_or(RecordError::Malformed)?;
    if header.first() != Some(&VERSION) {
        return Err(RecordError::Malformed);
    }
    passphrase_key(passphrase, header)?.open(header, record)
}

fn passphrase_key(passphrase: &str, header: &[u8]) -> Result<RecordKey, RecordError> {
    let number = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or(RecordError::Malformed)
    };
    let (memory, passes, lanes) = (number(1)?, number(5)?, number(9)?);
    if memory > MOST_MEMORY_KIB || passes > MOST_PASSES || lanes > MOST_LANES {
        return Err(RecordError::Malformed);
    }
    let salt = header.get(13..PASSPHRASE_HEADER_BYTES).ok_or(RecordError::Malformed)?;
    let mut key = Zeroizing::new([0; 32]);
    slow_hash(memory, passes, lanes, passphrase.as_bytes(), salt, key.as_mut_slice())?;
    Ok(RecordKey(key))
}

/// Argon2id version 1.3 (RFC 9106).
pub(crate) fn slow_hash(
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    input: &[u8],
    salt: &[u8],
    output: &mut [u8],
) -> Result<(), RecordError> {
    let params =
        Params::new(memory_kib, passes, lanes, Some(output.len())).map_err(|_| RecordError::Malformed)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(input, salt, output)
        .map_err(|_| RecordError::Malformed)
}

/// A [`Store`] whose records another store keeps sealed. Names are hashed with the key, so that neither which groups
/// exist nor what they hold can be read from the disk; how many records there are, and how long, can.
#[derive(Debug)]
pub struct SealedStore<S> {
    inner: S,
    key: RecordKey,
}

impl<S: Store> SealedStore<S> {
    /// `inner`, sealed with `key`.
    pub const fn new(inner: S, key: RecordKey) -> Self {
        Self { inner, key }
    }

    fn name(&self, key: &[u8]) -> [u8; 32] {
        // The secret stands before a message of any length; SHA-256's length extension gives an attacker nothing here,
        // since names are looked up and never judged.
        Sha256::new()
            .chain_update(b"Bedside 1 record name")
            .chain_update(*self.key.0)
            .chain_update(key)
            .finalize()
            .into()
    }
}

impl<S: Store> Store for SealedStore<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let name = self.name(key);
        let Some(sealed) = self.inner.get(&name)? else { return Ok(None) };
        self.key.open(&name, &sealed).map(Some).map_err(|_| StoreError::Damaged)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut outer = Batch::default();
        for (key, value) in batch {
            let name = self.name(&key);
            match value {
                Some(value) => {
                    let sealed = self.key.seal(&name, &value).map_err(|_| StoreError::Unavailable)?;
                    outer.put(name.to_vec(), Zeroizing::new(sealed));
                }
                None => outer.delete(name.to_vec()),
            }
        }
        self.inner.apply(outer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_passphrase_opens_what_it_sealed_and_another_does_not() {
        let sealed = seal_with_passphrase("six words are longer than one", b"secret").unwrap();
        assert_eq!(**open_with_passphrase("six words are longer than one", &sealed).unwrap(), *b"secret");
        assert_eq!(open_with_passphrase("guess", &sealed).unwrap_err(), RecordError::WrongKey);
    }

    #[test]
    fn a_planted_file_cannot_ask_for_all_memory() {
        let mut sealed = seal_with_passphrase("p", b"secret").unwrap();
        sealed[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(open_with_passphrase("p", &sealed).unwrap_err(), RecordError::Malformed);
    }

    #[test]
    fn weakened_parameters_do_not_open_the_file() {
        let mut sealed = seal_with_passphrase("p", b"secret").unwrap();
        sealed[5..9].copy_from_slice(&1_u32.to_be_bytes());
        assert_eq!(open_with_passphrase("p", &sealed).unwrap_err(), RecordError::WrongKey);
    }

    #[test]
    fn argon2id_answers_as_in_rfc_9106() {
        // The RFC's vector has a secret and associated data, which passphrases here have not; this one is the
        // reference implementation's own (phc-winner-argon2, test.c: m=65536, t=2, p=1, version 0x13, Argon2id).
        let mut hash = [0; 32];
        slow_hash(65_536, 2, 1, b"password", b"somesalt", &mut hash).unwrap();
        let shown: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
    }

    #[test]
    fn a_sealed_store_shows_neither_names_nor_values_and_notices_exchange() {
        let inner = MemoryStore::default();
        let store = SealedStore::new(inner.clone(), RecordKey::generate().unwrap());
        let mut batch = Batch::default();
        batch.put(b"name one".to_vec(), Zeroizing::new(b"value one".to_vec()));
        batch.put(b"name two".to_vec(), Zeroizing::new(b"value two".to_vec()));
        store.apply(batch).unwrap();
        assert_eq!(**store.get(b"name one").unwrap().unwrap(), *b"value one");
        for (name, value) in inner.records() {
            for plain in [b"name".as_slice(), b"value"] {
                assert!(!name.windows(plain.len()).any(|window| window == plain));
                assert!(!value.windows(plain.len()).any(|window| window == plain));
            }
        }
        let (one, two) = (store.name(b"name one"), store.name(b"name two"));
        let mut exchange = Batch::default();
        exchange.put(one.to_vec(), inner.get(&two).unwrap().unwrap());
        inner.apply(exchange).unwrap();
        assert_eq!(store.get(b"name one").unwrap_err(), StoreError::Damaged);
    }

    proptest! {
        #[test]
        fn a_record_comes_back_under_its_name_only(record: Vec<u8>, name: Vec<u8>, other: Vec<u8>) {
            let key = RecordKey::generate().unwrap();
            let sealed = key.seal(&name, &record).unwrap();
            prop_assert_eq!(&**key.open(&name, &sealed).unwrap(), &record[..]);
            if other != name {
                prop_assert_eq!(key.open(&other, &sealed).unwrap_err(), RecordError::WrongKey);
            }
            let stranger = RecordKey::generate().unwrap();
            prop_assert_eq!(stranger.open(&name, &sealed).unwrap_err(), RecordError::WrongKey);
        }

        #[test]
        fn a_changed_record_does_not_open(record: Vec<u8>, at: proptest::sample::Index, bit in 0..8) {
            let key = RecordKey::generate().unwrap();
            let mut sealed = key.seal(b"name", &record).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
            prop_assert!(key.open(b"name", &sealed).is_err());
        }

        #[test]
        fn random_bytes_are_no_record(bytes: Vec<u8>) {
            prop_assert!(RecordKey::generate().unwrap().open(b"name", &bytes).is_err());
            if bytes.len() < PASSPHRASE_HEADER_BYTES {
                prop_assert!(open_with_passphrase("p", &bytes).is_err());
            }
        }
    }
}
