//! What two engines tell each other through the server: SDP, candidates, a plea to restart.
//!
//! The server carries it as opaque bytes. This module is the one place where those bytes are made and read, and so
//! the one place where sealing them end to end belongs.

use bedside_protocol::Sealed;
use serde::{Deserialize, Serialize};

/// Larger payloads are refused before they are parsed, bytes.
const MAX_BYTES: usize = 32 * 1024;

/// A message from engine to engine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Grows by one per call and sender; a number that was seen is a repetition after a reconnect.
    pub number: u32,
    /// What it says.
    pub body: SignalBody,
}

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
    },
    /// The answer to an offer.
    Answer {
        /// The description.
        sdp: String,
        /// That of the offer which it answers.
        round: u32,
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

impl std::fmt::Debug for Signal {
    /// The kind only: SDP and candidates hold addresses.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.body {
            SignalBody::Offer { .. } => "offer",
            SignalBody::Answer { .. } => "answer",
            SignalBody::Candidates { .. } => "candidates",
            SignalBody::RestartIce => "restart",
        };
        write!(f, "{kind} {}", self.number)
    }
}

/// Why a signal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// Larger than any honest engine sends.
    #[error("a signal of {0} bytes is too large")]
    TooLarge(usize),
    /// Not what an engine sends.
    #[error("a signal could not be read")]
    Malformed,
}

/// Makes the bytes that the server carries.
#[must_use]
pub fn seal(signal: &Signal) -> Sealed {
    Sealed(serde_json::to_vec(signal).unwrap_or_default())
}

/// Reads the bytes that the server carried.
///
/// # Errors
/// When they are not a signal.
pub fn open(sealed: &Sealed) -> Result<Signal, SignalError> {
    if sealed.0.len() > MAX_BYTES {
        return Err(SignalError::TooLarge(sealed.0.len()));
    }
    serde_json::from_slice(&sealed.0).map_err(|_| SignalError::Malformed)
}

/// Numbers what goes out and drops what came before.
#[derive(Debug, Default)]
pub struct Numbering {
    sent: u32,
    seen: u32,
}

impl Numbering {
    /// The next signal with this body.
    pub fn next(&mut self, body: SignalBody) -> Signal {
        self.sent += 1;
        Signal { number: self.sent, body }
    }

    /// Whether this signal is new.
    pub fn accept(&mut self, signal: &Signal) -> bool {
        let new = signal.number > self.seen;
        self.seen = self.seen.max(signal.number);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_survives_the_way_and_its_repetition_is_dropped() {
        let mut numbering = Numbering::default();
        let sealed = seal(&numbering.next(SignalBody::Offer { sdp: "v=0".into(), round: 1 }));
        let signal = open(&sealed).unwrap();
        let mut other = Numbering::default();
        assert!(other.accept(&signal));
        assert!(!other.accept(&signal));
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        assert!(matches!(open(&Sealed(b"hello".to_vec())), Err(SignalError::Malformed)));
        assert!(matches!(open(&Sealed(vec![b'['; MAX_BYTES + 1])), Err(SignalError::TooLarge(_))));
    }

    #[test]
    fn printing_a_signal_shows_no_address() {
        let signal =
            Signal { number: 2, body: SignalBody::Offer { sdp: "c=IN IP4 192.0.2.1".into(), round: 1 } };
        assert_eq!(format!("{signal:?}"), "offer 2");
    }
}
