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
mod connect;
mod containment;
mod error;
mod event;
mod guard;
mod link;
mod sdp;
mod stats;
mod tap;
mod tasks;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use bedside_protocol::rest::IceServer;
use bytes::{Bytes, BytesMut};
use rtc::data_channel::RTCDataChannelInit;
use rtc::peer_connection::configuration::RTCOfferOptions;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{PeerConnection, PeerConnectionEventHandler, RTCSessionDescription};
use webrtc::runtime::Runtime;

pub use self::error::PeerError;
pub use self::event::{
    CandidateInit, FailureReason, MediaKind, OutgoingRtp, PacketFate, PeerEvent, PeerState, TransportFeedback,
};
pub use self::sdp::Fingerprint;
pub use self::stats::{CandidateKind, TransportStats};

use self::candidate::Verdict;
use self::connect::Connection;
use self::containment::{Panicked, contained};
use self::guard::{Guard, WeakGuard};
use self::link::Link;
use self::tap::{SharedLink, lock};
use self::tasks::Departure;
use crate::transfer::FileLink;

/// Largest RTP payload, bytes: with RTP, its extension, RTX, SRTP, UDP, TURN and IPv6 headers still below 1,280.
pub const MAX_PAYLOAD: usize = 1_150;
/// Largest message on the data channel, bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
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

/// How to reach the network.
#[derive(Clone)]
pub struct NetworkOptions {
    /// Addresses to bind, `ip:port`; port 0 takes any. `0.0.0.0` means every interface except loopback.
    pub bind: Vec<String>,
    /// Use relayed candidates alone.
    pub relay_only: bool,
    /// Resolve browsers' `*.local` candidates by multicast.
    pub mdns: bool,
    /// Where sockets, timers and the clock come from; the operating system when absent.
    pub runtime: Option<Arc<dyn Runtime>>,
    /// Counts the changes of this machine's addresses; the operating system tells of them when absent.
    pub address_changes: Option<watch::Receiver<u64>>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            bind: vec!["0.0.0.0:0".to_owned()],
            relay_only: false,
            mdns: true,
            runtime: None,
            address_changes: None,
        }
    }
}

impl NetworkOptions {
    /// For both sides on one machine.
    #[must_use]
    pub fn loopback() -> Self {
        Self { bind: vec!["127.0.0.1:0".to_owned()], mdns: false, ..Self::default() }
    }
}

impl fmt::Debug for NetworkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkOptions")
            .field("sockets", &self.bind.len())
            .field("relay_only", &self.relay_only)
            .field("mdns", &self.mdns)
            .finish_non_exhaustive()
    }
}

