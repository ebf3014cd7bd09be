//! What two engines tell each other of a call: SDP, candidates, a plea to restart.
//!
//! It travels inside a message of their conversation ([`crate::chat`]): sealed, signed by the device that says it, in
//! order and once. The server carries bytes it can't read.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a signal says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalBody {
    /// An SDP offer (RFC 8829).
    Offer {
        /// The description.
        sdp: String,
        /// Grows with each offer of the call.
        round: u32,
        /// This side's part in the keys of frames: its own, new with each call. Absent where it does not want them sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frame_nonce: Option<Uuid>,
    },
    /// The answer to an offer.
    Answer {
        /// The description.
        sdp: String,
        /// That of the offer which it answers.
        round: u32,
        /// As in the offer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frame_nonce: Option<Uuid>,
    },
    /// ICE candidates (RFC 8838).
    Candidates {
        /// As in `RTCIceCandidateInit`.
        candidates: Vec<Candidate>,
    },
    /// The callee's path is gone: the caller should offer an ICE restart.
    RestartIce,
}

/// An ICE candidate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// `candidate:…`.
    pub candidate: String,
    /// Which media section, by name.
    #[serde(default)]
    pub sdp_mid: Option<String>,
    /// Which media section, by place.
    #[serde(default)]
    pub sdp_mline_index: Option<u16>,
}

impl std::fmt::Debug for SignalBody {
    /// The kind only: SDP and candidates hold addresses.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SignalBody::Offer { .. } => "offer",
            SignalBody::Answer { .. } => "answer",
            SignalBody::Candidates { .. } => "candidates",
            SignalBody::RestartIce => "restart",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_signal_shows_no_address() {
        let signal = SignalBody::Offer { sdp: "c=IN IP4 192.0.2.1".into(), round: 1, frame_nonce: None };
        assert_eq!(format!("{signal:?}"), "offer");
    }
}
