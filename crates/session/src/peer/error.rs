//! What can go wrong with a peer connection.

use thiserror::Error;

/// Failures of a [`Peer`](super::Peer). None of them carries SDP, addresses or fingerprints: they may be logged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// No usable network socket: every bind address failed. Tell the user there is no network.
    #[error("no local network address could be used")]
    NoNetwork,
    /// The transport could not be set up; a new [`Peer`](super::Peer) may succeed.
    #[error("the connection could not be set up: {0}")]
    Setup(String),
    /// The other side's description is not valid or offers nothing we can use; end the call.
    #[error("the other side's session description was refused: {0}")]
    BadDescription(&'static str),
    /// The other side's candidate is not valid; ignore it, others will come.
    #[error("the other side's network candidate was refused")]
    BadCandidate,
    /// The step does not fit what was negotiated so far (an answer without an offer, two offers at once).
    #[error("the step does not fit the state of the negotiation")]
    WrongState,
    /// Nothing can be sent yet, or any more; wait for [`PeerState::Connected`](super::PeerState::Connected).
    #[error("the connection is not up")]
    NotConnected,
    /// The queue towards the network is full: drop the packet and send less.
    #[error("too many packets wait to be sent")]
    Congested,
    /// The packet or message is larger than the transport carries.
    #[error("{size} bytes are more than the {limit} the transport carries")]
    TooLarge {
        /// Its size, bytes.
        size: usize,
        /// The greatest size, bytes.
        limit: usize,
    },
    /// The peer was closed.
    #[error("the connection is closed")]
    Closed,
}
