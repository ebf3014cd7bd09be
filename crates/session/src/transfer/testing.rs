//! What the tests of transfers share.

use std::path::{Path, PathBuf};

use bedside_e2ee::file::FileKey;
use bedside_protocol::{AttachmentId, Timestamp};
use tempfile::TempDir;

use super::{FileSource, SharedFile};

/// A folder that goes with the test.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file of `bytes` bytes that do not repeat soon.
    pub(super) fn file(&self, name: &str, bytes: usize) -> PathBuf {
        let path = self.path().join(name);
        let content: Vec<u8> = (0..bytes).map(|place| (place * 31 + place / 251) as u8).collect();
        std::fs::write(&path, content).expect("a file");
        path
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).expect("the file is there")
    }
}

/// A file as a message would announce it, with a digest that is still to be set.
pub(super) fn shared(bytes: u64) -> SharedFile {
    SharedFile {
        name: "received".into(),
        bytes,
        media_type: "application/octet-stream".into(),
        key: FileKey::generate().expect("a key"),
        sha256: [0; 32],
        preview: None,
        source: FileSource::Attachment { id: AttachmentId::random(), expires_at: Timestamp(i64::MAX) },
    }
}
