//! Receiving a file: its sealed bytes by range from where they were cut off, opened chunk by chunk.

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use bedside_protocol::AttachmentId;
use bedside_ui_contract::chat::TransferFailure;
use bytes::{Bytes, BytesMut};
use reqwest::{Response, StatusCode, header::CONTENT_RANGE};
use tokio::sync::mpsc;

use super::{
    TransferId, blocking,
    control::Control,
    direct::{
        Arrival, Ask, PIECES,
        message::{Message, Why},
    },
    failure::Stop,
    record::{Incoming, Job},
    shared::FileSource,
    sink::{self, Sink},
};

/// A server that sends nothing for this long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// Bytes that are gathered before they are handed to the disk.
const BATCH_BYTES: usize = 256 * 1024;

/// Pieces that are taken at once.
const AT_ONCE: usize = 32;
/// As long as it takes until there is a call again.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

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
            FileSource::Direct { transfer } => from_peer(control, transfer, sink).await,
        };
        match (sink, outcome) {
            (Some(sink), Ok(())) => {
                let source = fetch.file.source;
                let path = blocking(move || sink.finish(Path::new(&fetch.folder), &fetch.file.name)).await?;
                if let FileSource::Direct { transfer } = source
                    && let Some(session) = control.inner.session().as_ref()
                {
                    session.say(Message::Saved { transfer });
                }
                Ok(path)
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

/// Has the rest of a file sent by the other computer of a call.
async fn from_peer(
    control: &mut Control,
    transfer: TransferId,
    mut sink: Sink,
) -> (Option<Sink>, Result<(), Stop>) {
    let Some(session) = control.inner.session().clone() else {
        return (Some(sink), Err(Stop::Away { after: Some(FOREVER) }));
    };
    let round = control.inner.rounds.fetch_add(1, Relaxed);
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let want = Ask::Want { transfer, round, from_chunk: sink.next_chunk(), pieces: sender };
    if !session.ask(want).await {
        return (Some(sink), Err(Stop::Away { after: Some(FOREVER) }));
    }
    let (mut expected, total) = (sink.position(), sink.total());
    let mut arrivals = Vec::new();
    loop {
        let next = tokio::time::timeout(STALLED, pieces.recv_many(&mut arrivals, AT_ONCE));
        let stop = match control.unless_interrupted(next).await {
            Ok(Ok(0)) => Some(Stop::Away { after: None }),
            Ok(Ok(_)) => None,
            // The connection may be broken and coming back: asked again, it says.
            Ok(Err(_)) => Some(Stop::Away { after: Some(Duration::ZERO) }),
            Err(stop) => Some(stop),
        };
        if let Some(stop) = stop {
            session.say(Message::Stop { transfer });
            return (Some(sink), Err(stop));
        }
        let mut batch = BytesMut::new();
        for arrival in arrivals.drain(..) {
            match arrival {
                Arrival::Piece { offset, bytes } => {
                    let len = bytes.len() as u64;
                    if offset != expected || len > total - expected {
                        session.say(Message::Stop { transfer });
                        return (None, Err(TransferFailure::Damaged.into()));
                    }
                    expected += len;
                    batch.extend_from_slice(&bytes);
                }
                Arrival::Gone(why) => {
                    let reason = match why {
                        Why::Stopped => TransferFailure::Stopped,
                        Why::Changed => TransferFailure::Changed,
                    };
                    return (Some(sink), Err(reason.into()));
                }
            }
        }
        let (back, pushed) = push(sink, batch.freeze()).await;
        let Some(back) = back else {
            session.say(Message::Stop { transfer });
            return (None, pushed);
        };
        sink = back;
        control.progress(sink.written());
        session.say(Message::Ack { transfer, round, offset: sink.received() });
        if sink.is_complete() {
            return (Some(sink), Ok(()));
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
