//! Attachments: files that their sender has sealed, uploaded in parts, fetched by range.
//!
//! Each part is one object of the blob store and one row of the database, in this order: what the database says is
//! there, is there. An upload that breaks off leaves at most an object without a row, which the next try replaces. No
//! file is ever held in memory, neither coming nor going.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bedside_protocol::{
    AttachmentId, ErrorCode, Problem, Timestamp,
    attachment::{Attachment, AttachmentAccess, PART_BYTES, UploadPart},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use crate::{
    calls::CallService, clock, config::AttachmentLimits, conversations::ConversationService, db::Database,
    fault::Fault, identity::Identity,
};

pub mod blobs;
pub mod range;
mod store;
mod uploads;

use self::{
    blobs::BlobStore,
    store::{Begun, Row},
    uploads::Uploads,
};

/// A sender that sends nothing for as long has gone away.
const IDLE: Duration = Duration::from_secs(60);
/// An upload without progress for as long is given up, ms.
const ABANDONED_MS: i64 = 7 * 24 * 3600 * 1000;

/// What the attachment service works with.
#[derive(Clone)]
pub struct AttachmentDeps {
    /// Where the rows are.
    pub db: Database,
    /// Where the bytes are.
    pub blobs: BlobStore,
    /// Knows who is in which conversation.
    pub conversations: ConversationService,
    /// Knows who is in which call.
    pub calls: CallService,
    /// How much is taken, and for how long it is kept.
    pub limits: AttachmentLimits,
}

/// Takes and hands out attachments. Cheap to clone.
#[derive(Clone)]
pub struct Attachments(Arc<Shared>);

struct Shared {
    deps: AttachmentDeps,
    uploads: Mutex<Uploads>,
}

/// A complete attachment that the asker may fetch.
#[derive(Clone, Debug)]
pub struct Content {
    /// Which.
    pub id: AttachmentId,
    /// Its length.
    pub total_bytes: u64,
    /// SHA-256 of it, base16.
    pub sha256: String,
}

impl Attachments {
    /// The service over `deps`.
    #[must_use]
    pub fn new(deps: AttachmentDeps) -> Self {
        Self(Arc::new(Shared { deps, uploads: Mutex::default() }))
    }

    /// Takes a part, out of `bytes` as they come. One that is there already is answered as if it were new; a second
    /// upload of the same attachment takes over from the first.
    ///
    /// # Errors
    /// `wrong_offset`, `wrong_digest`, `storage_full`, `too_large`, `invalid_value`, `expired`, `idempotency_conflict`
    /// when the attachment was begun with other words, `not_found` for what the asker takes no part in.
    pub async fn upload<S>(&self, who: &Identity, part: &UploadPart, bytes: S) -> Result<Attachment, Fault>
    where
        S: Stream<Item = Result<Bytes, Fault>> + Unpin + Send,
    {
        self.check(who, part).await?;
        let turn = uploads::take_turn(&self.0.uploads, who.user, part.id)?;
        let cancel = turn.cancel.clone();
        let working = async {
            let _one_at_a_time = turn.busy.lock().await;
            self.take_part(who, part, bytes).await
        };
        cancel.run_until_cancelled(working).await.unwrap_or_else(|| {
            Err(Problem::new(ErrorCode::WrongOffset)
                .with_detail("Another upload of this attachment, or its deletion, took over.")
                .into())
        })
    }

    /// What is known of an attachment that the asker may fetch.
    ///
    /// # Errors
    /// `not_found` also for what is not the asker's to see; `expired`.
    pub async fn find(&self, who: &Identity, id: AttachmentId) -> Result<Attachment, Fault> {
        Ok(self.visible(who, id).await?.attachment)
    }

    /// An attachment to fetch from.
    ///
    /// # Errors
    /// `not_found` also while it is not complete; `expired`.
    pub async fn open(&self, who: &Identity, id: AttachmentId) -> Result<Content, Fault> {
        let attachment = self.visible(who, id).await?.attachment;
        let sha256 = attachment.sha256.filter(|_| attachment.complete).ok_or_else(|| {
            Problem::new(ErrorCode::NotFound).with_detail("The attachment has not been uploaded completely.")
        })?;
        Ok(Content { id, total_bytes: attachment.total_bytes, sha256 })
    }

    /// The bytes of `range`, read as they are asked for.
    ///
    /// # Errors
    /// The store failed before the first of them. Later it can only break off.
    pub async fn read(
        &self,
        id: AttachmentId,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, object_store::Error>> + Send + 'static, Fault> {
        let blobs = self.0.deps.blobs.clone();
        let parts =
            if range.is_empty() { 0..0 } else { range.start / PART_BYTES..(range.end - 1) / PART_BYTES + 1 };
        let mut parts = futures_util::stream::iter(parts)
            .then(move |number| {
                let begin = number * PART_BYTES;
                let within =
                    range.start.saturating_sub(begin)..range.end.saturating_sub(begin).min(PART_BYTES);
                let blobs = blobs.clone();
                async move { blobs.read(id, number, within).await }
            })
            .boxed();
        let first = parts.try_next().await.map_err(|error| blobs::fault(&error))?;
        Ok(futures_util::stream::iter(first.map(Ok)).chain(parts).try_flatten())
    }

