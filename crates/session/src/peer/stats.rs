//! What the transport counts and measures, once asked.

use std::time::Duration;

use rtc::peer_connection::transport::{RTCIceCandidatePair, RTCIceCandidateType};
use webrtc::peer_connection::RTCStatsReport;

use super::guard::Times;
use super::link::LinkCounters;

/// How an end of the path reaches the network (RFC 8445 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// An address of the device itself.
    Host,
    /// Behind address translation, learned from a STUN server.
    ServerReflexive,
    /// Behind address translation, learned from the other side.
    PeerReflexive,
    /// Through a TURN server.
    Relay,
}

impl CandidateKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relay => "relay",
        }
    }
}

/// A moment's view of the transport. Counters run from the beginning of the connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TransportStats {
    /// Round trip: from RTCP when media flows, else from the last consent check.
    pub rtt: Option<Duration>,
    /// Our end of the path in use.
    pub local: Option<CandidateKind>,
    /// The other side's end.
    pub remote: Option<CandidateKind>,
    /// Both ends in words, such as `host ↔ relay, UDP`.
    pub path: Option<String>,
    /// UDP payload sent, bytes.
    pub bytes_sent: u64,
    /// UDP payload received, bytes.
    pub bytes_received: u64,
    /// Media packets repeated on request.
    pub retransmitted_packets: u64,
    /// Media packets dropped because the engine did not take them in time.
    pub dropped_packets: u64,
    /// From both descriptions being known to a working path, ms.
    pub ice_ms: Option<f64>,
    /// From there to the end of the DTLS handshake, ms.
    pub dtls_ms: Option<f64>,
    /// SRTP protection profile, such as `SRTP_AEAD_AES_128_GCM`.
    pub srtp_cipher: Option<String>,
}

pub(super) fn collect(
    report: &RTCStatsReport,
    pair: Option<&RTCIceCandidatePair>,
    counters: LinkCounters,
    rtt: Option<Duration>,
    times: Times,
) -> TransportStats {
    let transport = report.transport();
    let local = pair.and_then(|pair| candidate_kind(pair.local().typ));
    let remote = pair.and_then(|pair| candidate_kind(pair.remote().typ));
    let checked = report
        .candidate_pairs()
        .filter(|pair| pair.nominated)
        .max_by_key(|pair| pair.responses_received)
        .map(|pair| pair.current_round_trip_time)
        .filter(|seconds| *seconds > 0.0);
    let ms = |step: Option<Duration>| step.map(|step| step.as_secs_f64() * 1e3);
    TransportStats {
        rtt: rtt.or_else(|| checked.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())),
        local,
        remote,
        path: local.zip(remote).map(|(local, remote)| format!("{} ↔ {}, UDP", local.word(), remote.word())),
        bytes_sent: transport.map(|transport| transport.bytes_sent).unwrap_or_default(),
        bytes_received: transport.map(|transport| transport.bytes_received).unwrap_or_default(),
        retransmitted_packets: counters.retransmitted_packets,
        dropped_packets: counters.dropped_events,
        ice_ms: ms(times.ice),
        dtls_ms: ms(times.dtls),
        srtp_cipher: transport
            .map(|transport| transport.srtp_cipher.clone())
            .filter(|cipher| !cipher.is_empty()),
    }
}

const fn candidate_kind(candidate: RTCIceCandidateType) -> Option<CandidateKind> {
    match candidate {
        RTCIceCandidateType::Host => Some(CandidateKind::Host),
        RTCIceCandidateType::Srflx => Some(CandidateKind::ServerReflexive),
        RTCIceCandidateType::Prflx => Some(CandidateKind::PeerReflexive),
        RTCIceCandidateType::Relay => Some(CandidateKind::Relay),
        _ => None,
    }
}
