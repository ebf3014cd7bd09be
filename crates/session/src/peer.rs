//! The peer connection: ICE, DTLS, SRTP and SCTP by the crate `webrtc`, and nothing of that crate beyond this module.
//!
//! A [`Peer`] carries one audio and one video stream each way, already packetised, one data channel for what the two
//! engines tell each other and one for files. What it does
//! not do: encode, pace, decide a bit rate, assemble frames. It numbers packets, keeps them for repetition, answers
//! requests for repetition, and reports everything that arrives as a [`PeerEvent`]. Nothing passes in either direction
//! before the other side's certificate has been compared with its session description.
//!
//! The answering side sends nothing before it knows the offer, so both sides always offer both media; a voice call is
//! a connection on which no video packet happens to be sent.

mod candidate;
mod config;
mod connect;
mod containment;
mod error;
mod event;
mod guard;
mod link;
mod negotiation;
mod rounds;
mod sdp;
mod stats;
mod tap;
mod tasks;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use rtc::data_channel::RTCDataChannelInit;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{PeerConnection, PeerConnectionEventHandler};
use webrtc::runtime::Runtime;

pub use self::config::{NetworkOptions, PeerConfig};
pub use self::error::PeerError;
pub use self::event::{
    CandidateInit, FailureReason, MediaKind, OutgoingRtp, PacketFate, PeerEvent, PeerState, TransportFeedback,
};
pub use self::stats::{CandidateKind, TransportStats};

use self::connect::Connection;
use self::guard::{Guard, WeakGuard};
use self::link::Link;
use self::tap::{SharedLink, lock};
use self::tasks::Departure;
use crate::transfer::FileLink;

/// Largest RTP payload, bytes: with RTP, its extension, RTX, SRTP, UDP, TURN and IPv6 headers still below 1,280.
pub const MAX_PAYLOAD: usize = 1_150;
/// Largest message on the data channel, bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Round trip assumed before one is known.
pub(crate) const ASSUMED_RTT: Duration = Duration::from_millis(100);
/// Packets between the engine and the network driver; at 2 Mbit/s this is more than a second.
const SEND_QUEUE: usize = 512;
/// Name and stream of the data channel, the same on both sides without asking.
const CHANNEL_LABEL: &str = "bedside";
const CHANNEL_ID: u16 = 0;
/// The same for files.
const FILES_LABEL: &str = "bedside-files";
const FILES_ID: u16 = 1;
/// Messages about files that wait to be taken, each way. While there is no room the other side waits, too.
const FILE_QUEUE: usize = 16;
/// Candidates of the other side's that are tried per description: RFC 8445 §19.5.1 wants a limit on what strangers can
/// make us send checks to.
const MOST_CANDIDATES: usize = 100;

/// A handle on a connection to one other device; clones share it. The connection ends with [`Peer::close`] or with the
/// last handle.
#[derive(Clone)]
pub struct Peer {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    channel: Arc<dyn DataChannel>,
    /// Until somebody takes it.
    files: Mutex<Option<FileLink>>,
    link: SharedLink,
    guard: Arc<Guard>,
    outgoing: mpsc::Sender<Departure>,
    runtime: Arc<dyn Runtime>,
    /// Candidates that came before the description they belong to.
    early: tokio::sync::Mutex<Option<Vec<CandidateInit>>>,
    /// Candidates given to the stack since the newest description.
    candidates: AtomicUsize,
    /// Where the last handle leaves the work of closing.
    tasks: tokio::runtime::Handle,
    closed: AtomicBool,
    stop: CancellationToken,
}

