//! The task of one transfer: attempts, pauses between them, and what the person wants meanwhile.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bedside_ui_contract::chat::{TransferFailure, TransferState};
use tokio::sync::watch;

use super::{
    Inner, TransferEvent, TransferId, blocking,
    direct::message::{Message, Why},
    failure::Stop,
    fetch::Fetching,
    offer,
    record::{Job, Record},
    remove,
    shared::{FileSource, SharedFile},
    sink,
    upload::Upload,
};

/// How often a server with trouble is tried without a byte of progress. While it is away nothing is counted.
const MOST_TROUBLES: u32 = 10;
/// The pause after the first attempt; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the person wants of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    Pause,
    Cancel,
}

/// How a transfer ended well.
pub(super) enum Done {
    Uploaded(Box<SharedFile>),
    Delivered,
    Saved(PathBuf),
}

/// What one transfer's task holds.
pub(super) struct Control {
    pub(super) inner: Arc<Inner>,
    pub(super) id: TransferId,
    wishes: watch::Receiver<Wish>,
    wake: watch::Receiver<u64>,
    /// Attempts in a row without progress: each pause is longer.
    attempts: u32,
    /// How many of them found the server, and it had trouble.
    troubles: u32,
}

/// What an attempt leaves to the next one.
enum Work {
    Send(Upload),
    Fetch(Fetching),
}

impl Control {
    pub(super) fn new(inner: Arc<Inner>, id: TransferId, wishes: watch::Receiver<Wish>) -> Self {
        let wake = inner.wake.subscribe();
        Self { inner, id, wishes, wake, attempts: 0, troubles: 0 }
    }

    /// Works until the transfer is done, cancelled, or nobody holds [`super::Transfers`] any more.
    pub(super) async fn run(mut self) {
        let Some(record) = self.inner.record(self.id) else { return };
        let mut work = match &record.job {
            Job::Send(send) => {
                if let Some(file) = &send.shared
                    && send.call.is_none()
                {
                    return self.uploaded(&record, file.clone());
                }
                Work::Send(Upload::default())
            }
            Job::Fetch(_) => Work::Fetch(Fetching::default()),
        };
        let mut failed = record.failed.is_some();
        loop {
            if self.wished().await == Wish::Cancel || (failed && !self.wanted_again().await) {
                return self.cancelled().await;
            }
            if std::mem::take(&mut failed) && self.begin_anew().is_err() {
                failed = true;
                continue;
            }
            match self.attempt(&mut work).await {
                Ok(done) => return self.done(done),
                Err(Stop::Interrupted) => {}
                Err(Stop::Failed(reason)) => {
                    self.fail(reason).await;
                    (work, failed) = (work.dropped(), true);
                }
                Err(Stop::Away { after }) => self.wait(after).await,
                Err(Stop::Trouble) if self.troubles + 1 >= MOST_TROUBLES => {
                    self.fail(TransferFailure::ServerTrouble).await;
                    (work, failed) = (work.dropped(), true);
                }
                Err(Stop::Trouble) => {
                    self.troubles += 1;
                    self.wait(None).await;
                }
            }
        }
    }

    async fn attempt(&mut self, work: &mut Work) -> Result<Done, Stop> {
        let inner = Arc::clone(&self.inner);
        // Whatever happens from now on ends a pause; what happened before is looked at now.
        self.wake.mark_unchanged();
        let record = inner.record(self.id).ok_or(Stop::Interrupted)?;
        if let (Work::Send(_), false) = (&work, record.by_server()) {
            inner.set_state(self.id, TransferState::Running);
            if offer::attempt(self).await? {
                return Ok(Done::Delivered);
            }
        }
        let _turn = match inner.record(self.id) {
            Some(record) if record.by_server() => Some(self.unless_interrupted(inner.turns.acquire()).await?),
            Some(_) | None => None,
        };
        self.inner.set_state(self.id, TransferState::Running);
        match work {
            Work::Send(upload) => upload.attempt(self).await.map(|file| Done::Uploaded(Box::new(file))),
            Work::Fetch(fetching) => fetching.attempt(self).await.map(Done::Saved),
        }
    }

    /// Waits as long as the person wants a pause.
    async fn wished(&mut self) -> Wish {
        loop {
            let wish = *self.wishes.borrow_and_update();
            if wish != Wish::Pause {
                return wish;
            }
            self.inner.set_state(self.id, TransferState::Paused);
            if self.wishes.changed().await.is_err() {
                return Wish::Cancel;
            }
        }
    }

    /// Whether a transfer that failed is to begin anew; `false` when it is to be forgotten.
    async fn wanted_again(&mut self) -> bool {
        loop {
            if self.wishes.changed().await.is_err() {
                return false;
            }
            match *self.wishes.borrow_and_update() {
                Wish::Run => return true,
                Wish::Cancel => return false,
                Wish::Pause => {}
            }
        }
    }

