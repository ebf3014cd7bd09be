//! The file that is sent: read chunk by chunk, sealed, hashed, watched for changes.

use std::{
    collections::VecDeque,
    fs::{File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    time::UNIX_EPOCH,
};

use bedside_e2ee::file::{CHUNK_BYTES, FileDigest, FileKey, SEALED_CHUNK_BYTES, sealed_bytes};
use bedside_ui_contract::chat::TransferFailure;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{MAX_FILE_BYTES, failure::Stop};

/// States of the digest that are kept, to go back to.
const MARKS: usize = 3;

/// What tells whether a file is still the one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Its length.
    pub(super) bytes: u64,
    /// When it was written last, seconds and nanoseconds after 1970; absent where the system does not say.
    modified: Option<(u64, u32)>,
}

impl Stamp {
    /// The stamp of the regular file at `path`.
    pub(super) fn of(path: &Path) -> Result<Self, Stop> {
        Self::read(&path.metadata()?)
    }

    fn read(metadata: &Metadata) -> Result<Self, Stop> {
        if !metadata.is_file() {
            return Err(TransferFailure::NoAccess.into());
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(TransferFailure::TooLarge.into());
        }
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            bytes: metadata.len(),
            modified: modified.map(|since| (since.as_secs(), since.subsec_nanos())),
        })
    }
}

/// An open file with its key. Blocking.
pub(super) struct Source {
    file: File,
    stamp: Stamp,
    key: FileKey,
    total: u64,
    digest: FileDigest,
    /// Sealed bytes in `digest`.
    hashed: u64,
    /// Earlier states of both, oldest first.
    marks: VecDeque<(u64, FileDigest)>,
}

impl Source {
    /// Opens the file, unless it has changed since `stamp`.
    pub(super) fn open(path: &Path, stamp: Stamp, key: FileKey) -> Result<Self, Stop> {
        let file = File::open(path)?;
        let total = sealed_bytes(stamp.bytes).ok_or(TransferFailure::TooLarge)?;
        let (digest, marks) = (FileDigest::default(), VecDeque::new());
        let source = Self { file, stamp, key, total, digest, hashed: 0, marks };
        source.check()?;
        Ok(source)
    }

    /// Bytes of the whole sealed file.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Fails when the file has changed.
    pub(super) fn check(&self) -> Result<(), Stop> {
        if Stamp::read(&self.file.metadata()?)? == self.stamp {
            Ok(())
        } else {
            Err(TransferFailure::Changed.into())
        }
    }

    /// The sealed bytes from `from` up to `to`, and the digest of all bytes up to `to`.
    pub(super) fn part(&mut self, from: u64, to: u64) -> Result<(Vec<Bytes>, [u8; 32]), Stop> {
        self.go_back_to(from);
        self.advance(from, None)?;
        let mut pieces = Vec::new();
        self.advance(to, Some(&mut pieces))?;
        self.check()?;
        Ok((pieces, self.digest.clone().finish()))
    }

    /// The digest of all sealed bytes up to `to`.
    pub(super) fn digest_to(&mut self, to: u64) -> Result<[u8; 32], Stop> {
        self.go_back_to(to);
        self.advance(to, None)?;
        self.check()?;
        Ok(self.digest.clone().finish())
    }

    /// The sealed chunk at `position`, without touching the digest.
    pub(super) fn chunk(&mut self, position: u32) -> Result<Bytes, Stop> {
        let chunk = self.seal(position)?;
        self.check()?;
        Ok(chunk)
    }

    fn go_back_to(&mut self, to: u64) {
        if self.hashed <= to {
            return;
        }
        while let Some((hashed, digest)) = self.marks.pop_back() {
            if hashed <= to {
                (self.hashed, self.digest) = (hashed, digest);
                return;
            }
        }
        (self.hashed, self.digest) = (0, FileDigest::default());
    }