/// What a [`Peer`] needs to know.
#[derive(Clone, Debug, Default)]
pub struct PeerConfig {
    /// STUN and TURN servers; those not reachable over UDP are left out.
    pub ice_servers: Vec<IceServer>,
    /// Whether this side makes the first offer.
    pub offerer: bool,
    /// How to reach the network.
    pub network: NetworkOptions,
}

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

    /// Makes an offer; with `ice_restart` one that finds a new path, after an address change or a failure.
    ///
    /// # Errors
    /// [`PeerError::WrongState`] while another offer is unanswered, [`PeerError::Closed`]; [`PeerError::NoNetwork`]
    /// when a restart is asked for while the machine has no network: ask again when it has.
    pub async fn create_offer(&self, ice_restart: bool) -> Result<String, PeerError> {
        if ice_restart {
            self.inner.connection.can_rebind()?;
        }
        let options = RTCOfferOptions { ice_restart };
        let offer = self.step(self.stack().create_offer(Some(options))).await?;
        self.set_local(offer).await
    }

    /// Takes the other side's offer and answers it.
    ///
    /// # Errors
    /// [`PeerError::BadDescription`], [`PeerError::WrongState`], [`PeerError::Closed`].
    pub async fn accept_offer(&self, sdp: &str) -> Result<String, PeerError> {
        self.inner.connection.can_rebind()?;
        self.set_remote(RTCSessionDescription::offer, sdp).await?;
        let answer = self.step(self.stack().create_answer(None)).await?;
        let answer = self.set_local(answer).await?;
        Ok(self.inner.guard.keep_role(answer))
    }

    /// Takes the other side's answer to our offer.
    ///
    /// # Errors
    /// As [`Peer::accept_offer`].
    pub async fn accept_answer(&self, sdp: &str) -> Result<(), PeerError> {
        self.set_remote(RTCSessionDescription::answer, sdp).await?;
        self.inner.guard.learn_role(sdp);
        Ok(())
    }

    /// Takes a candidate of the other side's, before or after its description.
    ///
    /// # Errors
    /// [`PeerError::BadCandidate`], which is no reason to end the call.
    pub async fn add_candidate(&self, candidate: CandidateInit) -> Result<(), PeerError> {
        if candidate::judge(&candidate.candidate)? == Verdict::PassOver {
            return Ok(());
        }
        {
            let mut early = self.inner.early.lock().await;
            if let Some(early) = early.as_mut() {
                if early.len() >= MOST_CANDIDATES {
                    return Err(PeerError::BadCandidate);
                }
                early.push(candidate);
                return Ok(());
            }
        }
        self.apply_candidate(candidate).await
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

    /// The certificate the other side really showed; `None` before the handshake is over.
    #[must_use]
    pub fn remote_fingerprint(&self) -> Option<Fingerprint> {
        self.inner.guard.fingerprint()
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

    async fn set_local(&self, description: RTCSessionDescription) -> Result<String, PeerError> {
        let sdp = description.sdp.clone();
        self.inner.guard.local_description(&sdp);
        self.step(self.stack().set_local_description(description)).await?;
        Ok(sdp)
    }

    async fn set_remote(&self, kind: ReadDescription, sdp: &str) -> Result<(), PeerError> {
        sdp::check(sdp)?;
        let description = contained(async { kind(sdp::without_unusable_candidates(sdp)) }).await;
        let description = description.map_err(|Panicked| unreadable())?.map_err(|_| unreadable())?;
        self.step(self.stack().set_remote_description(description)).await?;
        self.inner.guard.remote_description(sdp);
        self.inner.candidates.store(0, Relaxed);
        let early = self.inner.early.lock().await.take();
        for candidate in early.into_iter().flatten() {
            // A bad one among them is no reason to refuse the description.
            if self.apply_candidate(candidate).await.is_err() {
                tracing::debug!("left out a candidate that is not valid");
            }
        }
        Ok(())
    }

    async fn apply_candidate(&self, candidate: CandidateInit) -> Result<(), PeerError> {
        if self.inner.candidates.fetch_add(1, Relaxed) >= MOST_CANDIDATES {
            return Err(PeerError::BadCandidate);
        }
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_mline_index,
            ..RTCIceCandidateInit::default()
        };
        self.step(self.stack().add_ice_candidate(init)).await.map_err(|_| PeerError::BadCandidate)
    }

    /// Runs a step of the stack. One that it panics at ends the connection: it may be half done.
    async fn step<T>(&self, step: impl Future<Output = webrtc::error::Result<T>>) -> Result<T, PeerError> {
        match contained(step).await {
            Ok(done) => done.map_err(|error| self.refused(&error)),
            Err(Panicked) => {
                tracing::error!("the transport stack panicked at a step of the negotiation");
                self.inner.guard.transport_ended();
                self.inner.connection.close().await;
                Err(PeerError::BadDescription("the transport could not bear it"))
            }
        }
    }

    fn refused(&self, error: &webrtc::error::Error) -> PeerError {
        if self.inner.guard.is_closed() {
            return PeerError::Closed;
        }
        // The text may quote the description: it goes to nobody.
        match error {
            webrtc::error::Error::ErrConnectionClosed => PeerError::Closed,
            webrtc::error::Error::ErrSignalingStateProposedTransitionInvalid(_)
            | webrtc::error::Error::ErrSignalingStateCannotRollback
            | webrtc::error::Error::ErrIncorrectSignalingState
            | webrtc::error::Error::ErrNoRemoteDescription => PeerError::WrongState,
            _ => unreadable(),
        }
    }
}

/// Makes a description of one kind from SDP.
type ReadDescription = fn(String) -> webrtc::error::Result<RTCSessionDescription>;

/// What cannot be read is not quoted: it goes to nobody.
const fn unreadable() -> PeerError {
    PeerError::BadDescription("it cannot be understood")
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
