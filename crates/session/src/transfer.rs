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
mod failure;
mod fetch;
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
mod testing;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
    time::{Duration, Instant},
};

use bedside_e2ee::store::StoreError;
use bedside_protocol::{CallId, ConversationId, EntryId};
use bedside_ui_contract::chat::{TransferFailure, TransferState, TransferView};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub use self::{
    direct::FileLink,
    shared::{FileSource, SharedFile},
};

use self::{
    control::{Control, Wish},
    direct::{Session, message::Message},
    record::{Incoming, Job, Keep, Outgoing, Record},
};
use crate::api::Api;

/// The longest file, bytes of content.
pub const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Transfers by the server that run at once; others wait for their turn. Each holds at most one part in memory.
const AT_ONCE: usize = 2;
/// How often at most the window is told of progress.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Transfers that are over and still listed.
const MOST_DONE: usize = 20;

/// A transfer, on this computer and, in a call, between the two of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransferId(pub Uuid);

impl TransferId {
    /// A random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl std::fmt::Display for TransferId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for TransferId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// What transfers tell the engine.
#[derive(Clone, Debug)]
pub enum TransferEvent {
    /// [`Transfers::views`] has something new; told at most five times a second while bytes flow.
    Changed,
    /// A file is on the server: send the message, then say [`Transfers::settled`]. Told again after a restart until
    /// that is said; the message's id is the same each time.
    Uploaded {
        /// Which.
        transfer: TransferId,
        /// Where it is shared.
        conversation_id: ConversationId,
        /// The message's id.
        message_id: EntryId,
        /// What the message says.
        file: SharedFile,
    },
    /// A file can be had from this computer for as long as the call lasts: send the message. Where the call ends
    /// before the other side has it or has declined it, [`TransferEvent::Uploaded`] follows with the same message id
    /// and another source.
    Offered {
        /// Which.
        transfer: TransferId,
        /// Where it is shared.
        conversation_id: ConversationId,
        /// The call.
        call_id: CallId,
        /// The message's id.
        message_id: EntryId,
        /// What the message says.
        file: SharedFile,
    },
    /// The other side has the whole file that it was offered.
    Delivered {
        /// Which.
        transfer: TransferId,
        /// The message it belongs to.
        message_id: EntryId,
    },
    /// A file is here, whole and checked.
    Saved {
        /// Which.
        transfer: TransferId,
        /// Where it was shared.
        conversation_id: ConversationId,
        /// The message it belongs to.
        message_id: EntryId,
        /// Where it is.
        path: PathBuf,
    },
    /// A transfer stopped for good, unless the person wants it again.
    Failed {
        /// Which.
        transfer: TransferId,
        /// The file's name.
        name: String,
        /// Why.
        reason: TransferFailure,
    },
}

/// All transfers of one sign-in. Clones share them; with the last one their tasks end, and go on from the store the
/// next time.
#[derive(Clone)]
pub struct Transfers {
    inner: Arc<Inner>,
    _running: Arc<DropGuard>,
}

struct Inner {
    api: Api,
    store: Keep,
    events: mpsc::UnboundedSender<TransferEvent>,
    /// Oldest first.
    entries: Mutex<Vec<Entry>>,
    told: Mutex<Option<Instant>>,
    /// Grows when waiting is no longer needed: the network is back.
    wake: watch::Sender<u64>,
    turns: Semaphore,
    /// The connection of the present call.
    session: Mutex<Option<Session>>,
    /// Numbers what is wanted of the other side.
    rounds: AtomicU32,
    stop: CancellationToken,
}

/// How an offer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The other side has it.
    Saved,
    /// It is not to be had, or not wanted.
    Failed(TransferFailure),
}

struct Entry {
    record: Record,
    state: TransferState,
    /// Bytes of content that are done.
    done: u64,
    wish: watch::Sender<Wish>,
    verdict: Option<Verdict>,
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
        let running = self.inner.entries().iter().find_map(|entry| {
            let same = entry.record.message_id == message_id && matches!(entry.record.job, Job::Fetch(_));
            (same && entry.state != TransferState::Done).then_some(entry.record.id)
        });
        if let Some(id) = running {
            let moved = self.inner.change(id, |record| match &mut record.job {
                Job::Fetch(fetch) if fetch.file.sha256 == file.sha256 => fetch.file.source = file.source,
                Job::Fetch(_) | Job::Send(_) => {}
            });
            if moved.is_err() {
                tracing::debug!("that a file is elsewhere could not be kept");
            }
            self.network_back();
            self.resume(id);
            return id;
        }
        let id = TransferId::random();
        let job = Job::Fetch(Box::new(Incoming { file, folder: folder.into_os_string() }));
        self.inner.add(Record { id, conversation_id, message_id, paused: false, failed: None, job });
        id
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

impl Entry {
    fn view(&self) -> TransferView {
        let record = &self.record;
        TransferView {
            id: record.id.to_string(),
            conversation_id: record.conversation_id.to_string(),
            message_id: record.message_id.to_string(),
            name: record.name().to_owned(),
            outgoing: matches!(record.job, Job::Send(_)),
            direct: match &record.job {
                Job::Send(send) => send.call.is_some(),
                Job::Fetch(fetch) => matches!(fetch.file.source, FileSource::Direct { .. }),
            },
            bytes: record.bytes(),
            done: self.done,
            state: self.state,
        }
    }
}

impl Inner {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how an offer ended; its task takes it from there.
    fn decide(&self, id: TransferId, verdict: Verdict) {
        if let Some(entry) = self.entries().iter_mut().find(|entry| entry.record.id == id) {
            entry.verdict.get_or_insert(verdict);
        }
        self.wake.send_modify(|times| *times += 1);
    }

