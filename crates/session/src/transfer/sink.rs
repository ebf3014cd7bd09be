//! The file that is received: opened chunk by chunk into a hidden file beside its place, checked as a whole, and only
//! then given its name.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use bedside_e2ee::file::{CHUNK_BYTES, FileDigest, FileKey, SEALED_CHUNK_BYTES, sealed_bytes};
use bedside_ui_contract::chat::TransferFailure;

use super::{TransferId, failure::Stop, names, shared::SharedFile};

/// A file on its way. Blocking.
pub(super) struct Sink {
    file: File,
    path: PathBuf,
    key: FileKey,
    total: u64,
    chunks: u32,
    digest: FileDigest,
    announced: [u8; 32],
    /// The chunk that comes next.
    next: u32,
    /// Its sealed bytes so far.
    held: Vec<u8>,
}

/// Whether a file is to be found under another name too.
#[cfg(unix)]
fn has_another_name(found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    found.is_file() && found.nlink() > 1
}

/// Whether a file is to be found under another name too: not to be had here.
#[cfg(not(unix))]
const fn has_another_name(_: &Metadata) -> bool {
    false
}

/// Where the content lies until it is complete: in the folder it is to be in, so that it need not be copied.
pub(super) fn temp_path(folder: &Path, transfer: TransferId) -> PathBuf {
    folder.join(format!(".bedside-{transfer}.part"))
}

impl Sink {
    /// Begins, or goes on with what is there: everything up to its last complete chunk counts, and is checked at the
    /// end with the rest.
    pub(super) fn open(path: PathBuf, announced: &SharedFile) -> Result<Self, Stop> {
        let total = sealed_bytes(announced.bytes).ok_or(TransferFailure::TooLarge)?;
        let chunks = u32::try_from(total.div_ceil(SEALED_CHUNK_BYTES as u64))
            .map_err(|_| TransferFailure::TooLarge)?;
        let file = match path.symlink_metadata() {
            Ok(found) if has_another_name(&found) => {
                // It was complete when the process was killed, and what is under its name stays whole.
                fs::remove_file(&path)?;
                OpenOptions::new().read(true).write(true).create_new(true).open(&path)?
            }
            Ok(found) if found.is_file() => OpenOptions::new().read(true).write(true).open(&path)?,
            Ok(_) => return Err(TransferFailure::NoAccess.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                OpenOptions::new().read(true).write(true).create_new(true).open(&path)?
            }
            Err(error) => return Err(error.into()),
        };
        let mut sink = Self {
            file,
            path,
            key: announced.key.clone(),
            total,
            chunks,
            digest: FileDigest::default(),
            announced: announced.sha256,
            next: 0,
            held: Vec::with_capacity(SEALED_CHUNK_BYTES),
        };
        sink.take_over()?;
        Ok(sink)
    }

    /// Seals what is there once more: the same bytes, unless somebody changed them.
    fn take_over(&mut self) -> Result<(), Stop> {
        let whole = self.file.metadata()?.len() / CHUNK_BYTES as u64;
        let whole = u32::try_from(whole).unwrap_or(u32::MAX).min(self.chunks - 1);
        self.file.set_len(u64::from(whole) * CHUNK_BYTES as u64)?;
        self.file.seek(SeekFrom::Start(0))?;
        while self.next < whole {
            let mut chunk = Vec::with_capacity(SEALED_CHUNK_BYTES);
            chunk.resize(CHUNK_BYTES, 0);
            self.file.read_exact(&mut chunk)?;
            self.key.seal_chunk(self.next, false, &mut chunk)?;
            self.digest.update(&chunk);
            self.next += 1;
        }
        Ok(())
    }

    /// The chunk that is wanted next.
    pub(super) const fn next_chunk(&self) -> u32 {
        self.next
    }

    /// The first sealed byte that is wanted, once what was held is forgotten.
    pub(super) const fn position(&self) -> u64 {
        self.next as u64 * SEALED_CHUNK_BYTES as u64
    }

    /// Bytes of the whole sealed file.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of content that are written.
    pub(super) const fn written(&self) -> u64 {
        self.next as u64 * CHUNK_BYTES as u64
    }

    /// Sealed bytes that came, the unopened ones included.
    pub(super) const fn received(&self) -> u64 {
        self.position() + self.held.len() as u64
    }

    /// Whether every chunk has come.
    pub(super) const fn is_complete(&self) -> bool {
        self.next == self.chunks
    }

    /// Forgets the beginning of a chunk whose rest will not come.
    pub(super) fn forget_held(&mut self) {
        self.held.clear();
    }

    /// The next sealed bytes.
    pub(super) fn push(&mut self, mut sealed: &[u8]) -> Result<(), Stop> {
        while !sealed.is_empty() {
            if self.is_complete() {
                return Err(TransferFailure::Damaged.into());
            }
            let last = self.next + 1 == self.chunks;
            let whole = if last { (self.total - self.position()) as usize } else { SEALED_CHUNK_BYTES };
            let (now, later) = sealed.split_at(sealed.len().min(whole - self.held.len()));
            self.held.extend_from_slice(now);
            sealed = later;
            if self.held.len() == whole {
                let mut digest = self.digest.clone();
                digest.update(&self.held);
                self.key.open_chunk(self.next, last, &mut self.held)?;
                self.file.write_all(&self.held)?;
                self.digest = digest;
                self.held.clear();
                self.next += 1;
            }
        }
        Ok(())
    }

