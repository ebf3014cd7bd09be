//! Offer, answer, candidates, ICE restarts: who says what when.
//!
//! The caller always offers. It prepares its offer and gathers candidates while the other side rings, and says
//! nothing before it is told to. A callee whose path is gone asks the caller to restart.

use std::time::{Duration, Instant};

use bedside_protocol::call::Side;

use super::{Report, driver::Reports};
use crate::{
    peer::{CandidateInit, Peer, PeerError},
    signal::{Candidate, SignalBody},
};

/// Restarts come no closer together than this.
const RESTART_DISTANCE: Duration = Duration::from_secs(3);

pub(super) struct Negotiation {
    side: Side,
    peer: Peer,
    /// The caller's offer, until the callee has answered the call.
    prepared: Option<String>,
    /// Whether our description has gone out, and candidates may follow it.
    described: bool,
    /// Whether the caller may speak.
    released: bool,
    candidates_out: Vec<Candidate>,
    /// Whether the other side's description is known.
    remote_known: bool,
    last_restart: Option<Instant>,
}

impl Negotiation {
    pub(super) fn new(side: Side, peer: Peer) -> Self {
        Self {
            side,
            peer,
            prepared: None,
            described: false,
            released: false,
            candidates_out: Vec::new(),
            remote_known: false,
            last_restart: None,
        }
    }

    /// Makes the caller's offer ahead of time.
    pub(super) async fn prepare(&mut self, reports: &Reports) {
        if self.side == Side::Caller {
            match self.peer.create_offer(false).await {
                Ok(sdp) => {
                    self.prepared = Some(sdp);
                    if self.released {
                        self.release(reports);
                    }
                }
                Err(error) => self.failed("an offer could not be made", &error, reports),
            }
        }
    }

    /// Whether anything has been said: the time to connect counts from then.
    pub(super) const fn began(&self) -> bool {
        self.described
    }

    /// The call was answered: what was prepared may go.
    pub(super) fn release(&mut self, reports: &Reports) {
        self.released = true;
        if let Some(sdp) = self.prepared.take() {
            reports.send(Report::Signal(SignalBody::Offer { sdp }));
            self.described = true;
            self.flush(reports);
        }
    }

    /// A candidate of ours.
    pub(super) fn candidate(&mut self, candidate: CandidateInit, reports: &Reports) {
        self.candidates_out.push(Candidate {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_mline_index,
        });
        if self.described {
            self.flush(reports);
        }
    }

    fn flush(&mut self, reports: &Reports) {
        if !self.candidates_out.is_empty() {
            let candidates = std::mem::take(&mut self.candidates_out);
            reports.send(Report::Signal(SignalBody::Candidates { candidates }));
        }
    }

    /// What the other engine says.
    pub(super) async fn signal(&mut self, body: SignalBody, reports: &Reports) {
        match body {
            SignalBody::Offer { sdp } => match self.peer.accept_offer(&sdp).await {
                Ok(answer) => {
                    reports.send(Report::Signal(SignalBody::Answer { sdp: answer }));
                    self.described = true;
                    self.flush(reports);
                    self.remote_known = true;
                }
                Err(error) => self.failed("an offer was refused", &error, reports),
            },
            SignalBody::Answer { sdp } => match self.peer.accept_answer(&sdp).await {
                Ok(()) => self.remote_known = true,
                Err(PeerError::WrongState) => tracing::debug!("a late answer was passed over"),
                Err(error) => self.failed("an answer was refused", &error, reports),
            },
            SignalBody::Candidates { candidates } => {
                for candidate in candidates {
                    self.add(candidate).await;
                }
            }
            SignalBody::RestartIce => {
                if self.side == Side::Caller {
                    self.restart(reports).await;
                }
            }
        }
    }

    async fn add(&self, candidate: Candidate) {
        let init = CandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_mline_index,
        };
        if let Err(error) = self.peer.add_candidate(init).await {
            tracing::debug!(%error, "a candidate was passed over");
        }
    }

    /// Looks for a new path, unless that was tried a moment ago. Asked again and again while the path stays lost.
    pub(super) async fn restart(&mut self, reports: &Reports) {
        if !self.remote_known || self.last_restart.is_some_and(|at| at.elapsed() < RESTART_DISTANCE) {
            return;
        }
        self.last_restart = Some(Instant::now());
        tracing::info!("looking for a new path");
        match self.side {
            Side::Callee => reports.send(Report::Signal(SignalBody::RestartIce)),
            Side::Caller => match self.peer.create_offer(true).await {
                Ok(sdp) => {
                    reports.send(Report::Signal(SignalBody::Offer { sdp }));
                    self.flush(reports);
                }
                Err(error) => tracing::warn!(%error, "an ICE restart could not be offered"),
            },
        }
    }

    fn failed(&self, what: &str, error: &PeerError, reports: &Reports) {
        tracing::error!(%error, "{what}");
        reports.send(Report::Failed);
    }
}