impl Peer {
    /// Binds sockets and prepares a connection; nothing is sent before a description is made or accepted.
    ///
    /// Media that finds `events` full is dropped and counted; everything else waits for room.
    ///
    /// # Errors
    /// [`PeerError::NoNetwork`] or [`PeerError::Setup`].
    pub async fn new(config: PeerConfig, events: mpsc::Sender<PeerEvent>) -> Result<Self, PeerError> {
        let runtime = connect::runtime(&config.network);
        let link = Arc::new(Mutex::new(Link::new(events.clone(), runtime.now(), SystemTime::now())));
        let stop = CancellationToken::new();
        let guard = Guard::new(Arc::clone(&link), Arc::clone(&runtime), events.clone(), stop.clone());
        let handler: Arc<dyn PeerConnectionEventHandler> = Arc::new(WeakGuard(Arc::downgrade(&guard)));
        let connection = connect::build(&config, &link, &handler).await?;
        let tracks = connect::add_tracks(&connection.stack, &link).await?;
        let options = RTCDataChannelInit { negotiated: Some(CHANNEL_ID), ..RTCDataChannelInit::default() };
        let channel = connection
            .stack
            .create_data_channel(CHANNEL_LABEL, Some(options))
            .await
            .map_err(|error| PeerError::Setup(error.to_string()))?;
        let options = RTCDataChannelInit { negotiated: Some(FILES_ID), ..RTCDataChannelInit::default() };
        let files = connection
            .stack
            .create_data_channel(FILES_LABEL, Some(options))
            .await
            .map_err(|error| PeerError::Setup(error.to_string()))?;
        guard.watch(&connection.stack, connection.ended.clone());
        let (outgoing, departures) = mpsc::channel(SEND_QUEUE);
        tokio::spawn(tasks::send_departures(tracks, departures, stop.clone()));
        let (from_files, incoming) = mpsc::channel(FILE_QUEUE);
        let (outgoing_files, to_files) = mpsc::channel(FILE_QUEUE);
        tokio::spawn(tasks::read_files(
            Arc::clone(&files),
            Arc::clone(&link),
            events.clone(),
            from_files,
            stop.clone(),
        ));
        tokio::spawn(tasks::send_files(files, Arc::clone(&link), to_files, stop.clone()));
        tokio::spawn(tasks::read_channel(
            Arc::clone(&channel),
            Arc::clone(&connection.rounds),
            Arc::clone(&guard),
            Arc::clone(&link),
            events,
            stop.clone(),
        ));
        let inner = Inner {
            connection,
            channel,
            files: Mutex::new(Some(FileLink { outgoing: outgoing_files, incoming })),
            link,
            guard,
            outgoing,
            runtime,
            early: tokio::sync::Mutex::new(Some(Vec::new())),
            candidates: AtomicUsize::new(0),
            tasks: tokio::runtime::Handle::current(),
            closed: AtomicBool::new(false),
            stop,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Numbers and sends a media packet; never waits. Gives the number by which the other side may ask for it again.
    ///
    /// # Errors
    /// [`PeerError::NotConnected`], [`PeerError::Congested`], [`PeerError::TooLarge`].
    pub fn send_rtp(&self, kind: MediaKind, packet: OutgoingRtp) -> Result<u16, PeerError> {
        if packet.payload.len() > MAX_PAYLOAD {
            return Err(PeerError::TooLarge { size: packet.payload.len(), limit: MAX_PAYLOAD });
        }
        let permit = self.inner.outgoing.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => PeerError::Congested,
            mpsc::error::TrySendError::Closed(()) => PeerError::Closed,
        })?;
        // Numbered and queued under one lock, so that packets leave in the order of their numbers.
        let mut link = lock(&self.inner.link);
        if !link.is_open() {
            return Err(PeerError::NotConnected);
        }
        let packet = link
            .number(kind, packet.timestamp, packet.marker, packet.payload)
            .ok_or(PeerError::NotConnected)?;
        let seq = packet.header.sequence_number;
        permit.send(Departure::Rtp(kind, packet));
        Ok(seq)
    }

    /// Says at which instant the media of an RTP time stamp was captured, for the other side's lip sync. Without it
    /// the instant of sending stands in.
    pub fn map_clock(&self, kind: MediaKind, timestamp: u32, captured_at: Instant) {
        lock(&self.inner.link).map_clock(kind, timestamp, captured_at);
    }

    /// Asks the other side to repeat video packets.
    ///
    /// # Errors
    /// [`PeerError::NotConnected`] before a video packet has come, [`PeerError::Congested`].
    pub fn send_nack(&self, seqs: &[u16]) -> Result<(), PeerError> {
        let (sender_ssrc, media_ssrc) = self.feedback_ssrcs()?;
        let nacks = nack_pairs_from_sequence_numbers(seqs);
        self.send_rtcp(Box::new(TransportLayerNack { sender_ssrc, media_ssrc, nacks }))
    }

