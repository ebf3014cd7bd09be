//! Files on their way: by the server, sealed, in parts; or in a call, straight to the other person.
//!
//! [`Transfers`] owns all of them: one task each, a list for the window, records that survive a restart. It knows
//! nothing of messages: what a message is to say about a file goes out as an event ([`SharedFile`]), and what a message
//! said comes in again when its file is wanted.
//!
//! Nothing here is trusted. The server sees sealed bytes; what it gives back opens or is refused. The other person's
//! name for a file is made safe, its picture is made anew. Under its final name a file is whole or not there.

mod control;
mod direct;
mod event;
mod failure;
mod fetch;
mod list;
pub mod names;
mod offer;
pub mod preview;
mod record;
mod shared;
mod sink;
mod source;
mod upload;

#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod testing;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicU32},
};

use bedside_e2ee::store::StoreError;
use bedside_protocol::{CallId, ConversationId, EntryId};
use bedside_ui_contract::chat::{TransferState, TransferView};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub use self::{
    direct::FileLink,
    event::{TransferEvent, TransferId},
    shared::{FileSource, SharedFile},
};

use self::{
    control::Wish,
    direct::{Session, message::Message},
    list::{Entry, Inner, Verdict},
    record::{Incoming, Job, Keep, Outgoing, Record},
};
use crate::api::Api;

/// The longest file, bytes of content.
pub const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Transfers by the server that run at once; others wait for their turn. Each holds at most one part in memory.
const AT_ONCE: usize = 2;

/// All transfers of one sign-in. Clones share them; with the last one their tasks end, and go on from the store the
/// next time.
#[derive(Clone)]
pub struct Transfers {
    inner: Arc<Inner>,
    _running: Arc<DropGuard>,
}

impl Transfers {
    /// Takes up what the store holds: transfers go on, and what was uploaded and not settled is told again.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn new(
        api: Api,
        store: Keep,
        events: mpsc::UnboundedSender<TransferEvent>,
    ) -> Result<Self, StoreError> {
        let mut records = record::load(&store)?;
        // No call outlives the process that held it.
        for record in &mut records {
            record.offer_by_server();
        }
        let stop = CancellationToken::new();
        let inner = Arc::new(Inner {
            api,
            store,
            events,
            entries: Mutex::default(),
            writing: Mutex::default(),
            told: Mutex::default(),
            wake: watch::Sender::new(0),
            turns: Semaphore::new(AT_ONCE),
            session: Mutex::default(),
            rounds: AtomicU32::new(1),
            stop: stop.clone(),
        });
        for record in records {
            inner.start(record);
        }
        Ok(Self { inner, _running: Arc::new(stop.drop_guard()) })
    }

    /// Sends the file at `path` by the server; [`TransferEvent::Uploaded`] follows.
    #[must_use = "the id names the transfer"]
    pub fn send_by_server(&self, path: PathBuf, conversation_id: ConversationId) -> TransferId {
        self.send(path, conversation_id, None)
    }

    /// Offers the file at `path` to the other person in a call; [`TransferEvent::Offered`] follows once it has been
    /// read. Who is offered it decides whether and when it is fetched.
    #[must_use = "the id names the transfer"]
    pub fn offer_in_call(
        &self,
        path: PathBuf,
        conversation_id: ConversationId,
        call_id: CallId,
    ) -> TransferId {
        self.send(path, conversation_id, Some(call_id))
    }

    /// The connection of a call is up, for the first time or again: what waits for it goes on.
    pub fn attach(&self, call_id: CallId, link: FileLink) {
        let session = Session::begin(&self.inner, call_id, link);
        *self.inner.session() = Some(session);
        self.network_back();
    }

    /// A call is over: what was offered in it and neither fetched nor declined goes by the server.
    pub fn call_ended(&self, call_id: CallId) {
        self.inner.session().take_if(|session| session.call_id == call_id);
        let offered: Vec<_> = self
            .inner
            .entries()
            .iter()
            .filter(|entry| match &entry.record.job {
                Job::Send(send) => send.call == Some(call_id) && entry.state != TransferState::Done,
                Job::Fetch(_) => false,
            })
            .map(|entry| entry.record.id)
            .collect();
        for id in offered {
            if self.inner.change(id, Record::offer_by_server).is_err() {
                tracing::warn!("that a file goes by the server could not be kept");
            }
        }
        self.network_back();
    }

    /// A file that was offered in the call is not wanted.
    pub fn decline(&self, file: &SharedFile) {
        if let FileSource::Direct { transfer } = file.source
            && let Some(session) = self.inner.session().as_ref()
        {
            session.say(Message::Decline { transfer });
        }
    }

    fn send(&self, path: PathBuf, conversation_id: ConversationId, call: Option<CallId>) -> TransferId {
        let id = TransferId::random();
        let send = match Outgoing::new(path, call) {
            Ok(send) => send,
            Err(reason) => {
                self.inner.tell(TransferEvent::Failed { transfer: id, name: String::new(), reason });
                return id;
            }
        };
        let message_id = EntryId(Uuid::now_v7());
        let job = Job::Send(Box::new(send));
        self.inner.add(Record { id, conversation_id, message_id, paused: false, failed: None, job });
        id
    }

    /// Fetches the file of a message into `folder`; [`TransferEvent::Saved`] follows. A message's file that is under
    /// way already goes on where it is, from the source that is named now.
    #[must_use = "the id names the transfer"]
    pub fn fetch(
        &self,
        file: SharedFile,
        conversation_id: ConversationId,
        message_id: EntryId,
        folder: PathBuf,
    ) -> TransferId {
        if let Some(id) = self.moved(&file, message_id) {
            self.resume(id);
            return id;
        }
        let id = TransferId::random();
        let job = Job::Fetch(Box::new(Incoming { file, folder: folder.into_os_string() }));
        self.inner.add(Record { id, conversation_id, message_id, paused: false, failed: None, job });
        id
    }

    /// A message's file is to be had from where it says now: one that is being fetched goes on there, unless the person
    /// paused it.
    pub fn moved(&self, file: &SharedFile, message_id: EntryId) -> Option<TransferId> {
        let id = self.inner.entries().iter().find_map(|entry| {
            let same = entry.record.message_id == message_id && matches!(entry.record.job, Job::Fetch(_));
            (same && entry.state != TransferState::Done).then_some(entry.record.id)
        })?;
        let moved = self.inner.change(id, |record| match &mut record.job {
            Job::Fetch(fetch) if fetch.file.sha256 == file.sha256 => fetch.file.source = file.source,
            Job::Fetch(_) | Job::Send(_) => {}
        });
        if moved.is_err() {
            tracing::debug!("that a file is elsewhere could not be kept");
        }
        self.network_back();
        Some(id)
    }

    /// Stops a transfer for a while.
    pub fn pause(&self, id: TransferId) {
        self.inner.wish(id, Wish::Pause);
    }

    /// Goes on with a transfer; one that failed begins anew.
    pub fn resume(&self, id: TransferId) {
        self.inner.wish(id, Wish::Run);
    }

    /// Stops a transfer for good, or forgets one that is over. Nothing of it remains, here or on the server.
    pub fn cancel(&self, id: TransferId) {
        self.inner.wish(id, Wish::Cancel);
    }

    /// The message of an uploaded file is on its way: nothing more is to be told about it.
    pub fn settled(&self, id: TransferId) {
        self.inner.forget(id);
    }

    /// The network or the server is back: who waits tries now.
    pub fn network_back(&self) {
        self.inner.wake.send_modify(|times| *times += 1);
    }

    /// Every transfer, newest first.
    #[must_use]
    pub fn views(&self) -> Vec<TransferView> {
        self.inner.entries().iter().rev().map(Entry::view).collect()
    }
}

