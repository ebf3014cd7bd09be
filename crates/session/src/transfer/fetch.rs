//! Receiving a file: its sealed bytes by range from where they were cut off, opened chunk by chunk.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bedside_protocol::AttachmentId;
use bedside_ui_contract::chat::TransferFailure;
use bytes::{Bytes, BytesMut};
use reqwest::{Response, StatusCode, header::CONTENT_RANGE};

use super::{
    blocking,
    control::Control,
    failure::Stop,
    record::{Incoming, Job},
    shared::FileSource,
    sink::{self, Sink},
};

/// A server that sends nothing for this long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// Bytes that are gathered before they are handed to the disk.
const BATCH_BYTES: usize = 256 * 1024;

/// What an attempt leaves to the next one.
#[derive(Default)]
pub(super) struct Fetching {
    sink: Option<Sink>,
}

impl Fetching {
    pub(super) async fn attempt(&mut self, control: &mut Control) -> Result<PathBuf, Stop> {
        let record = control.inner.record(control.id).ok_or(Stop::Interrupted)?;
        let Job::Fetch(fetch) = record.job else { return Err(Stop::Interrupted) };
        let sink = match self.sink.take() {
            Some(sink) => sink,
            None => open(control, &fetch).await?,
        };
        let (sink, outcome) = match fetch.file.source {
            FileSource::Attachment { id, .. } => from_server(control, id, sink).await,
            FileSource::Direct { .. } => (Some(sink), Err(Stop::Away { after: None })),
        };
        match (sink, outcome) {
            (Some(sink), Ok(())) => {
                blocking(move || sink.finish(Path::new(&fetch.folder), &fetch.file.name)).await
            }
            (sink, outcome) => {
                self.sink = sink;
                self.sink.iter_mut().for_each(Sink::forget_held);
                Err(outcome.err().unwrap_or(Stop::Trouble))
            }
        }
    }
}

async fn open(control: &mut Control, fetch: &Incoming) -> Result<Sink, Stop> {
    let (path, file) = (sink::temp_path(Path::new(&fetch.folder), control.id), fetch.file.clone());
    let sink = blocking(move || Sink::open(path, &file)).await?;
    control.inner.progress(control.id, sink.written());
    Ok(sink)
}

/// Hands bytes to the disk. The sink comes back unless it is of no use any more.
pub(super) async fn push(sink: Sink, bytes: Bytes) -> (Option<Sink>, Result<(), Stop>) {
    blocking(move || {
        let mut sink = sink;
        match sink.push(&bytes) {
            Ok(()) => (Some(sink), Ok(())),
            Err(stop) => (None, Err(stop)),
        }
    })
    .await
}

/// Reads the rest of an attachment into the sink.
async fn from_server(
    control: &mut Control,
    id: AttachmentId,
    mut sink: Sink,
) -> (Option<Sink>, Result<(), Stop>) {
    let (from, total) = (sink.position(), sink.total());
    let api = control.inner.api.clone();
    let answer = control.unless_interrupted(api.attachment_content(id, from)).await;
    let mut response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return (Some(sink), Err(error.into())),
        Err(stop) => return (Some(sink), Err(stop)),
    };
    if let Err(stop) = check(&response, from, total) {
        return (Some(sink), Err(stop));
    }
    let mut expected = total - from;
    let mut batch = BytesMut::new();
    loop {
        let next = control.unless_interrupted(tokio::time::timeout(STALLED, response.chunk())).await;
        let (more, end) = match next {
            Ok(Ok(Ok(Some(bytes)))) => (bytes, None),
            Ok(Ok(Ok(None))) => (Bytes::new(), Some(Stop::Trouble)),
            Ok(Ok(Err(_)) | Err(_)) => (Bytes::new(), Some(Stop::Away { after: None })),
            Err(stop) => (Bytes::new(), Some(stop)),
        };
        if more.len() as u64 > expected {
            return (Some(sink), Err(TransferFailure::Damaged.into()));
        }
        expected -= more.len() as u64;
        batch.extend_from_slice(&more);
        if batch.len() >= BATCH_BYTES || expected == 0 || end.is_some() {
            let before = sink.next_chunk();
            let (back, pushed) = push(sink, batch.split().freeze()).await;
            let Some(back) = back else { return (None, pushed) };
            sink = back;
            if sink.next_chunk() > before {
                control.progress(sink.written());
            }
        }
        if sink.is_complete() {
            return (Some(sink), Ok(()));
        }
        if let Some(stop) = end {
            return (Some(sink), Err(stop));
        }
    }
}

/// Whether the answer is the range that was asked for, of a file as long as was announced.
fn check(response: &Response, from: u64, total: u64) -> Result<(), Stop> {
    let right = match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
            range.is_some_and(|range| range == format!("bytes {from}-{}/{total}", total - 1))
        }
        // The whole, from a server that knows no ranges.
        StatusCode::OK => from == 0 && response.content_length().is_none_or(|length| length == total),
        _ => return Err(Stop::Trouble),
    };
    if right { Ok(()) } else { Err(TransferFailure::Damaged.into()) }
}
