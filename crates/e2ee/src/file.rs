//! A file, or any other stream, sealed in chunks.
//!
//! The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015; the crate `aead`'s `StreamBE32`) over
//! XChaCha20-Poly1305: chunks of 64 KiB, each with its own nonce of prefix, position and whether it is the last. A
//! missing, repeated, exchanged or added chunk, or an end that came too early, does not open. One key per file; key and
//! digest travel inside an MLS message. Memory stays flat: one chunk at a time, whatever the length.
//!
//! Any chunk can be sealed or opened by its position, so that a transfer goes on at a chunk's boundary after a restart.
//! Sealing the same chunk again gives the same bytes; sealing *another* file with a used key must never happen, so
//! [`FileKey`] can't be chosen, only generated.

use std::io::{self, Read, Write};

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
    /// The stream ended before its last chunk.
    #[error("the file ends too early")]
    Truncated,
    /// Longer than [`MAX_CONTENT_BYTES`], or a position beyond it.
    #[error("the file is too long")]
    TooLong,
    /// The sealed bytes are not the ones that the sender named.
    #[error("the file is not the one that was announced")]
    WrongDigest,
    /// The bytes are no exported key.
    #[error("these bytes are no file key")]
    BadKey,
    /// The disk or the network, underneath.
    #[error(transparent)]
    Io(#[from] io::Error),
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

/// Where `offset` of the content lies: its chunk, and that chunk's first sealed byte. For going on after a restart.
#[must_use]
pub fn resume_point(offset: u64) -> Option<(u32, u64)> {
    let position = u32::try_from(offset / CHUNK_BYTES as u64).ok()?;
    Some((position, u64::from(position) * SEALED_CHUNK_BYTES as u64))
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

/// Reads content and gives it sealed, chunk by chunk.
#[derive(Debug)]
pub struct FileSealer<R> {
    content: R,
    key: FileKey,
    next: u32,
    /// Content read ahead, to know whether a chunk is the last.
    ahead: Vec<u8>,
    done: bool,
}

impl<R: Read> FileSealer<R> {
    /// Seals `content`, whose first byte is that of chunk `position` (0 for the whole file).
    pub const fn new(key: FileKey, content: R, position: u32) -> Self {
        Self { content, key, next: position, ahead: Vec::new(), done: false }
    }

    /// The next sealed chunk in `sealed`, or `false` when there is none.
    ///
    /// # Errors
    /// What reading the content gives, and [`FileError::TooLong`].
    pub fn next_chunk(&mut self, sealed: &mut Vec<u8>) -> Result<bool, FileError> {
        if self.done {
            sealed.clear();
            return Ok(false);
        }
        // One byte more than a chunk: whether there is one says whether this chunk is the last.
        let wanted = CHUNK_BYTES + 1 - self.ahead.len();
        self.content.by_ref().take(wanted as u64).read_to_end(&mut self.ahead)?;
        let last = self.ahead.len() <= CHUNK_BYTES;
        let rest = self.ahead.split_off(self.ahead.len().min(CHUNK_BYTES));
        std::mem::swap(sealed, &mut self.ahead);
        self.ahead.clear();
        self.ahead.extend_from_slice(&rest);
        self.key.seal_chunk(self.next, last, sealed)?;
        if last {
            self.done = true;
        } else {
            self.next = self.next.checked_add(1).ok_or(FileError::TooLong)?;
        }
        Ok(true)
    }
}

/// Takes sealed bytes in pieces of any size and writes content that is genuine up to there.
#[derive(Debug)]
pub struct FileOpener<W> {
    content: W,
    key: FileKey,
    next: u32,
    /// Sealed bytes of the chunk that is not complete, or not known to be followed by another.
    held: Vec<u8>,
}

impl<W: Write> FileOpener<W> {
    /// Writes to `content`, beginning with chunk `position` (0 for the whole file).
    pub const fn new(key: FileKey, content: W, position: u32) -> Self {
        Self { content, key, next: position, held: Vec::new() }
    }

    /// The next sealed bytes. A full chunk is held back until more follows, as it might be the last.
    ///
    /// # Errors
    /// [`FileError::Damaged`] for the first chunk that is not genuine; what writing gives.
    pub fn update(&mut self, mut sealed: &[u8]) -> Result<(), FileError> {
        while !sealed.is_empty() {
            if self.held.len() == SEALED_CHUNK_BYTES {
                self.open(false)?;
                self.next = self.next.checked_add(1).ok_or(FileError::TooLong)?;
            }
            let (now, later) = sealed.split_at(sealed.len().min(SEALED_CHUNK_BYTES - self.held.len()));
            self.held.extend_from_slice(now);
            sealed = later;
        }
        Ok(())
    }

    /// How many chunks from the file's beginning are written and genuine.
    pub const fn position(&self) -> u32 {
        self.next
    }

    /// Opens the last chunk. Only now is the file whole; gives back where the content was written.
    ///
    /// # Errors
    /// [`FileError::Truncated`] when what came so far ends at a chunk's boundary, [`FileError::Damaged`] when it ends
    /// inside one or its last chunk is not genuine.
    pub fn finish(mut self) -> Result<W, FileError> {
        let mut middle = self.held.clone();
        if let Err(error) = self.open(true) {
            let genuine = self.key.open_chunk(self.next, false, &mut middle).is_ok();
            return Err(if middle.is_empty() || genuine { FileError::Truncated } else { error });
        }
        self.content.flush()?;
        Ok(self.content)
    }

    fn open(&mut self, last: bool) -> Result<(), FileError> {
        if let Err(error) = self.key.open_chunk(self.next, last, &mut self.held) {
            self.held.clear();
            return Err(error);
        }
        self.content.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;