    /// Deletes an attachment of the asker's.
    ///
    /// # Errors
    /// `forbidden` for somebody else's that one may see, `not_found`, or the store failed.
    pub async fn delete(&self, who: &Identity, id: AttachmentId) -> Result<(), Fault> {
        let row = self.visible(who, id).await?;
        if row.owner != who.user {
            return Err(ErrorCode::Forbidden.into());
        }
        self.remove(id).await
    }

    /// Deletes what has expired, what was given up, and what an earlier process did not finish deleting.
    ///
    /// # Errors
    /// The database or the store failed.
    pub async fn sweep(&self) -> Result<(), Fault> {
        let now = clock::now();
        let mut failed = None;
        for id in store::due(&self.0.deps.db, now, Timestamp(now.0 - ABANDONED_MS)).await? {
            // One that can't be deleted now must not keep the others.
            failed = self.remove(id).await.err().or(failed);
        }
        self.lock().sweep();
        failed.map_or(Ok(()), Err)
    }

    /// Who may see it is decided first; that it is gone is told only to them.
    async fn visible(&self, who: &Identity, id: AttachmentId) -> Result<Row, Fault> {
        let deps = &self.0.deps;
        let row = store::find(&deps.db, id).await?.ok_or(ErrorCode::NotFound)?;
        let may = row.owner == who.user
            || match row.attachment.access_control {
                AttachmentAccess::Private => false,
                AttachmentAccess::SharedConversation => match row.conversation {
                    Some(conversation) => deps.conversations.takes_part(who.user, conversation).await?,
                    None => false,
                },
                AttachmentAccess::SharedCall => match row.call {
                    Some(call) => deps.calls.takes_part(who.user, call).await?,
                    None => false,
                },
            };
        if !may {
            return Err(ErrorCode::NotFound.into());
        }
        if row.gone || row.attachment.expires_at <= clock::now() {
            return Err(expired());
        }
        Ok(row)
    }

    /// First nobody can fetch it, then its bytes go, then the rows of its parts.
    async fn remove(&self, id: AttachmentId) -> Result<(), Fault> {
        let deps = &self.0.deps;
        store::mark_gone(&deps.db, id).await?;
        let busy = self.lock().cancel(id);
        // An upload that is just being cancelled must not leave its part behind.
        let _alone = match &busy {
            Some(busy) => Some(busy.lock().await),
            None => None,
        };
        deps.blobs.delete_all(id).await?;
        store::forget_parts(&deps.db, id).await
    }

    /// What can be said without looking at the attachment.
    async fn check(&self, who: &Identity, part: &UploadPart) -> Result<(), Fault> {
        let deps = &self.0.deps;
        if part.total_bytes == 0 {
            return Err(invalid("An attachment has at least one byte."));
        }
        if part.total_bytes > deps.limits.max_bytes {
            return Err(Problem::new(ErrorCode::TooLarge)
                .with_detail(format!("An attachment may have {} bytes.", deps.limits.max_bytes))
                .into());
        }
        if !part.offset.is_multiple_of(PART_BYTES) || part.offset >= part.total_bytes {
            return Err(invalid(format!(
                "offset is a multiple of {PART_BYTES} and smaller than total_bytes."
            )));
        }
        if part.expires_at.is_some_and(|at| at <= clock::now()) {
            return Err(invalid("expires_at is in the past."));
        }
        if part.sha256.as_deref().is_some_and(|text| digest_of(text).is_none()) {
            return Err(invalid("sha256 is 64 characters of base16."));
        }
        if is_last(part) && part.sha256.is_none() {
            return Err(invalid("The last part comes with the sha256 of the whole."));
        }
        match (part.access_control, part.conversation_id, part.call_id) {
            (AttachmentAccess::SharedConversation, None, _) => {
                return Err(invalid("shared_conversation needs conversation_id."));
            }
            (AttachmentAccess::SharedCall, _, None) => return Err(invalid("shared_call needs call_id.")),
            _ => {}
        }
        if let Some(conversation) = part.conversation_id
            && !deps.conversations.takes_part(who.user, conversation).await?
        {
            return Err(ErrorCode::NotFound.into());
        }
        if let Some(call) = part.call_id
            && !deps.calls.takes_part(who.user, call).await?
        {
            return Err(ErrorCode::CallNotFound.into());
        }
        Ok(())
    }

