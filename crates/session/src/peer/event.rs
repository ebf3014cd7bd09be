//! What a peer connection tells the engine, and what it is given to send.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Which of the two media a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Opus, 48 kHz RTP clock.
    Audio,
    /// H.264, 90 kHz RTP clock.
    Video,
}

impl MediaKind {
    /// Both, in the order of their media sections in the SDP.
    pub const ALL: [Self; 2] = [Self::Audio, Self::Video];

    /// RTP clock, Hz.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Audio => 48_000,
            Self::Video => 90_000,
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Audio => 0,
            Self::Video => 1,
        }
    }
}

/// One RTP packet to send: the peer adds payload type, sequence number and SSRC.
#[derive(Clone)]
pub struct OutgoingRtp {
    /// In units of [`MediaKind::clock_rate`].
    pub timestamp: u32,
    /// Last packet of a frame (video); first after silence (audio).
    pub marker: bool,
    /// RTP payload, at most [`MAX_PAYLOAD`](super::MAX_PAYLOAD) bytes.
    pub payload: Bytes,
}

/// A trickled candidate in the shape of `RTCIceCandidateInit`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CandidateInit {
    /// The candidate attribute (RFC 8839 §5.1); empty means that no more will come.
    pub candidate: String,
    /// Media section by identification tag.
    #[serde(default)]
    pub sdp_mid: Option<String>,
    /// Media section by index.
    #[serde(default, rename = "sdpMLineIndex")]
    pub sdp_mline_index: Option<u16>,
}

impl fmt::Debug for CandidateInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses are personal data.
        write!(f, "<candidate, {} bytes>", self.candidate.len())
    }
}

/// How the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerState {
    /// Candidates are being checked or the DTLS handshake runs.
    Connecting,
    /// Media can flow; the other side's certificate matches its description.
    Connected,
    /// Nothing has been heard for some seconds; an ICE restart may help.
    Disconnected,
    /// Given up; [`Peer::failure`](super::Peer::failure) says why.
    Failed,
    /// Closed by either side.
    Closed,
}

/// Why a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// No pair of candidates works, or the one in use stopped working for good. An ICE restart may help.
    Unreachable,
    /// Candidates work but the DTLS handshake did not finish in time.
    HandshakeTimeout,
    /// The other side showed a certificate its description does not name: end the call, somebody is in between.
    WrongCertificate,
    /// The transport gave up by itself; a new [`Peer`](super::Peer) may succeed.
    TransportEnded,
}

/// Something that happened on a [`Peer`](super::Peer).
#[derive(Clone)]
#[non_exhaustive]
pub enum PeerEvent {
    /// Send it to the other side.
    Candidate(CandidateInit),
    /// No more candidates will come in this generation.
    GatheringDone,
    /// The connection's state changed.
    State(PeerState),
    /// A media packet arrived. Retransmissions look like the packet they repeat; order and duplicates are as on the
    /// network.
    Rtp {
        /// Audio or video.
        kind: MediaKind,
        /// RTP sequence number.
        seq: u16,
        /// RTP time stamp.
        timestamp: u32,
        /// RTP marker bit.
        marker: bool,
        /// RTP payload.
        payload: Bytes,
        /// When it came off the network.
        arrived: Instant,
    },
    /// The other side's mapping of RTP time to its wall clock (RFC 3550 §6.4.1).
    SenderReport {
        /// Of which stream.
        kind: MediaKind,
        /// 64-bit NTP time stamp.
        ntp: u64,
        /// The same instant in RTP units.
        rtp: u32,
        /// When it arrived.
        arrived: Instant,
    },
    /// How the other side receives us.
    ReceiverReport {
        /// Of which stream.
        kind: MediaKind,
        /// Share lost since its last report, 0..=1.
        loss_fraction: f32,
        /// Round trip by its echo of our sender report.
        rtt: Option<Duration>,
        /// Interarrival jitter.
        jitter: Duration,
    },
    /// The other side lacked packets, and they were sent again at once.
    Repeated {
        /// Bytes of them.
        bytes: u64,
    },
    /// The other side needs a key frame (PLI or FIR).
    KeyframeRequest,
    /// What became of packets we sent (transport-wide congestion control).
    TransportFeedback(TransportFeedback),
    /// A message on the data channel.
    Message(Bytes),
    /// The data channel is open.
    ChannelOpen,
    /// The channel for files is open; see [`Peer::take_files`](super::Peer::take_files).
    FilesOpen,
}

impl fmt::Debug for PeerEvent {
    /// Names the event; never media, messages or addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Candidate(candidate) => candidate.fmt(f),
            Self::GatheringDone => f.write_str("GatheringDone"),
            Self::State(state) => write!(f, "State({state:?})"),
            Self::Rtp { kind, seq, payload, .. } => write!(f, "Rtp({kind:?} {seq}, {} bytes)", payload.len()),
            Self::SenderReport { kind, .. } => write!(f, "SenderReport({kind:?})"),
            Self::ReceiverReport { kind, loss_fraction, .. } => {
                write!(f, "ReceiverReport({kind:?}, loss {loss_fraction:.3})")
            }
            Self::Repeated { bytes } => write!(f, "Repeated({bytes} bytes)"),
            Self::KeyframeRequest => f.write_str("KeyframeRequest"),
            Self::TransportFeedback(feedback) => {
                write!(f, "TransportFeedback({} packets)", feedback.packets.len())
            }
            Self::Message(message) => write!(f, "Message({} bytes)", message.len()),
            Self::ChannelOpen => f.write_str("ChannelOpen"),
            Self::FilesOpen => f.write_str("FilesOpen"),
        }
    }
}

/// One transport-wide feedback message, joined with what we know about the packets it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportFeedback {
    /// In order of their transport-wide sequence numbers.
    pub packets: Vec<PacketFate>,
}

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketFate {
    /// Transport-wide sequence number.
    pub transport_seq: u16,
    /// RTP bytes on the wire without UDP and SRTP overhead.
    pub size: usize,
    /// When it was sent, by our clock.
    pub sent: Instant,
    /// When it arrived, by the other side's clock of unknown origin (differences count); `None` when it was lost.
    pub arrived: Option<Duration>,
}
