//! What the tests of transfers share.

use std::path::{Path, PathBuf};

use bedside_e2ee::file::FileKey;
use bedside_protocol::{AttachmentId, Timestamp};

use super::{FileSource, SharedFile, TransferId};

/// A folder that goes with the test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("bedside-transfer-{}", TransferId::random()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A file of `bytes` bytes that do not repeat soon.
    pub(super) fn file(&self, name: &str, bytes: usize) -> PathBuf {
        let path = self.0.join(name);
        let content: Vec<u8> = (0..bytes).map(|place| (place * 31 + place / 251) as u8).collect();
        std::fs::write(&path, content).expect("a file");
        path
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).expect("the file is there")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
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
