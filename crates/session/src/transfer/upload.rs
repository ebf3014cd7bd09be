//! Sending a file by the server: sealed and sent part by part, each held in memory once.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bedside_e2ee::file::{CHUNK_BYTES, SEALED_CHUNK_BYTES, sealed_bytes};
use bedside_protocol::{
    ErrorCode,
    attachment::{Attachment, AttachmentAccess, PART_BYTES, UploadPart},
};
use bedside_ui_contract::chat::TransferFailure;
use bytes::Bytes;

use super::{
    blocking,
    control::Control,
    failure::Stop,
    names, preview,
    record::{Job, Outgoing, Prepared, Record},
    shared::{FileSource, SharedFile, base16},
    source::{Source, Stamp},
};
use crate::api::ApiError;

/// How often the window's number is brought up to date while a part goes out.
const LOOK: Duration = Duration::from_millis(200);
/// A connection that takes nothing, or a server that says nothing, for this long is given up.
const STALLED: Duration = Duration::from_secs(60);

/// What an attempt leaves to the next one.
#[derive(Default)]
pub(super) struct Upload {
    source: Option<Source>,
}

/// A sealed part, the one thing of a file that is held in memory.
struct Part {
    from: u64,
    to: u64,
    pieces: Vec<Bytes>,
    /// Of everything up to its end.
    digest: [u8; 32],
}

impl Upload {
    pub(super) async fn attempt(&mut self, control: &mut Control) -> Result<SharedFile, Stop> {
        let (record, send) = prepare(control).await?;
        let prepared = send.prepared.as_ref().ok_or(TransferFailure::NoAccess)?;
        let total = sealed_bytes(prepared.stamp.bytes).ok_or(TransferFailure::TooLarge)?;
        let mut offset = if send.sealed.is_some() { ask(control, &send, total).await? } else { 0 };
        if self.source.is_none() {
            let source = open(&send, prepared.stamp).await?;
            self.source = Some(match send.sealed {
                Some(sealed) => verified(source, offset, sealed).await?,
                None => source,
            });
        }
        loop {
            let source = self.source.take().ok_or(Stop::Interrupted)?;
            let (source, part) = seal(control, source, offset).await;
            let part = part?;
            source.check()?;
            self.source = Some(source);
            let attachment = deliver(control, &record, &send, &part, total).await?;
            offset = part.to;
            if offset < total {
                control.progress(content_bytes(offset));
                continue;
            }
            self.source.take().ok_or(Stop::Interrupted)?.check()?;
            let file = SharedFile {
                name: send.name.clone(),
                bytes: prepared.stamp.bytes,
                media_type: names::media_type(&send.name).to_owned(),
                key: send.key.clone(),
                sha256: part.digest,
                preview: prepared.preview.clone(),
                source: FileSource::Attachment { id: send.attachment, expires_at: attachment.expires_at },
            };
            let shared = file.clone();
            control.inner.change(control.id, |record| {
                if let Job::Send(send) = &mut record.job {
                    send.shared = Some(shared);
                }
            })?;
            return Ok(file);
        }
    }
}

/// After a restart: what is sealed now must be what was sealed then, or nothing more is sent under this key.
async fn verified(source: Source, offset: u64, (to, digest): (u64, [u8; 32])) -> Result<Source, Stop> {
    blocking(move || {
        let mut source = source;
        // Going on at `offset` is what comes next: a mark there saves reading all of it again.
        source.digest_to(offset.min(to))?;
        if source.digest_to(to)? == digest { Ok(source) } else { Err(TransferFailure::Changed.into()) }
    })
    .await
}

/// Seals the part that begins at `from`, and notes on disk what may leave this computer before it does.
async fn seal(control: &Control, source: Source, from: u64) -> (Source, Result<Part, Stop>) {
    let (inner, id) = (Arc::clone(&control.inner), control.id);
    blocking(move || {
        let mut source = source;
        let to = (from + PART_BYTES).min(source.total());
        let part = source.part(from, to).and_then(|(pieces, digest)| {
            let mut changed = false;
            inner.change(id, |record| {
                if let Job::Send(send) = &mut record.job {
                    match send.sealed {
                        Some((sealed, before)) if sealed == to => changed = before != digest,
                        Some((sealed, _)) if sealed > to => {}
                        Some(_) | None => send.sealed = Some((to, digest)),
                    }
                }
            })?;
            if changed { Err(TransferFailure::Changed.into()) } else { Ok(Part { from, to, pieces, digest }) }
        });
        (source, part)
    })
    .await
}

