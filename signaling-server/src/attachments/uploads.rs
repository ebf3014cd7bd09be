//! What is being uploaded now: one upload per attachment, few per person, and digests as far as they have come.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bedside_protocol::{AttachmentId, ErrorCode, Problem, UserId};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;

/// Uploads of one person at once.
const MAX_PER_PERSON: usize = 8;
/// Digests kept between parts. One that is dropped costs reading the file again at its end.
const MAX_DIGESTS: usize = 1024;

#[derive(Default)]
pub(super) struct Uploads {
    slots: HashMap<AttachmentId, Slot>,
    people: HashMap<UserId, usize>,
    digests: HashMap<AttachmentId, (u64, Sha256)>,
}

struct Slot {
    /// Of the newest upload; the one before it was cancelled.
    cancel: CancellationToken,
    busy: Arc<tokio::sync::Mutex<()>>,
}

/// Permission to upload to an attachment, until another one takes over.
pub(super) struct Turn<'a> {
    pub(super) cancel: CancellationToken,
    pub(super) busy: Arc<tokio::sync::Mutex<()>>,
    uploads: &'a Mutex<Uploads>,
    person: UserId,
}

/// Takes over from whoever uploads to `id`: a sender that lost its connection must not wait for it to be noticed.
pub(super) fn take_turn(
    uploads: &Mutex<Uploads>,
    person: UserId,
    id: AttachmentId,
) -> Result<Turn<'_>, Fault> {
    let mut state = uploads.lock().unwrap_or_else(PoisonError::into_inner);
    let count = state.people.entry(person).or_default();
    if *count >= MAX_PER_PERSON {
        return Err(Problem::new(ErrorCode::RateLimited)
            .with_detail("Too many uploads at once. Please wait for one to end.")
            .with_retry_after(5)
            .into());
    }
    *count += 1;
    let cancel = CancellationToken::new();
    let busy = match state.slots.get_mut(&id) {
        Some(slot) => {
            std::mem::replace(&mut slot.cancel, cancel.clone()).cancel();
            Arc::clone(&slot.busy)
        }
        None => {
            let busy = Arc::default();
            state.slots.insert(id, Slot { cancel: cancel.clone(), busy: Arc::clone(&busy) });
            busy
        }
    };
    drop(state);
    Ok(Turn { cancel, busy, uploads, person })
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = state.people.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                state.people.remove(&self.person);
            }
        }
    }
}

impl Uploads {
    /// The digest of the first `offset` bytes, if it is known.
    pub(super) fn resume_digest(&mut self, id: AttachmentId, offset: u64) -> Option<Sha256> {
        if offset == 0 {
            return Some(Sha256::new());
        }
        self.digests.get(&id).filter(|(until, _)| *until == offset).map(|(_, hasher)| hasher.clone())
    }

    pub(super) fn keep_digest(&mut self, id: AttachmentId, until: u64, hasher: Sha256) {
        if self.digests.len() >= MAX_DIGESTS
            && let Some(any) = self.digests.keys().next().copied()
        {
            self.digests.remove(&any);
        }
        self.digests.insert(id, (until, hasher));
    }

    pub(super) fn forget_digest(&mut self, id: AttachmentId) {
        self.digests.remove(&id);
    }

    /// Ends an upload whose attachment is deleted; it is over once the lock is free.
    pub(super) fn cancel(&mut self, id: AttachmentId) -> Option<Arc<tokio::sync::Mutex<()>>> {
        self.digests.remove(&id);
        let slot = self.slots.get(&id)?;
        slot.cancel.cancel();
        Some(Arc::clone(&slot.busy))
    }

    /// Forgets attachments to which nobody uploads.
    pub(super) fn sweep(&mut self) {
        self.slots.retain(|_, slot| Arc::strong_count(&slot.busy) > 1);
    }
}