    fn begin_anew(&mut self) -> Result<(), Stop> {
        let Some(record) = self.inner.record(self.id) else { return Ok(()) };
        let job = match &record.job {
            Job::Send(send) if !record.goes_on() => Job::Send(Box::new(send.anew()?)),
            Job::Send(_) | Job::Fetch(_) => record.job.clone(),
        };
        (self.attempts, self.troubles) = (0, 0);
        self.inner.change(self.id, |record| {
            record.failed = None;
            record.job = job;
        })?;
        Ok(())
    }

    /// Bytes came or went.
    pub(super) fn progress(&mut self, done: u64) {
        (self.attempts, self.troubles) = (0, 0);
        self.inner.progress(self.id, done);
    }

    /// Waits for `future`, unless the person wants something else.
    pub(super) async fn unless_interrupted<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Stop> {
        let wishes = &mut self.wishes;
        let interrupted = async {
            while *wishes.borrow_and_update() == Wish::Run {
                if wishes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = interrupted => Err(Stop::Interrupted),
            done = future => Ok(done),
        }
    }

    /// Waits until something happened that a transfer may be waiting for. What happened since the last time counts.
    pub(super) async fn woken(&mut self) -> Result<(), Stop> {
        let mut wake = self.wake.clone();
        let changed = self.unless_interrupted(async move { wake.changed().await.is_ok() }).await?;
        self.wake.mark_unchanged();
        if changed { Ok(()) } else { Err(Stop::Interrupted) }
    }

    /// Waits for the next attempt.
    async fn wait(&mut self, after: Option<Duration>) {
        self.attempts += 1;
        let doubled = FIRST_PAUSE.saturating_mul(1 << (self.attempts - 1).min(6));
        let pause = after.unwrap_or(doubled.min(LONGEST_PAUSE));
        self.inner.set_state(self.id, TransferState::Waiting);
        let mut wake = self.wake.clone();
        let woken = async move {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = wake.changed() => if changed.is_err() { std::future::pending().await },
            }
        };
        // When interrupted, the loop looks what is wanted.
        let _ = self.unless_interrupted(woken).await;
    }

    fn done(&self, done: Done) {
        let Some(record) = self.inner.record(self.id) else { return };
        match done {
            Done::Uploaded(file) => self.uploaded(&record, *file),
            Done::Delivered => {
                self.over(&record);
                self.inner
                    .tell(TransferEvent::Delivered { transfer: self.id, message_id: record.message_id });
            }
            Done::Saved(path) => {
                self.over(&record);
                self.inner.tell(TransferEvent::Saved {
                    transfer: self.id,
                    conversation_id: record.conversation_id,
                    message_id: record.message_id,
                    path,
                });
            }
        }
    }

    /// Nothing is left to be done, now or after a restart.
    fn over(&self, record: &Record) {
        self.inner.take_off_disk(self.id);
        self.inner.progress(self.id, record.bytes());
        self.inner.set_state(self.id, TransferState::Done);
    }

    fn uploaded(&self, record: &Record, file: SharedFile) {
        self.inner.progress(self.id, record.bytes());
        self.inner.set_state(self.id, TransferState::Done);
        self.inner.tell(TransferEvent::Uploaded {
            transfer: self.id,
            conversation_id: record.conversation_id,
            message_id: record.message_id,
            file,
        });
    }

    async fn fail(&self, reason: TransferFailure) {
        if self.inner.change(self.id, |record| record.failed = Some(reason)).is_err() {
            tracing::warn!("that a transfer failed could not be kept");
        }
        if !self.inner.record(self.id).is_some_and(|record| record.goes_on()) {
            self.discard().await;
        }
        let name = self.inner.record(self.id).map(|record| record.name().to_owned()).unwrap_or_default();
        self.inner.progress(self.id, 0);
        self.inner.set_state(self.id, TransferState::Failed { reason });
        self.inner.tell(TransferEvent::Failed { transfer: self.id, name, reason });
    }

    async fn cancelled(&self) {
        self.discard().await;
        self.inner.forget(self.id);
    }

    /// Removes what there is of the file, here or on the server.
    async fn discard(&self) {
        let Some(record) = self.inner.record(self.id) else { return };
        match record.job {
            Job::Fetch(fetch) => {
                if let FileSource::Direct { transfer } = fetch.file.source
                    && let Some(session) = self.inner.session().as_ref()
                {
                    session.say(Message::Stop { transfer });
                }
                let path = sink::temp_path(fetch.folder.as_ref(), self.id);
                blocking(move || remove(&path)).await;
            }
            Job::Send(send) if send.sealed.is_some() && send.call.is_none() => {
                let api = self.inner.api.clone();
                tokio::spawn(async move {
                    // What is left there expires.
                    if let Err(error) = api.delete_attachment(send.attachment).await {
                        tracing::debug!(%error, "what was sent of a file could not be removed from the server");
                    }
                });
            }
            Job::Send(send) => {
                if send.call.is_some()
                    && let Some(session) = self.inner.session().as_ref()
                {
                    session.say(Message::Gone { transfer: self.id, why: Why::Stopped });
                }
            }
        }
    }
}

impl Work {
    /// The same work from its beginning.
    fn dropped(&self) -> Self {
        match self {
            Self::Send(_) => Self::Send(Upload::default()),
            Self::Fetch(_) => Self::Fetch(Fetching::default()),
        }
    }
}
