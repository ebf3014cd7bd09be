//! Offer, answer, candidates, ICE restarts: who says what when.
//!
//! The caller always offers. It prepares its offer and gathers candidates while the other side rings, and says
//! nothing before it is told to. A callee whose path is gone asks the caller to restart.
//!
//! While the server is away offers pile up on their way, and their answers come in a heap later: an answer to any offer
//! but the newest describes a path that nobody is on any more, and is passed over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bedside_protocol::call::Side;
use uuid::Uuid;

use super::{Report, reports::Reports, sealing::Sealing};
use crate::{
    peer::{CandidateInit, Peer, PeerError},
    signal::{Candidate, SignalBody},
};

/// Restarts come no closer together than this.
const RESTART_DISTANCE: Duration = Duration::from_secs(3);

pub(super) struct Negotiation {
    sealing: Arc<Sealing>,
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
    /// The newest offer of this call, ours or theirs.
    round: u32,
    /// Whether that offer is ours and has no answer yet.
    unanswered: bool,
}

impl Negotiation {
    pub(super) fn new(side: Side, peer: Peer, sealing: Arc<Sealing>) -> Self {
        Self {
            sealing,
            side,
            peer,
            prepared: None,
            described: false,
            released: false,
            candidates_out: Vec::new(),
            remote_known: false,
            last_restart: None,
            round: 0,
            unanswered: false,
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
            self.offer(sdp, reports);
            self.described = true;
        }
    }

    fn offer(&mut self, sdp: String, reports: &Reports) {
        self.round += 1;
        self.unanswered = true;
        let frame_nonce = self.sealing.nonce();
        reports.send(Report::Signal(SignalBody::Offer { sdp, round: self.round, frame_nonce }));
    }

    /// A candidate of ours, to be said with those that come at the same time.
    pub(super) fn candidate(&mut self, candidate: CandidateInit) {
        self.candidates_out.push(Candidate {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_mline_index,
        });
    }

    /// Says what candidates there are, once our description has gone out.
    pub(super) fn flush(&mut self, reports: &Reports) {
        if self.described && !self.candidates_out.is_empty() {
            let candidates = std::mem::take(&mut self.candidates_out);
            reports.send(Report::Signal(SignalBody::Candidates { candidates }));
        }
    }

    /// Agreed before the first packet may arrive.
    async fn accept(&self, sdp: &str, frame_nonce: Option<Uuid>) -> Result<(), PeerError> {
        self.sealing.agree(frame_nonce);
        self.peer.accept_answer(sdp).await
    }