impl std::fmt::Debug for Transfers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} transfers>", self.inner.entries().len())
    }
}

/// Runs what may wait for a disk, where waiting disturbs nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(kind = ?error.kind(), "what was received of a file could not be removed");
    }
}

/// What the fuzz targets reach of this module. Not part of any ordinary build.
#[cfg(fuzzing)]
pub mod fuzzing {
    use bedside_e2ee::file::FileKey;

    use super::{
        FileSource, SharedFile, TransferId,
        direct::message::Message,
        sink::{Sink, temp_path},
    };

    /// Receives a file of this length as it was sealed, or as somebody gives it, in pieces: what it comes to.
    pub fn receive(
        key: &FileKey,
        bytes: u64,
        sha256: [u8; 32],
        sealed: &[u8],
        piece: usize,
    ) -> Option<Vec<u8>> {
        let transfer = TransferId::random();
        let folder = std::env::temp_dir();
        let file = SharedFile {
            name: "file".into(),
            bytes,
            media_type: "application/octet-stream".into(),
            key: key.clone(),
            sha256,
            preview: None,
            source: FileSource::Direct { transfer },
        };
        let path = temp_path(&folder, transfer);
        let received = || {
            let mut sink = Sink::open(path.clone(), &file).ok()?;
            for piece in sealed.chunks(piece.max(1)) {
                sink.push(piece).ok()?;
            }
            let saved = sink.finish(&folder, &transfer.to_string()).ok()?;
            let content = std::fs::read(&saved).ok();
            let _ = std::fs::remove_file(saved);
            content
        };
        let content = received();
        let _ = std::fs::remove_file(path);
        content
    }

    /// A message on the data channel for files.
    pub fn message(bytes: &[u8]) {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        if let Some(message) = Message::read(bytes.clone())
            && !matches!(message, Message::Gone { .. })
        {
            assert_eq!(message.to_bytes(), bytes);
        }
    }
}
