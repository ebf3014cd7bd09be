//! Offering a file in a call: it is read once for its digest, announced, and waits for what the other side says.

use std::sync::Arc;

use bedside_ui_contract::chat::TransferFailure;

use super::{
    TransferEvent, Verdict, blocking,
    control::Control,
    failure::Stop,
    names,
    record::{Job, Outgoing, Record},
    shared::{FileSource, SharedFile},
    upload,
};

/// Waits until the other side has the file (`true`) or the call is over without it (`false`): then it goes by the
/// server.
pub(super) async fn attempt(control: &mut Control) -> Result<bool, Stop> {
    announce(control).await?;
    loop {
        match control.inner.verdict(control.id) {
            Some(Verdict::Saved) => return Ok(true),
            Some(Verdict::Failed(reason)) => return Err(reason.into()),
            None => {}
        }
        if control.inner.record(control.id).ok_or(Stop::Interrupted)?.by_server() {
            return Ok(false);
        }
        control.woken().await?;
    }
}

async fn announce(control: &mut Control) -> Result<(), Stop> {
    let (record, send) = upload::prepare(control).await?;
    let (None, Some(call_id)) = (&send.shared, send.call) else { return Ok(()) };
    let prepared = send.prepared.as_ref().ok_or(TransferFailure::NoAccess)?;
    let mut source = upload::open(&send, prepared.stamp).await?;
    let (total, digest) = blocking(move || {
        let total = source.total();
        source.digest_to(total).map(|digest| (total, digest))
    })
    .await?;
    if send.sealed.is_some_and(|(_, before)| before != digest) {
        return Err(TransferFailure::Changed.into());
    }
    let file = describe(&record, &send, digest).ok_or(TransferFailure::NoAccess)?;
    let (shared, inner, id) = (file.clone(), Arc::clone(&control.inner), control.id);
    blocking(move || {
        inner.change(id, |record| {
            if let Job::Send(send) = &mut record.job {
                send.sealed = Some((total, digest));
                // Unless the call ended meanwhile.
                send.shared = send.call.map(|_| shared);
            }
        })
    })
    .await?;
    control.inner.tell(TransferEvent::Offered {
        transfer: control.id,
        conversation_id: record.conversation_id,
        call_id,
        message_id: record.message_id,
        file,
    });
    Ok(())
}

fn describe(record: &Record, send: &Outgoing, sha256: [u8; 32]) -> Option<SharedFile> {
    let prepared = send.prepared.as_ref()?;
    Some(SharedFile {
        name: send.name.clone(),
        bytes: prepared.stamp.bytes,
        media_type: names::media_type(&send.name).to_owned(),
        key: send.key.clone(),
        sha256,
        preview: prepared.preview.clone(),
        source: FileSource::Direct { transfer: record.id },
    })
}