    /// What the other engine says.
    pub(super) async fn signal(&mut self, body: SignalBody, reports: &Reports) {
        match body {
            SignalBody::Offer { sdp, round, frame_nonce } => match self.peer.accept_offer(&sdp).await {
                Ok(answer) => {
                    self.sealing.agree(frame_nonce);
                    let frame_nonce = self.sealing.nonce();
                    reports.send(Report::Signal(SignalBody::Answer { sdp: answer, round, frame_nonce }));
                    if self.remote_known {
                        // The other side looks for a new path already.
                        self.last_restart = Some(Instant::now());
                    }
                    self.described = true;
                    self.remote_known = true;
                }
                // Not the end of a call that stands: the next attempt finds the network again, or the silence ends it.
                Err(PeerError::NoNetwork) if self.remote_known => {
                    tracing::debug!("an offer came while this machine has no network");
                }
                Err(error) => self.failed("an offer was refused", &error, reports),
            },
            SignalBody::Answer { round, .. } if round != self.round => {
                tracing::debug!("an answer to an older offer was passed over");
            }
            SignalBody::Answer { sdp, frame_nonce, .. } => match self.accept(&sdp, frame_nonce).await {
                Ok(()) => {
                    self.remote_known = true;
                    self.unanswered = false;
                }
                Err(PeerError::WrongState) => tracing::debug!("a late answer was passed over"),
                Err(error) => self.failed("an answer was refused", &error, reports),
            },
            SignalBody::Candidates { candidates } => {
                for candidate in candidates {
                    self.add(candidate).await;
                }
            }
            SignalBody::RestartIce => {
                // Unless both noticed at once, and the offer is on its way.
                if self.side == Side::Caller && !(self.unanswered && self.restarted_lately()) {
                    self.change_path(reports).await;
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
        if !self.restarted_lately() {
            self.change_path(reports).await;
        }
    }

    fn restarted_lately(&self) -> bool {
        self.last_restart.is_some_and(|at| at.elapsed() < RESTART_DISTANCE)
    }

    /// Looks for a new path now: the one in use is known to be gone.
    pub(super) async fn change_path(&mut self, reports: &Reports) {
        if !self.remote_known {
            return;
        }
        self.last_restart = Some(Instant::now());
        tracing::info!("looking for a new path");
        match self.side {
            Side::Callee => reports.send(Report::Signal(SignalBody::RestartIce)),
            Side::Caller => match self.peer.create_offer(true).await {
                Ok(sdp) => self.offer(sdp, reports),
                Err(error) => tracing::warn!(%error, "an ICE restart could not be offered"),
            },
        }
    }

    fn failed(&self, what: &str, error: &PeerError, reports: &Reports) {
        tracing::error!(%error, "{what}");
        reports.send(Report::Failed { forged: false });
    }
}

#[cfg(test)]
mod tests {
    use bedside_protocol::CallId;
    use bytes::Bytes;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        consultation::ConsultationEvent,
        peer::{MediaKind, NetworkOptions, OutgoingRtp, PeerConfig, PeerEvent, PeerState},
    };

    const PATIENCE: Duration = Duration::from_secs(30);

    /// One end, and what it has said that the other has not heard.
    struct End {
        negotiation: Negotiation,
        peer: Peer,
        events: mpsc::Receiver<PeerEvent>,
        reports: Reports,
        said: mpsc::UnboundedReceiver<ConsultationEvent>,
    }

    impl End {
        async fn new(side: Side) -> Self {
            let (sender, events) = mpsc::channel(1024);
            let network = NetworkOptions::loopback();
            let config = PeerConfig { offerer: side == Side::Caller, network, ..PeerConfig::default() };
            let peer = Peer::new(config, sender).await.expect("a peer");
            let (report, said) = mpsc::unbounded_channel();
            let reports = Reports::new(CallId::random(), report);
            Self {
                negotiation: Negotiation::new(side, peer.clone(), Arc::new(Sealing::new(false))),
                peer,
                events,
                reports,
                said,
            }
        }

        fn hears(&mut self, event: &PeerEvent) {
            if let PeerEvent::Candidate(candidate) = event {
                self.negotiation.candidate(candidate.clone());
                self.negotiation.flush(&self.reports);
            }
        }

        async fn is_told(&mut self, event: ConsultationEvent) {
            match event.report {
                Report::Signal(body) => self.negotiation.signal(body, &self.reports).await,
                other => panic!("the other side reports {other:?}"),
            }
        }
    }

    /// Carries what is said, until `done` of an event at either end.
    async fn talk(a: &mut End, b: &mut End, mut done: impl FnMut(Side, &PeerEvent) -> bool) {
        let talking = async {
            loop {
                tokio::select! {
                    Some(said) = a.said.recv() => b.is_told(said).await,
                    Some(said) = b.said.recv() => a.is_told(said).await,
                    Some(event) = a.events.recv() => {
                        a.hears(&event);
                        if done(Side::Caller, &event) {
                            return;
                        }
                    }
                    Some(event) = b.events.recv() => {
                        b.hears(&event);
                        if done(Side::Callee, &event) {
                            return;
                        }
                    }
                }
            }
        };
        assert!(tokio::time::timeout(PATIENCE, talking).await.is_ok(), "they never came to terms");
    }

    async fn connected() -> (End, End) {
        let (mut caller, mut callee) = (End::new(Side::Caller).await, End::new(Side::Callee).await);
        caller.negotiation.prepare(&caller.reports).await;
        caller.negotiation.release(&caller.reports);
        let mut connected = [false; 2];
        talk(&mut caller, &mut callee, |side, event| {
            if let PeerEvent::State(state) = event {
                connected[usize::from(side == Side::Callee)] = *state == PeerState::Connected;
            }
            connected == [true; 2]
        })
        .await;
        (caller, callee)
    }

    #[tokio::test]
    async fn candidates_wait_for_the_description_and_then_go_together() {
        let mut caller = End::new(Side::Caller).await;
        let candidate = |port: u16| CandidateInit {
            candidate: format!("candidate:1 1 udp 1 192.0.2.1 {port} typ host"),
            sdp_mid: None,
            sdp_mline_index: None,
        };
        caller.negotiation.prepare(&caller.reports).await;
        for port in 1..=3 {
            caller.negotiation.candidate(candidate(port));
            caller.negotiation.flush(&caller.reports);
        }
        assert!(caller.said.try_recv().is_err(), "an address left before the answer");
        caller.negotiation.release(&caller.reports);
        caller.negotiation.flush(&caller.reports);
        let mut said = std::iter::from_fn(|| caller.said.try_recv().ok()).map(|event| event.report);
        assert!(matches!(said.next(), Some(Report::Signal(SignalBody::Offer { .. }))));
        let Some(Report::Signal(SignalBody::Candidates { candidates })) = said.next() else {
            panic!("no candidates follow the offer");
        };
        assert_eq!(candidates.len(), 3);
        assert!(said.next().is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_offers_in_a_heap_lead_to_one_path() {
        let (mut caller, mut callee) = connected().await;
        // The server is away: what is said meanwhile arrives later, all at once.
        caller.negotiation.change_path(&caller.reports).await;
        caller.negotiation.change_path(&caller.reports).await;
        let round = caller.negotiation.round;
        let sender = callee.peer.clone();
        let sending = tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(20));
            for timestamp in (0..).step_by(960) {
                beat.tick().await;
                let packet = OutgoingRtp { timestamp, marker: false, payload: Bytes::from_static(b"voice") };
                let _ = sender.send_rtp(MediaKind::Audio, packet);
            }
        });
        talk(&mut caller, &mut callee, |side, event| {
            side == Side::Caller && matches!(event, PeerEvent::Rtp { .. })
        })
        .await;
        sending.abort();
        assert_eq!(caller.negotiation.round, round, "it took another restart");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_callee_that_asks_is_heard_even_if_a_restart_was_a_moment_ago() {
        let (mut caller, mut callee) = connected().await;
        caller.negotiation.restart(&caller.reports).await;
        let offer = caller.said.recv().await.expect("an offer");
        callee.is_told(offer).await;
        while caller.negotiation.unanswered {
            let answer = callee.said.recv().await.expect("an answer");
            caller.is_told(answer).await;
        }
        callee.negotiation.change_path(&callee.reports).await;
        let asked = callee.said.recv().await.expect("a plea");
        caller.is_told(asked).await;
        assert_eq!(caller.negotiation.round, 3);
        assert!(caller.negotiation.unanswered);
    }
}
