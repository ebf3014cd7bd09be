//! Files in a call, straight to the other person: one session per connection, over the data channel for files.
//!
//! The receiver pulls: it says from which chunk on it wants a file, the sender streams, and after a broken connection
//! the receiver asks again from where it is. Only what was offered in this very call is sent, only what was wanted is
//! taken, and never more than was announced. What is on its way is bounded by [`pace`], which leaves the path to sound
//! and picture.

pub(super) mod message;
mod pace;

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use bedside_e2ee::file::{CHUNK_BYTES, SEALED_CHUNK_BYTES};
use bedside_protocol::CallId;
use bedside_ui_contract::chat::{TransferFailure, TransferState};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use self::{
    message::{Message, Why},
    pace::Pace,
};
use super::{
    Inner, TransferId, Verdict, blocking,
    failure::Stop,
    record::{Job, Outgoing},
    source::Source,
};

/// Pieces that may wait for the disk. More than a sender that keeps to its window can have on their way.
pub(super) const PIECES: usize = 1024;
/// Asks of this computer's own transfers that may wait.
const ASKS: usize = 64;

/// A message channel to the other person's computer: reliable, in order, bounded both ways. Messages have at most
/// 16 KiB.
#[derive(Debug)]
pub struct FileLink {
    /// Towards the other side; waits while the transport has enough.
    pub outgoing: mpsc::Sender<Bytes>,
    /// From the other side; ends with the connection.
    pub incoming: mpsc::Receiver<Bytes>,
}

/// What the session of a connection is asked by this computer's own transfers.
pub(super) enum Ask {
    /// Sealed bytes from a chunk on.
    Want { transfer: TransferId, round: u32, from_chunk: u32, pieces: mpsc::Sender<Arrival> },
    /// A word to the other side.
    Say(Message),
}

/// What came for a wanted file.
pub(super) enum Arrival {
    Piece { offset: u64, bytes: Bytes },
    Gone(Why),
}

/// Where the session of the present connection is asked.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) call_id: CallId,
    asks: mpsc::Sender<Ask>,
}

impl Session {
    /// Begins a session. It ends with its link, or when it is replaced.
    pub(super) fn begin(inner: &Arc<Inner>, call_id: CallId, link: FileLink) -> Self {
        let (asks, inbox) = mpsc::channel(ASKS);
        let serving = Serving {
            wake: inner.wake.subscribe(),
            inner: Arc::clone(inner),
            call_id,
            outgoing: link.outgoing,
            streams: VecDeque::new(),
            current: None,
            wanted: HashMap::new(),
            pace: Pace::new(),
        };
        let stop = inner.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(serving.run(link.incoming, inbox)).await });
        Self { call_id, asks }
    }

    /// Asks the session; `false` when it is over.
    pub(super) async fn ask(&self, ask: Ask) -> bool {
        self.asks.send(ask).await.is_ok()
    }

    /// Says something, unless the session is over.
    pub(super) fn say(&self, message: Message) {
        if self.asks.try_send(Ask::Say(message)).is_err() {
            tracing::debug!("a word about a file found no connection");
        }
    }
}

/// A file that the other side wants.
struct Stream {
    transfer: TransferId,
    round: u32,
    source: Source,
    /// The sealed byte that goes next.
    offset: u64,
    /// What is left of the chunk that is under way.
    chunk: Bytes,
}

struct Serving {
    inner: Arc<Inner>,
    call_id: CallId,
    outgoing: mpsc::Sender<Bytes>,
    wake: watch::Receiver<u64>,
    streams: VecDeque<Stream>,
    /// Whose bytes are on their way.
    current: Option<(TransferId, u32)>,
    wanted: HashMap<TransferId, (u32, mpsc::Sender<Arrival>)>,
    pace: Pace,
}