    fn advance(&mut self, to: u64, mut pieces: Option<&mut Vec<Bytes>>) -> Result<(), Stop> {
        let to = to.min(self.total);
        if self.hashed < to {
            if self.marks.len() == MARKS {
                self.marks.pop_front();
            }
            self.marks.push_back((self.hashed, self.digest.clone()));
        }
        while self.hashed < to {
            let chunk_bytes = SEALED_CHUNK_BYTES as u64;
            let position = u32::try_from(self.hashed / chunk_bytes).map_err(|_| TransferFailure::TooLarge)?;
            let begin = u64::from(position) * chunk_bytes;
            let sealed = self.seal(position)?;
            let end = to.min(begin + sealed.len() as u64);
            // Within one chunk, so both fit.
            let piece = sealed.slice((self.hashed - begin) as usize..(end - begin) as usize);
            self.digest.update(&piece);
            self.hashed = end;
            if let Some(pieces) = pieces.as_mut() {
                pieces.push(piece);
            }
        }
        Ok(())
    }

    fn seal(&mut self, position: u32) -> Result<Bytes, Stop> {
        let begin = u64::from(position) * CHUNK_BYTES as u64;
        let rest = self.stamp.bytes.checked_sub(begin).ok_or(TransferFailure::Damaged)?;
        let last = rest <= CHUNK_BYTES as u64;
        if rest == 0 && position > 0 {
            return Err(TransferFailure::Damaged.into());
        }
        // At most a chunk.
        let mut chunk = Vec::with_capacity(SEALED_CHUNK_BYTES);
        chunk.resize(rest.min(CHUNK_BYTES as u64) as usize, 0);
        self.file.seek(SeekFrom::Start(begin))?;
        self.file.read_exact(&mut chunk).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Stop::Failed(TransferFailure::Changed),
            _ => error.into(),
        })?;
        self.key.seal_chunk(position, last, &mut chunk)?;
        Ok(chunk.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::testing::Folder;

    fn source(folder: &Folder, bytes: usize) -> (Source, FileKey, std::path::PathBuf) {
        let path = folder.file("source", bytes);
        let key = FileKey::generate().unwrap();
        (Source::open(&path, Stamp::of(&path).unwrap(), key.clone()).unwrap(), key, path)
    }

    #[test]
    fn parts_of_any_size_make_up_the_sealed_file_in_any_order() {
        let folder = Folder::new();
        for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7] {
            let (mut source, key, path) = source(&folder, bytes);
            let content = std::fs::read(&path).unwrap();
            let chunks = content.len().div_ceil(CHUNK_BYTES).max(1);
            let mut whole = Vec::new();
            for position in 0..chunks {
                let mut chunk = content.chunks(CHUNK_BYTES).nth(position).unwrap_or_default().to_vec();
                key.seal_chunk(position as u32, position + 1 == chunks, &mut chunk).unwrap();
                whole.extend_from_slice(&chunk);
            }
            assert_eq!(source.total(), whole.len() as u64);
            let mut digest = FileDigest::default();
            digest.update(&whole);
            let digest = digest.finish();
            let step = 50_000;
            for from in (0..whole.len()).step_by(step).chain((0..whole.len()).step_by(step).rev()) {
                let to = whole.len().min(from + step);
                let (pieces, up_to_here) = source.part(from as u64, to as u64).unwrap();
                assert_eq!(pieces.concat(), whole[from..to]);
                let mut expected = FileDigest::default();
                expected.update(&whole[..to]);
                assert_eq!(up_to_here, expected.finish());
            }
            assert_eq!(source.digest_to(source.total()).unwrap(), digest);
        }
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let folder = Folder::new();
        let (mut source, key, path) = source(&folder, 1000);
        let before = source.stamp;
        std::fs::write(&path, [1; 1001]).unwrap();
        assert_eq!(source.part(0, 10).err(), Some(Stop::Failed(TransferFailure::Changed)));
        assert_eq!(Source::open(&path, before, key).err(), Some(Stop::Failed(TransferFailure::Changed)));
    }

    #[test]
    fn a_folder_and_a_file_that_is_too_long_are_refused() {
        let folder = Folder::new();
        assert_eq!(Stamp::of(folder.path()).err(), Some(Stop::Failed(TransferFailure::NoAccess)));
        let path = folder.path().join("long");
        File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert_eq!(Stamp::of(&path).err(), Some(Stop::Failed(TransferFailure::TooLarge)));
    }
}