/// Looks at the file once: its length and time, its picture.
pub(super) async fn prepare(control: &Control) -> Result<(Record, Outgoing), Stop> {
    let record = control.inner.record(control.id).ok_or(Stop::Interrupted)?;
    let Job::Send(send) = &record.job else { return Err(Stop::Interrupted) };
    if send.prepared.is_some() {
        let send = Outgoing::clone(send);
        return Ok((record, send));
    }
    let mut send = Outgoing::clone(send);
    let path = PathBuf::from(send.path.clone());
    let prepared = blocking(move || {
        let stamp = Stamp::of(&path)?;
        Ok::<_, Stop>(Prepared { stamp, preview: preview::of_file(&path) })
    })
    .await?;
    send.prepared = Some(prepared);
    let kept = send.clone();
    control.inner.change(control.id, |record| record.job = Job::Send(Box::new(kept)))?;
    Ok((record, send))
}

pub(super) async fn open(send: &Outgoing, stamp: Stamp) -> Result<Source, Stop> {
    let (path, key) = (PathBuf::from(send.path.clone()), send.key.clone());
    blocking(move || Source::open(&path, stamp, key)).await
}

/// Where to go on: what the server has.
async fn ask(control: &mut Control, send: &Outgoing, total: u64) -> Result<u64, Stop> {
    let api = control.inner.api.clone();
    let attachment = match control.unless_interrupted(api.attachment(send.attachment)).await? {
        Ok(attachment) => attachment,
        Err(ApiError::Problem(problem)) if problem.code == ErrorCode::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let received = attachment.received_bytes;
    if attachment.total_bytes != total || received > total {
        return Err(TransferFailure::ServerTrouble.into());
    }
    // Even when all is there, the last part is sent once more: its answer says whether the digest was right.
    let last = (total - 1) / PART_BYTES * PART_BYTES;
    Ok((received / PART_BYTES * PART_BYTES).min(last))
}

/// Sends one part and takes the server's word that it has it.
async fn deliver(
    control: &mut Control,
    record: &Record,
    send: &Outgoing,
    part: &Part,
    total: u64,
) -> Result<Attachment, Stop> {
    let description = UploadPart {
        id: send.attachment,
        offset: part.from,
        total_bytes: total,
        sha256: (part.to == total).then(|| base16(&part.digest)),
        access_control: AttachmentAccess::SharedConversation,
        conversation_id: Some(record.conversation_id),
        call_id: None,
        message_id: Some(record.message_id),
        expires_at: None,
    };
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let content = futures_util::stream::iter(part.pieces.clone().into_iter().map(move |piece| {
        counter.fetch_add(piece.len() as u64, Relaxed);
        Ok(piece)
    }));
    let api = control.inner.api.clone();
    let mut sending = std::pin::pin!(api.upload_part(&description, content, part.to - part.from));
    let (mut seen, mut since) = (0, Instant::now());
    let attachment = loop {
        match control.unless_interrupted(tokio::time::timeout(LOOK, &mut sending)).await? {
            // What it does not know here is the conversation that the file is for.
            Ok(Err(ApiError::Problem(problem))) if problem.code == ErrorCode::NotFound => {
                return Err(TransferFailure::Forbidden.into());
            }
            Ok(answer) => break answer?,
            Err(_) => {
                let now = sent.load(Relaxed);
                if now > seen {
                    (seen, since) = (now, Instant::now());
                    control.inner.progress(control.id, content_bytes(part.from + now));
                } else if since.elapsed() > STALLED {
                    return Err(Stop::Away { after: None });
                }
            }
        }
    };
    let whole = part.to == total;
    let right = attachment.id == send.attachment
        && attachment.total_bytes == total
        && attachment.received_bytes == part.to
        && attachment.complete == whole
        && (!whole || attachment.sha256.as_deref().is_none_or(|told| told == base16(&part.digest)));
    if right { Ok(attachment) } else { Err(Stop::Trouble) }
}

/// How much content so many sealed bytes hold, about.
fn content_bytes(sealed: u64) -> u64 {
    sealed / SEALED_CHUNK_BYTES as u64 * CHUNK_BYTES as u64
}