impl Serving {
    async fn run(mut self, mut incoming: mpsc::Receiver<Bytes>, mut asks: mpsc::Receiver<Ask>) {
        loop {
            self.choose();
            let ready = self.pace.room().filter(|_| self.front_may_go());
            let outgoing = self.outgoing.clone();
            let goes_on = tokio::select! {
                biased;
                message = incoming.recv() => match message {
                    Some(bytes) => match Message::read(bytes) {
                        Some(message) => self.message(message).await,
                        None => true,
                    },
                    None => false,
                },
                ask = asks.recv() => match ask {
                    Some(ask) => self.ask(ask).await,
                    None => false,
                },
                changed = self.wake.changed() => changed.is_ok(),
                permit = outgoing.reserve(), if ready.is_some() => match permit {
                    Ok(permit) => {
                        if let Some(piece) = self.next_piece(ready.unwrap_or_default()).await {
                            permit.send(piece.to_bytes());
                        }
                        true
                    }
                    Err(_) => false,
                },
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Brings a stream to the front that may go on, and forgets those that nobody sends any more.
    fn choose(&mut self) {
        let inner = &self.inner;
        self.streams.retain(|stream| inner.paused(stream.transfer).is_some());
        if let Some(next) = self.streams.iter().position(|stream| !is_paused(inner, stream.transfer)) {
            self.streams.rotate_left(next);
            self.begin();
        }
    }

    /// Turns to the stream in front. What is still on its way of another, or of an earlier round of the same, is
    /// acknowledged by nobody, and must not hold this one up.
    fn begin(&mut self) {
        let Some(Stream { transfer, round, offset, .. }) = self.streams.front() else { return };
        let (transfer, front) = (*transfer, Some((*transfer, *round)));
        if self.current != front {
            self.current = front;
            self.pace.begin(*offset);
            self.inner.set_state(transfer, TransferState::Running);
        }
    }

    fn front_may_go(&self) -> bool {
        self.streams.front().is_some_and(|stream| !is_paused(&self.inner, stream.transfer))
    }

    async fn say(&self, message: &Message) -> bool {
        self.outgoing.send(message.to_bytes()).await.is_ok()
    }

    async fn ask(&mut self, ask: Ask) -> bool {
        match ask {
            Ask::Want { transfer, round, from_chunk, pieces } => {
                self.wanted.retain(|_, (_, pieces)| !pieces.is_closed());
                self.wanted.insert(transfer, (round, pieces));
                self.say(&Message::Want { transfer, round, from_chunk }).await
            }
            Ask::Say(message) => self.say(&message).await,
        }
    }

    async fn message(&mut self, message: Message) -> bool {
        match message {
            Message::Want { transfer, round, from_chunk } => {
                self.streams.retain(|stream| stream.transfer != transfer);
                match self.open(transfer, round, from_chunk).await {
                    Ok(stream) => self.streams.push_back(stream),
                    Err(why) => return self.say(&Message::Gone { transfer, why }).await,
                }
            }
            Message::Stop { transfer } => self.streams.retain(|stream| stream.transfer != transfer),
            Message::Piece { transfer, round, offset, bytes } => {
                let Some((wanted, pieces)) = self.wanted.get(&transfer) else { return true };
                // One that sends more than its window may hold is cut off.
                if *wanted == round && pieces.try_send(Arrival::Piece { offset, bytes }).is_err() {
                    self.wanted.remove(&transfer);
                    return self.say(&Message::Stop { transfer }).await;
                }
            }
            Message::Ack { transfer, round, offset } => {
                if self.current == Some((transfer, round)) {
                    self.pace.acknowledged(Instant::now(), offset);
                    let done = offset / SEALED_CHUNK_BYTES as u64 * CHUNK_BYTES as u64;
                    self.inner.progress(transfer, done);
                }
            }
            Message::Gone { transfer, why } => {
                if let Some((_, pieces)) = self.wanted.remove(&transfer) {
                    let _ = pieces.try_send(Arrival::Gone(why));
                }
            }
            Message::Saved { transfer } => self.decide(transfer, Verdict::Saved),
            Message::Decline { transfer } => self.decide(transfer, Verdict::Failed(TransferFailure::Stopped)),
        }
        true
    }

    /// The other side has the last word about what it was offered.
    fn decide(&mut self, transfer: TransferId, verdict: Verdict) {
        if self.offered(transfer).is_some() {
            self.streams.retain(|stream| stream.transfer != transfer);
            self.inner.decide(transfer, verdict);
        }
    }

    /// A file that was offered in this call and is still to be had.
    fn offered(&self, transfer: TransferId) -> Option<Outgoing> {
        let record = self.inner.record(transfer)?;
        match record.job {
            Job::Send(send) if send.call == Some(self.call_id) && send.shared.is_some() => {
                (record.failed.is_none() && self.inner.verdict(transfer).is_none()).then_some(*send)
            }
            Job::Send(_) | Job::Fetch(_) => None,
        }
    }

    async fn open(&self, transfer: TransferId, round: u32, from_chunk: u32) -> Result<Stream, Why> {
        let send = self.offered(transfer).ok_or(Why::Stopped)?;
        let stamp = send.prepared.as_ref().ok_or(Why::Stopped)?.stamp;
        let opened = blocking(move || {
            let source = Source::open(&PathBuf::from(send.path), stamp, send.key)?;
            let offset = u64::from(from_chunk) * SEALED_CHUNK_BYTES as u64;
            if offset >= source.total() {
                return Err(Stop::Failed(TransferFailure::Stopped));
            }
            Ok(Stream { transfer, round, source, offset, chunk: Bytes::new() })
        })
        .await;
        opened.map_err(|stop| self.broken(transfer, stop))
    }

    /// A file that can't be read any more is over at both ends.
    fn broken(&self, transfer: TransferId, stop: Stop) -> Why {
        match stop {
            Stop::Failed(TransferFailure::Stopped) => Why::Stopped,
            Stop::Failed(reason) => {
                self.inner.decide(transfer, Verdict::Failed(reason));
                if reason == TransferFailure::Changed { Why::Changed } else { Why::Stopped }
            }
            Stop::Interrupted | Stop::Away { .. } | Stop::Trouble => Why::Stopped,
        }
    }

    /// The next bytes of the stream in front, at most `most`.
    async fn next_piece(&mut self, most: usize) -> Option<Message> {
        let mut stream = self.streams.pop_front()?;
        let (transfer, round) = (stream.transfer, stream.round);
        if stream.chunk.is_empty() {
            let position = u32::try_from(stream.offset / SEALED_CHUNK_BYTES as u64).unwrap_or(u32::MAX);
            let (back, chunk) = blocking(move || {
                let chunk = stream.source.chunk(position);
                (stream, chunk)
            })
            .await;
            stream = back;
            match chunk {
                Ok(chunk) => stream.chunk = chunk,
                Err(stop) => return Some(Message::Gone { transfer, why: self.broken(transfer, stop) }),
            }
        }
        let bytes = stream.chunk.split_to(most.min(stream.chunk.len()));
        let offset = stream.offset;
        stream.offset += bytes.len() as u64;
        self.pace.sent(Instant::now(), bytes.len());
        if stream.offset < stream.source.total() {
            self.streams.push_front(stream);
        }
        Some(Message::Piece { transfer, round, offset, bytes })
    }
}

fn is_paused(inner: &Inner, transfer: TransferId) -> bool {
    inner.paused(transfer).unwrap_or(true)
}

#[cfg(test)]
mod tests;
