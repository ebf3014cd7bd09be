//! All transfers there are, with their records on the disk: what a task reports and what the person wants meet here.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
    time::{Duration, Instant},
};

use bedside_e2ee::store::StoreError;
use bedside_ui_contract::chat::{TransferFailure, TransferState, TransferView};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    FileSource, TransferEvent, TransferId,
    control::{Control, Wish},
    direct::Session,
    record::{self, Job, Keep, Record},
};
use crate::api::Api;

/// How often at most the window is told of progress.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Transfers that are over and still listed.
const MOST_DONE: usize = 20;

pub(super) struct Inner {
    pub(super) api: Api,
    pub(super) store: Keep,
    pub(super) events: mpsc::UnboundedSender<TransferEvent>,
    /// Oldest first.
    pub(super) entries: Mutex<Vec<Entry>>,
    /// Held, before `entries`, from reading what is to be changed until the change is on the disk: two at a time would each
    /// write without the other's.
    pub(super) writing: Mutex<()>,
    /// When the window was told of progress last, or is going to be.
    pub(super) told: Mutex<Option<Instant>>,
    /// Grows when waiting is no longer needed: the network is back.
    pub(super) wake: watch::Sender<u64>,
    pub(super) turns: Semaphore,
    /// The connection of the present call.
    pub(super) session: Mutex<Option<Session>>,
    /// Numbers what is wanted of the other side.
    pub(super) rounds: AtomicU32,
    pub(super) stop: CancellationToken,
}

/// How an offer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The other side has it.
    Saved,
    /// It is not to be had, or not wanted.
    Failed(TransferFailure),
}

pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) state: TransferState,
    /// Bytes of content that are done.
    pub(super) done: u64,
    pub(super) wish: watch::Sender<Wish>,
    pub(super) verdict: Option<Verdict>,
}

impl Entry {
    pub(super) fn view(&self) -> TransferView {
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
    pub(super) fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how an offer ended; its task takes it from there.
    pub(super) fn decide(&self, id: TransferId, verdict: Verdict) {
        if let Some(entry) = self.entries().iter_mut().find(|entry| entry.record.id == id) {
            entry.verdict.get_or_insert(verdict);
        }
        self.wake.send_modify(|times| *times += 1);
    }

    pub(super) fn verdict(&self, id: TransferId) -> Option<Verdict> {
        self.entries().iter().find(|entry| entry.record.id == id)?.verdict
    }

    pub(super) fn tell(&self, event: TransferEvent) {
        // The engine may have gone; then nobody wants to know.
        let _ = self.events.send(event);
    }

    /// Tells that something about the list changed.
    pub(super) fn tell_changed(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.tell(TransferEvent::Changed);
    }

    /// Takes in a new transfer, on disk before anything else.
    pub(super) fn add(self: &Arc<Self>, record: Record) {
        let writing = self.writing();
        let mut ids: Vec<_> = self.entries().iter().map(|entry| entry.record.id).collect();
        ids.push(record.id);
        if record::save_list(&self.store, &ids, Some(&record), None).is_err() {
            // It goes on all the same, and is forgotten with the process.
            tracing::warn!("a transfer could not be kept: the local store does not answer");
        }
        self.start(record);
        drop(writing);
        self.prune();
        self.tell_changed();
    }

    pub(super) fn start(self: &Arc<Self>, record: Record) {
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

    pub(super) fn wish(&self, id: TransferId, wish: Wish) {
        let writing = self.writing();
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
        drop(writing);
        self.wake.send_modify(|times| *times += 1);
        if over {
            // Nobody is there any more to clean up, and nothing to be cleaned.
            self.forget(id);
        }
    }

    /// A transfer is over: it is still listed, and not taken up again at the next start.
    pub(super) fn take_off_disk(&self, id: TransferId) {
        let _writing = self.writing();
        let ids: Vec<_> =
            self.entries().iter().map(|entry| entry.record.id).filter(|other| *other != id).collect();
        if record::save_list(&self.store, &ids, None, Some(id)).is_err() {
            tracing::warn!("that a transfer is over could not be kept");
        }
    }

    /// Removes a transfer from the list and the store.
    pub(super) fn forget(&self, id: TransferId) {
        let writing = self.writing();
        let ids: Vec<_> = {
            let mut entries = self.entries();
            entries.retain(|entry| entry.record.id != id);
            entries.iter().map(|entry| entry.record.id).collect()
        };
        if record::save_list(&self.store, &ids, None, Some(id)).is_err() {
            tracing::warn!("a transfer could not be forgotten: the local store does not answer");
        }
        drop(writing);
        self.tell_changed();
    }

    /// Forgets the oldest of those that are over and settled: all but uploads, which are settled by name.
    pub(super) fn prune(&self) {
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

    pub(super) fn record(&self, id: TransferId) -> Option<Record> {
        self.entries().iter().find(|entry| entry.record.id == id).map(|entry| entry.record.clone())
    }

    /// Whether the person paused it; `None` when there is no such transfer any more.
    pub(super) fn paused(&self, id: TransferId) -> Option<bool> {
        self.entries().iter().find(|entry| entry.record.id == id).map(|entry| entry.record.paused)
    }

    /// Changes a record, on disk before it counts.
    pub(super) fn change(&self, id: TransferId, change: impl FnOnce(&mut Record)) -> Result<(), StoreError> {
        let _writing = self.writing();
        let Some(mut record) = self.record(id) else { return Ok(()) };
        change(&mut record);
        record::save(&self.store, &record)?;
        let mut entries = self.entries();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.record.id == id) {
            entry.record = record;
        }
        Ok(())
    }

    pub(super) fn set_state(&self, id: TransferId, state: TransferState) {
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
    pub(super) fn progress(&self, id: TransferId, done: u64) {
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
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.map(|at| at + TELL_EVERY).filter(|due| *due > now) {
            None => {
                *told = Some(now);
                self.tell(TransferEvent::Changed);
            }
            // Soon, and only once: the last step is not kept back for long.
            Some(due) if told.is_some_and(|at| at <= now) => {
                *told = Some(due);
                let events = self.events.clone();
                tokio::spawn(async move {
                    tokio::time::sleep_until(due.into()).await;
                    let _ = events.send(TransferEvent::Changed);
                });
            }
            Some(_) => {}
        }
    }
}