    fn verdict(&self, id: TransferId) -> Option<Verdict> {
        self.entries().iter().find(|entry| entry.record.id == id)?.verdict
    }

    fn tell(&self, event: TransferEvent) {
        // The engine may have gone; then nobody wants to know.
        let _ = self.events.send(event);
    }

    /// Tells that something about the list changed.
    fn tell_changed(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.tell(TransferEvent::Changed);
    }

    /// Takes in a new transfer, on disk before anything else.
    fn add(self: &Arc<Self>, record: Record) {
        let mut ids: Vec<_> = self.entries().iter().map(|entry| entry.record.id).collect();
        ids.push(record.id);
        if record::save_list(&self.store, &ids, Some(&record), None).is_err() {
            // It goes on all the same, and is forgotten with the process.
            tracing::warn!("a transfer could not be kept: the local store does not answer");
        }
        self.start(record);
        self.prune();
        self.tell_changed();
    }

    fn start(self: &Arc<Self>, record: Record) {
        let id = record.id;
        let state = match (record.failed, record.paused) {
            (Some(reason), _) => TransferState::Failed { reason },
            (None, true) => TransferState::Paused,
            (None, false) => TransferState::Running,
        };
        let (wish, wishes) = watch::channel(if record.paused { Wish::Pause } else { Wish::Run });
        self.entries().push(Entry { record, state, done: 0, wish, verdict: None });
        let control = Control::new(Arc::clone(self), id, wishes);
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(control.run()).await });
    }

    fn wish(&self, id: TransferId, wish: Wish) {
        let mut entries = self.entries();
        let Some(entry) = entries.iter_mut().find(|entry| entry.record.id == id) else { return };
        let over = entry.state == TransferState::Done;
        if wish != Wish::Cancel {
            let failed = matches!(entry.state, TransferState::Failed { .. });
            if over || (failed && wish == Wish::Pause) {
                return;
            }
            entry.record.paused = wish == Wish::Pause;
            let record = entry.record.clone();
            if wish == Wish::Run {
                entry.verdict = None;
            }
            entry.wish.send_replace(wish);
            drop(entries);
            // A stream in a call looks whether it is paused.
            self.wake.send_modify(|times| *times += 1);
            if record::save(&self.store, &record).is_err() {
                tracing::debug!("that a transfer was paused or resumed could not be kept");
            }
            return;
        }
        entry.wish.send_replace(wish);
        drop(entries);
        self.wake.send_modify(|times| *times += 1);
        if over {
            // Nobody is there any more to clean up, and nothing to be cleaned.
            self.forget(id);
        }
    }

    /// Removes a transfer from the list and the store.
    fn forget(&self, id: TransferId) {
        let ids: Vec<_> = {
            let mut entries = self.entries();
            entries.retain(|entry| entry.record.id != id);
            entries.iter().map(|entry| entry.record.id).collect()
        };
        if record::save_list(&self.store, &ids, None, Some(id)).is_err() {
            tracing::warn!("a transfer could not be forgotten: the local store does not answer");
        }
        self.tell_changed();
    }

    /// Forgets the oldest of those that are over and settled: all but uploads, which are settled by name.
    fn prune(&self) {
        let over: Vec<_> = self
            .entries()
            .iter()
            .filter(|entry| {
                let settled = match &entry.record.job {
                    Job::Send(send) => send.call.is_some(),
                    Job::Fetch(_) => true,
                };
                settled && entry.state == TransferState::Done
            })
            .map(|entry| entry.record.id)
            .collect();
        for id in over.iter().take(over.len().saturating_sub(MOST_DONE)) {
            self.forget(*id);
        }
    }

    fn record(&self, id: TransferId) -> Option<Record> {
        self.entries().iter().find(|entry| entry.record.id == id).map(|entry| entry.record.clone())
    }

    /// Whether the person paused it; `None` when there is no such transfer any more.
    fn paused(&self, id: TransferId) -> Option<bool> {
        self.entries().iter().find(|entry| entry.record.id == id).map(|entry| entry.record.paused)
    }

    /// Changes a record, on disk before it counts.
    fn change(&self, id: TransferId, change: impl FnOnce(&mut Record)) -> Result<(), StoreError> {
        let Some(mut record) = self.record(id) else { return Ok(()) };
        change(&mut record);
        record::save(&self.store, &record)?;
        let mut entries = self.entries();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.record.id == id) {
            // What the person wants may have changed meanwhile.
            record.paused = entry.record.paused;
            entry.record = record;
        }
        Ok(())
    }

    fn set_state(&self, id: TransferId, state: TransferState) {
        let changed = {
            let mut entries = self.entries();
            let entry = entries.iter_mut().find(|entry| entry.record.id == id);
            entry.is_some_and(|entry| std::mem::replace(&mut entry.state, state) != state)
        };
        if changed {
            self.tell_changed();
        }
    }

    /// Notes progress; the window hears of it now and then.
    fn progress(&self, id: TransferId, done: u64) {
        let changed = {
            let mut entries = self.entries();
            let entry = entries.iter_mut().find(|entry| entry.record.id == id);
            entry.is_some_and(|entry| {
                let done = done.min(entry.record.bytes());
                std::mem::replace(&mut entry.done, done) != done
            })
        };
        if !changed {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            drop(told);
            self.tell(TransferEvent::Changed);
        }
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
    use super::direct::message::Message;

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