    /// Checks the whole, makes sure that it is on the disk, and gives it the first free name.
    pub(super) fn finish(self, folder: &Path, name: &str) -> Result<PathBuf, Stop> {
        if !self.is_complete() {
            return Err(TransferFailure::Damaged.into());
        }
        self.digest.check(&self.announced)?;
        self.file.sync_all()?;
        drop(self.file);
        let path = names::settle(&self.path, folder, name)?;
        // The name, too; not every system lets a folder be opened.
        if let Ok(folder) = File::open(folder) {
            let _ = folder.sync_all();
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::{
        source::{Source, Stamp},
        testing::{self, Folder},
    };

    fn sealed(folder: &Folder, bytes: usize) -> (SharedFile, Vec<u8>) {
        let path = folder.file("source", bytes);
        let mut file = testing::shared(bytes as u64);
        let mut source = Source::open(&path, Stamp::of(&path).unwrap(), file.key.clone()).unwrap();
        let (pieces, digest) = source.part(0, source.total()).unwrap();
        file.sha256 = digest;
        (file, pieces.concat())
    }

    #[test]
    fn a_file_taken_up_anywhere_becomes_whole() {
        let folder = Folder::new();
        for bytes in [0, 5, CHUNK_BYTES, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 5] {
            let (file, sealed) = sealed(&folder, bytes);
            for cut in [0, 1, SEALED_CHUNK_BYTES, SEALED_CHUNK_BYTES + 9, sealed.len() - 1, sealed.len()] {
                let cut = cut.min(sealed.len());
                let temp = folder.path().join(".part");
                let mut sink = Sink::open(temp.clone(), &file).unwrap();
                sink.push(&sealed[..cut]).unwrap();
                drop(sink);
                let mut sink = Sink::open(temp.clone(), &file).unwrap();
                let from = sink.position() as usize;
                assert!(from <= cut);
                sink.push(&sealed[from..]).unwrap();
                let path = sink.finish(folder.path(), "file").unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), folder.read("source"));
                std::fs::remove_file(path).unwrap();
                assert!(!temp.exists());
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_has_its_name_already_is_not_cut_by_what_is_left_of_its_transfer() {
        let folder = Folder::new();
        let (file, sealed) = sealed(&folder, 2 * CHUNK_BYTES + 5);
        let (temp, named) = (folder.path().join(".part"), folder.path().join("file"));
        let mut sink = Sink::open(temp.clone(), &file).unwrap();
        sink.push(&sealed).unwrap();
        drop(sink);
        // As a process leaves it that is killed between two names.
        std::fs::hard_link(&temp, &named).unwrap();
        let sink = Sink::open(temp, &file).unwrap();
        assert_eq!(sink.position(), 0, "it begins anew");
        assert_eq!(std::fs::read(&named).unwrap(), folder.read("source"));
    }

    #[test]
    fn what_is_not_what_was_sent_never_gets_the_name() {
        let folder = Folder::new();
        let (file, sealed) = sealed(&folder, 2 * CHUNK_BYTES + 5);
        let damaged = Some(Stop::Failed(TransferFailure::Damaged));
        let receive = |bytes: &[u8], file: &SharedFile| {
            let temp = folder.path().join(format!(".{}", TransferId::random()));
            let mut sink = Sink::open(temp, file)?;
            sink.push(bytes)?;
            sink.finish(folder.path(), "received")
        };
        let mut changed = sealed.clone();
        changed[70_000] ^= 1;
        assert_eq!(receive(&changed, &file).err(), damaged, "changed");
        assert_eq!(receive(&sealed[..sealed.len() - 1], &file).err(), damaged, "cut");
        assert_eq!(receive(&sealed[..SEALED_CHUNK_BYTES], &file).err(), damaged, "cut at a chunk's end");
        assert_eq!(receive(&[sealed.as_slice(), b"more"].concat(), &file).err(), damaged, "longer");
        let mut exchanged = sealed.clone();
        exchanged[..2 * SEALED_CHUNK_BYTES].rotate_left(SEALED_CHUNK_BYTES);
        assert_eq!(receive(&exchanged, &file).err(), damaged, "exchanged");
        let mut other = file.clone();
        other.sha256[0] ^= 1;
        assert_eq!(receive(&sealed, &other).err(), damaged, "another digest");
        let mut shorter = file.clone();
        shorter.bytes = 2 * CHUNK_BYTES as u64;
        assert_eq!(receive(&sealed, &shorter).err(), damaged, "another length");
        assert!(!folder.path().join("received").exists());
        assert!(receive(&sealed, &file).is_ok());
    }

    #[test]
    fn content_that_somebody_changed_meanwhile_is_noticed_at_the_end() {
        let folder = Folder::new();
        let (file, sealed) = sealed(&folder, 2 * CHUNK_BYTES);
        let temp = folder.path().join(".part");
        Sink::open(temp.clone(), &file).unwrap().push(&sealed[..SEALED_CHUNK_BYTES]).unwrap();
        let mut content = std::fs::read(&temp).unwrap();
        content[7] ^= 1;
        std::fs::write(&temp, content).unwrap();
        let mut sink = Sink::open(temp, &file).unwrap();
        sink.push(&sealed[SEALED_CHUNK_BYTES..]).unwrap();
        assert_eq!(sink.finish(folder.path(), "file").err(), Some(Stop::Failed(TransferFailure::Damaged)));
    }
}
