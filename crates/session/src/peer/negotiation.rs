//! Descriptions and candidates: what both sides say to each other before they are connected. Whatever the stack makes
//! of them, a panic of its stays here.

use std::sync::atomic::Ordering::Relaxed;

use rtc::peer_connection::configuration::RTCOfferOptions;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use webrtc::peer_connection::RTCSessionDescription;

use super::{
    MOST_CANDIDATES, Peer, PeerError,
    candidate::{self, Verdict},
    containment::{Panicked, contained},
    event::CandidateInit,
    sdp,
};

impl Peer {
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