    /// Asks the other side for a key frame.
    ///
    /// # Errors
    /// As [`Peer::send_nack`].
    pub fn send_pli(&self) -> Result<(), PeerError> {
        let (sender_ssrc, media_ssrc) = self.feedback_ssrcs()?;
        self.send_rtcp(Box::new(PictureLossIndication { sender_ssrc, media_ssrc }))
    }

    /// Sends a message on the data channel, reliably and in order; waits while too much is outstanding.
    ///
    /// # Errors
    /// [`PeerError::TooLarge`], [`PeerError::NotConnected`].
    pub async fn send_message(&self, message: Bytes) -> Result<(), PeerError> {
        if message.len() > MAX_MESSAGE {
            return Err(PeerError::TooLarge { size: message.len(), limit: MAX_MESSAGE });
        }
        if !lock(&self.inner.link).is_open() {
            return Err(PeerError::NotConnected);
        }
        self.inner.channel.send(BytesMut::from(message)).await.map_err(|_| PeerError::NotConnected)
    }

    /// The channel for files, the first time it is asked for; to be used from [`PeerEvent::FilesOpen`] on. It ends with
    /// the connection.
    #[must_use]
    pub fn take_files(&self) -> Option<FileLink> {
        self.inner.files.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Why the state is [`PeerState::Failed`].
    #[must_use]
    pub fn failure(&self) -> Option<FailureReason> {
        self.inner.guard.failure()
    }

    /// What the transport counts and measures.
    pub async fn stats(&self) -> TransportStats {
        let now = self.inner.runtime.now();
        let (counters, rtt) = {
            let link = lock(&self.inner.link);
            (link.counters, link.rtt)
        };
        let report = self.stack().get_stats(now, webrtc::peer_connection::StatsSelector::None).await;
        let pair = match guard::dtls_transport(self.stack()).await {
            Some(transport) => transport.ice_transport().get_selected_candidate_pair().await.ok().flatten(),
            None => None,
        };
        stats::collect(&report, pair.as_ref(), counters, rtt, self.inner.guard.times())
    }

    /// Ends the connection: tells the other side, closes sockets, ends every task and the stream of events.
    pub async fn close(&self) {
        self.inner.closed.store(true, Relaxed);
        self.inner.guard.closing();
        self.inner.connection.close().await;
        self.inner.guard.closed();
        self.inner.stop();
    }

    fn stack(&self) -> &Arc<dyn PeerConnection> {
        &self.inner.connection.stack
    }

    fn feedback_ssrcs(&self) -> Result<(u32, u32), PeerError> {
        let link = lock(&self.inner.link);
        let media_ssrc = link.incoming_ssrc(MediaKind::Video).filter(|_| link.is_open());
        Ok((link.outgoing(MediaKind::Video).ssrc, media_ssrc.ok_or(PeerError::NotConnected)?))
    }

    fn send_rtcp(&self, packet: Box<dyn rtcp::Packet>) -> Result<(), PeerError> {
        self.inner.outgoing.try_send(Departure::Rtcp(packet)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PeerError::Congested,
            mpsc::error::TrySendError::Closed(_) => PeerError::Closed,
        })
    }
}

impl Inner {
    fn stop(&self) {
        self.stop.cancel();
        lock(&self.link).hang_up();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.guard.closed();
        self.stop();
        if !self.closed.load(Relaxed) {
            // Without this the other side would wait until it gives us up.
            let connection = self.connection.clone();
            self.tasks.spawn(async move { connection.close().await });
        }
    }
}

/// What the fuzz targets reach of this module. Not part of any ordinary build.
#[cfg(fuzzing)]
pub mod fuzzing {
    use super::{candidate, sdp};

    /// All that is done with a description before the stack sees it, and with a certificate beside it.
    pub fn description(text: &str, certificate: &[u8]) {
        if sdp::check(text).is_err() {
            return;
        }
        let left = sdp::without_unusable_candidates(text);
        assert!(left.len() <= text.len(), "leaving out candidates made it longer");
        let _ = sdp::names(text, certificate);
        let _ = sdp::first_mid(text);
        if let Some(role) = sdp::role(text) {
            let _ = sdp::with_role(text, role.other());
        }
    }

    /// What decides whether a candidate is tried.
    pub fn candidate(text: &str) {
        let _ = candidate::judge(text);
    }
}