    async fn take_part<S>(&self, who: &Identity, part: &UploadPart, bytes: S) -> Result<Attachment, Fault>
    where
        S: Stream<Item = Result<Bytes, Fault>> + Unpin + Send,
    {
        let deps = &self.0.deps;
        let row = match store::begin(&deps.db, who.user, part, &deps.limits).await? {
            Begun::Open(row) => row,
            Begun::Gone => return Err(expired()),
        };
        let received = row.attachment.received_bytes;
        if row.attachment.complete || part.offset < received {
            return Ok(row.attachment);
        }
        if part.offset > received {
            return Err(Problem::new(ErrorCode::WrongOffset)
                .with_detail(format!("The next part begins at {received}."))
                .into());
        }
        let hasher = self.lock().resume_digest(part.id, part.offset);
        let (length, hasher) = self.write(part, bytes, hasher).await?;
        let number = part.offset / PART_BYTES;
        let digest = match is_last(part) {
            false => None,
            true => Some(self.verify(part, hasher.clone()).await?),
        };
        let attachment = store::keep_part(&deps.db, part.id, number, length, digest).await?;
        let mut uploads = self.lock();
        match hasher {
            Some(hasher) if !attachment.complete => {
                uploads.keep_digest(part.id, attachment.received_bytes, hasher);
            }
            _ => uploads.forget_digest(part.id),
        }
        Ok(attachment)
    }

    /// Writes a part to the store as it comes; gives its length and the digest up to its end.
    async fn write<S>(
        &self,
        part: &UploadPart,
        mut bytes: S,
        mut hasher: Option<Sha256>,
    ) -> Result<(u64, Option<Sha256>), Fault>
    where
        S: Stream<Item = Result<Bytes, Fault>> + Unpin + Send,
    {
        let expected = PART_BYTES.min(part.total_bytes - part.offset);
        let mut writer = self.0.deps.blobs.write(part.id, part.offset / PART_BYTES);
        let mut length = 0_u64;
        let taken = loop {
            let chunk = match tokio::time::timeout(IDLE, bytes.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(fault))) => break Err(fault),
                Ok(None) => break Ok(()),
                Err(_) => break Err(invalid("The part stopped coming.")),
            };
            length += chunk.len() as u64;
            if length > expected {
                break Err(Problem::new(ErrorCode::TooLarge)
                    .with_detail(format!("This part has {expected} bytes."))
                    .into());
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(&chunk);
            }
            if let Err(fault) = writer.put(chunk).await {
                break Err(fault);
            }
        };
        let taken = taken.and_then(|()| match length == expected {
            true => Ok(()),
            false => Err(invalid(format!("This part has {expected} bytes; {length} came."))),
        });
        match taken {
            Ok(()) => writer.finish().await?,
            Err(fault) => {
                writer.abort().await;
                return Err(fault);
            }
        }
        Ok((length, hasher))
    }

    /// The digest of the whole, which has to be the announced one. Reads all parts if the process was restarted since
    /// the first. An attachment whose bytes are wrong is of no use to anybody and is deleted.
    async fn verify(&self, part: &UploadPart, hasher: Option<Sha256>) -> Result<Vec<u8>, Fault> {
        let hasher = match hasher {
            Some(hasher) => hasher,
            None => {
                let mut hasher = Sha256::new();
                let mut whole = std::pin::pin!(self.read(part.id, 0..part.total_bytes).await?);
                while let Some(chunk) = whole.next().await {
                    hasher.update(&chunk.map_err(|error| blobs::fault(&error))?);
                }
                hasher
            }
        };
        let digest = hasher.finalize().to_vec();
        if part.sha256.as_deref().and_then(digest_of).as_ref() != Some(&digest) {
            let deps = &self.0.deps;
            // In this order a kill in between leaves an upload that begins anew, not one that misses parts.
            store::reset(&deps.db, part.id).await?;
            self.lock().forget_digest(part.id);
            deps.blobs.delete_all(part.id).await?;
            store::forget(&deps.db, part.id).await?;
            return Err(Problem::new(ErrorCode::WrongDigest)
                .with_detail("Nothing of it was kept; upload it anew.")
                .into());
        }
        Ok(digest)
    }

    fn lock(&self) -> MutexGuard<'_, Uploads> {
        self.0.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_last(part: &UploadPart) -> bool {
    part.total_bytes - part.offset <= PART_BYTES
}

/// The bytes of a SHA-256 in base16.
fn digest_of(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Base16 of a digest.
fn base16(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn expired() -> Fault {
    Problem::new(ErrorCode::Expired).with_detail("The attachment was deleted or its time is over.").into()
}

fn invalid(detail: impl Into<String>) -> Fault {
    Problem::new(ErrorCode::InvalidValue).with_detail(detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_and_written_and_nonsense_is_refused() {
        let bytes: Vec<u8> = (0..32).map(|n| n * 7).collect();
        assert_eq!(digest_of(&base16(&bytes)), Some(bytes));
        for nonsense in ["", "00", &"g".repeat(64), &"ü".repeat(32), &"+0".repeat(32)] {
            assert_eq!(digest_of(nonsense), None, "{nonsense}");
        }
    }
}
