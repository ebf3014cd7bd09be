//! A file, or any other stream, sealed in chunks.
//!
//! The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015; the crate `aead`'s `StreamBE32`) over
//! XChaCha20-Poly1305: chunks of 64 KiB, each with its own nonce of prefix, position and whether it is the last. A
//! missing, repeated, exchanged or added chunk, or an end that came too early, does not open. One key per file; key,
//! length and digest travel inside an MLS message.
//!
//! Any chunk is sealed or opened by its position: memory stays flat, and a transfer goes on at a chunk's boundary.
//! Sealing the same chunk again gives the same bytes; sealing *another* file with a used key must never happen, so
//! [`FileKey`] can't be chosen, only generated.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::stream::{NewStream, StreamBE32, StreamPrimitive},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::entropy::{self, EntropyError};

/// Bytes of content in every chunk but the last, which may be shorter, and empty only in an empty file.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that sealing adds to each chunk.
pub const TAG_BYTES: usize = 16;
/// Bytes of every sealed chunk but the last.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// The longest content, in bytes: the counter's end, 256 TiB.
pub const MAX_CONTENT_BYTES: u64 = (1 << 32) * CHUNK_BYTES as u64;

const KEY_BYTES: usize = 32;
const NONCE_PREFIX_BYTES: usize = 19;
const VERSION: u8 = 1;
const BOUND: &[u8] = b"Bedside 1 file";

/// Why a file was not sealed or opened. Nothing that was written so far may be kept under the file's name.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A chunk was changed, repeated, exchanged, cut, or sealed with another key.
    #[error("chunk {position} of the file does not open")]
    Damaged {
        /// Which chunk, counted from 0.
        position: u32,
    },
    /// Longer than [`MAX_CONTENT_BYTES`], or a position beyond it.
    #[error("the file is too long")]
    TooLong,
    /// The sealed bytes are not the ones that the sender named.
    #[error("the file is not the one that was announced")]
    WrongDigest,
    /// The bytes are no exported key.
    #[error("these bytes are no file key")]
    BadKey,
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// One file's key and nonce prefix. Erased from memory when dropped.
#[derive(Clone)]
pub struct FileKey(Zeroizing<[u8; KEY_BYTES + NONCE_PREFIX_BYTES]>);

impl FileKey {
    /// A new key, for one file.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self, FileError> {
        Ok(Self(entropy::key()?))
    }

    /// 52 bytes for an MLS message or a sealed record.
    #[must_use]
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![VERSION]);
        bytes.extend_from_slice(self.0.as_slice());
        bytes
    }

    /// What [`export`](Self::export) wrote.
    ///
    /// # Errors
    /// [`FileError::BadKey`] for anything else.
    pub fn import(bytes: &[u8]) -> Result<Self, FileError> {
        match bytes.split_first() {
            Some((&VERSION, key)) => {
                let key: &[u8; KEY_BYTES + NONCE_PREFIX_BYTES] =
                    key.try_into().map_err(|_| FileError::BadKey)?;
                Ok(Self(Zeroizing::new(*key)))
            }
            _ => Err(FileError::BadKey),
        }
    }

    fn stream(&self) -> StreamBE32<XChaCha20Poly1305> {
        let (key, prefix) = self.0.split_at(KEY_BYTES);
        StreamBE32::from_aead(XChaCha20Poly1305::new(key.into()), prefix.into())
    }

    /// Seals the chunk at `position` in place, making it 16 bytes longer. Every chunk but the last has
    /// [`CHUNK_BYTES`] bytes.
    ///
    /// # Errors
    /// [`FileError::TooLong`] for a chunk that is too long.
    pub fn seal_chunk(&self, position: u32, last: bool, chunk: &mut Vec<u8>) -> Result<(), FileError> {
        if chunk.len() > CHUNK_BYTES || (!last && chunk.len() < CHUNK_BYTES) {
            return Err(FileError::TooLong);
        }
        self.stream().encrypt_in_place(position, last, BOUND, chunk).map_err(|_| FileError::TooLong)
    }

    /// Opens the chunk at `position` in place; what is in `chunk` after an error must not be used.
    ///
    /// # Errors
    /// [`FileError::Damaged`].
    pub fn open_chunk(&self, position: u32, last: bool, chunk: &mut Vec<u8>) -> Result<(), FileError> {
        let damaged = FileError::Damaged { position };
        if chunk.len() > SEALED_CHUNK_BYTES || (!last && chunk.len() < SEALED_CHUNK_BYTES) {
            return Err(damaged);
        }
        self.stream().decrypt_in_place(position, last, BOUND, chunk).map_err(|_| damaged)
    }
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileKey")
    }
}

/// Bytes that `content` bytes take up when sealed, or nothing when that is too long.
#[must_use]
pub fn sealed_bytes(content: u64) -> Option<u64> {
    let chunks = content.div_ceil(CHUNK_BYTES as u64).max(1);
    (content <= MAX_CONTENT_BYTES).then(|| content + chunks * TAG_BYTES as u64)
}

/// SHA-256 of sealed bytes: what the sender announces and the server may check. The content's own digest is not told
/// to the server, who could recognise a known file by it.
#[derive(Clone, Default)]
pub struct FileDigest(Sha256);

impl FileDigest {
    /// Takes in the next sealed bytes.
    pub fn update(&mut self, sealed: &[u8]) {
        self.0.update(sealed);
    }

    /// Whether all of them are what was announced.
    ///
    /// # Errors
    /// [`FileError::WrongDigest`] when not.
    pub fn check(self, announced: &[u8; 32]) -> Result<(), FileError> {
        if self.finish() == *announced { Ok(()) } else { Err(FileError::WrongDigest) }
    }

    /// The digest of all of them.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

impl std::fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileDigest")
    }
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;
