//! What of a transfer survives a restart.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use bedside_e2ee::{
    file::FileKey,
    store::{self, Batch, Store, StoreError},
};
use bedside_protocol::{AttachmentId, CallId, ConversationId, EntryId};
use bedside_ui_contract::chat::TransferFailure;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    TransferId,
    shared::{FileSource, SharedFile, read_key, write_key},
    source::Stamp,
};

/// The list of transfers.
const INDEX: &[u8] = b"transfer/index";

/// The local store, which seals what it keeps: records hold keys.
pub(super) type Keep = Arc<dyn Store + Send + Sync>;

/// A transfer.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: TransferId,
    pub(super) conversation_id: ConversationId,
    /// The message that the file belongs to.
    pub(super) message_id: EntryId,
    /// The person stopped it for a while.
    pub(super) paused: bool,
    /// Why it ended before its end.
    pub(super) failed: Option<TransferFailure>,
    pub(super) job: Job,
}

/// Which way.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Job {
    Send(Box<Outgoing>),
    Fetch(Box<Incoming>),
}

/// A file that is sent.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Outgoing {
    pub(super) path: OsString,
    /// The call in which it is offered directly, until that is over.
    pub(super) call: Option<CallId>,
    #[serde(serialize_with = "write_key", deserialize_with = "read_key")]
    pub(super) key: FileKey,
    /// What it is called on the server.
    pub(super) attachment: AttachmentId,
    /// Its name, made safe.
    pub(super) name: String,
    /// What was found when it was looked at first.
    pub(super) prepared: Option<Prepared>,
    /// Bytes that may have left this computer, and their digest: nothing else is ever sealed with the key.
    pub(super) sealed: Option<(u64, [u8; 32])>,
    /// What the message is to say, once it can.
    pub(super) shared: Option<SharedFile>,
}

/// See [`Outgoing`].
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Prepared {
    pub(super) stamp: Stamp,
    pub(super) preview: Option<Vec<u8>>,
}

/// A file that is received.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Incoming {
    pub(super) file: SharedFile,
    pub(super) folder: OsString,
}

impl Outgoing {
    pub(super) fn new(path: PathBuf, call: Option<CallId>) -> Result<Self, TransferFailure> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: super::names::safe(&name),
            path: path.into_os_string(),
            call,
            key: FileKey::generate().map_err(|_| TransferFailure::NoAccess)?,
            attachment: AttachmentId::random(),
            prepared: None,
            sealed: None,
            shared: None,
        })
    }

    /// The same file once more, as another: what was sealed with the old key stays the only thing that was.
    pub(super) fn anew(&self) -> Result<Self, TransferFailure> {
        Self::new(PathBuf::from(self.path.clone()), self.call)
    }
}

impl Record {
    /// Makes an offer in a call that is over a file to be sent by the server: the same bytes under the same key.
    pub(super) fn offer_by_server(&mut self) {
        if let Job::Send(send) = &mut self.job
            && send.call.take().is_some()
        {
            send.shared = None;
        }
    }

    /// Whether it passes by the server, and not straight from one computer to the other.
    pub(super) fn by_server(&self) -> bool {
        match &self.job {
            Job::Send(send) => send.call.is_none(),
            Job::Fetch(fetch) => matches!(fetch.file.source, FileSource::Attachment { .. }),
        }
    }

    /// Whether what there is of it stays of use though it failed: the file is as it was, and only the server had trouble.
    pub(super) fn goes_on(&self) -> bool {
        self.failed == Some(TransferFailure::ServerTrouble) && self.by_server()
    }

    pub(super) fn name(&self) -> &str {
        match &self.job {
            Job::Send(send) => &send.name,
            Job::Fetch(fetch) => &fetch.file.name,
        }
    }

    /// Bytes of content, 0 before the file was looked at.
    pub(super) fn bytes(&self) -> u64 {
        match &self.job {
            Job::Send(send) => send.prepared.as_ref().map_or(0, |prepared| prepared.stamp.bytes),
            Job::Fetch(fetch) => fetch.file.bytes,
        }
    }
}

/// Every transfer that was kept, oldest first. One that can't be read is left out.
pub(super) fn load(store: &Keep) -> Result<Vec<Record>, StoreError> {
    let Some(index) = store.get(INDEX)? else { return Ok(Vec::new()) };
    let ids: Vec<TransferId> = serde_json::from_slice(&index).map_err(|_| StoreError::Damaged)?;
    let mut records = Vec::with_capacity(ids.len());
    for id in ids {
        match store.get(&key(id)).map(|found| found.map(|bytes| serde_json::from_slice(&bytes))) {
            Ok(Some(Ok(record))) => records.push(record),
            Ok(None) => {}
            Ok(Some(Err(_))) | Err(StoreError::Damaged) => {
                tracing::warn!("a transfer was lost: its record is damaged")
            }
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

/// Keeps a transfer as it is now.
pub(super) fn save(store: &Keep, record: &Record) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put(key(record.id), encode(record));
    store.apply(batch)
}

/// Keeps a new transfer in the list `all`, or forgets one that is no longer in it.
pub(super) fn save_list(
    store: &Keep,
    all: &[TransferId],
    new: Option<&Record>,
    gone: Option<TransferId>,
) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put(INDEX.to_vec(), encode(&all));
    if let Some(record) = new {
        batch.put(key(record.id), encode(record));
    }
    if let Some(id) = gone {
        batch.delete(key(id));
    }
    store.apply(batch)
}

fn key(id: TransferId) -> Vec<u8> {
    format!("transfer/{id}").into_bytes()
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Zeroizing<Vec<u8>> {
    store::encode(value).unwrap_or_default()
}
