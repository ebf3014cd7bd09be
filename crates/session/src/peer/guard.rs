//! Watches a connection come up and decides whether it may be used: times each step, gives up in time, and compares
//! the certificate really shown with the one in the session description before any media or message passes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use webrtc::peer_connection::transport::DtlsTransport;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionEventHandler, RTCIceConnectionState, RTCIceGatheringState,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};
use webrtc::runtime::Runtime;

use super::event::{CandidateInit, FailureReason, PeerEvent, PeerState};
use super::sdp::{self, Role};
use super::tap::{SharedLink, lock};

/// From both descriptions being known to a working pair of candidates.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// From a working pair to the end of the DTLS handshake: four flights repeated after 1, 2, 4 s at worst.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(8);
/// How often a connection whose data channel has ended looks whether it has ended itself.
const CLOSE_CHECK: Duration = Duration::from_millis(50);
/// Events other than media that wait to be taken.
const CONTROL_QUEUE: usize = 256;

/// How long the steps of connecting took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// From both descriptions to a working pair of candidates.
    pub(super) ice: Option<Duration>,
    /// From there to the end of the DTLS handshake.
    pub(super) dtls: Option<Duration>,
}

#[derive(Default)]
struct State {
    connection: Option<Weak<dyn PeerConnection>>,
    mid: Option<String>,
    remote_sdp: Option<String>,
    local_known: bool,
    checking_since: Option<Instant>,
    ice_since: Option<Instant>,
    certificate: Option<Vec<u8>>,
    times: Times,
    told: Option<PeerState>,
    failure: Option<FailureReason>,
    /// Whether we are about to end it ourselves.
    closing: bool,
    /// Our part in the DTLS handshake, once it is settled.
    role: Option<Role>,
}

impl State {
    /// Whether only closing can follow.
    fn is_final(&self) -> bool {
        self.told == Some(PeerState::Closed)
            || self.failure.is_some_and(|reason| reason != FailureReason::Unreachable)
    }
}

/// See the module.
pub(super) struct Guard {
    link: SharedLink,
    runtime: Arc<dyn Runtime>,
    control: mpsc::Sender<PeerEvent>,
    stop: CancellationToken,
    state: Mutex<State>,
}

impl Guard {
    /// Spawns the task that passes events on; it ends with `stop`.
    pub(super) fn new(
        link: SharedLink,
        runtime: Arc<dyn Runtime>,
        events: mpsc::Sender<PeerEvent>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (control, queue) = mpsc::channel(CONTROL_QUEUE);
        tokio::spawn(pass_on(queue, events));
        Arc::new(Self { link, runtime, control, stop, state: Mutex::default() })
    }

    /// Names the connection to look at; the guard does not keep it alive.
    pub(super) fn watch(self: &Arc<Self>, connection: &Arc<dyn PeerConnection>, ended: CancellationToken) {
        self.state().connection = Some(Arc::downgrade(connection));
        let guard = Arc::downgrade(self);
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = ended.cancelled() => {}
            }
            if let Some(guard) = guard.upgrade() {
                guard.transport_ended();
            }
        });
    }

    pub(super) fn failure(&self) -> Option<FailureReason> {
        self.state().failure
    }

    pub(super) fn times(&self) -> Times {
        self.state().times
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().told == Some(PeerState::Closed)
    }

    pub(super) fn local_description(self: &Arc<Self>, sdp: &str) {
        {
            let mut state = self.state();
            state.local_known = true;
            state.mid = sdp::first_mid(sdp).map(ToOwned::to_owned);
        }
        self.start_clock();
    }

    pub(super) fn remote_description(self: &Arc<Self>, sdp: &str) {
        let changed = {
            let mut state = self.state();
            state.remote_sdp = Some(sdp.to_owned());
            state.certificate.as_deref().is_some_and(|der| !sdp::names(sdp, der))
        };
        if changed {
            self.fail(FailureReason::WrongCertificate);
        }
        self.start_clock();
    }

    /// Passes an event other than media on. Never waits; the queue holds far more than a negotiation produces.
    pub(super) fn tell(&self, event: PeerEvent) {
        if self.control.try_send(event).is_err() {
            tracing::warn!("an event of the peer connection found no room");
        }
    }

    /// Learns our part in the handshake from the other side's first answer.
    pub(super) fn learn_role(&self, answer: &str) {
        let role = sdp::role(answer).map(Role::other);
        let mut state = self.state();
        state.role = state.role.or(role);
    }

    /// Our answer with the part in the handshake that we had so far: it ends with the association, not before
    /// (RFC 8842 §5.3), while the stack names the one it would take in a new one.
    pub(super) fn keep_role(&self, answer: String) -> String {
        let mut state = self.state();
        match state.role {
            Some(role) => sdp::with_role(&answer, role),
            None => {
                state.role = sdp::role(&answer);
                answer
            }
        }
    }

    /// We are about to close the connection: that the stack's driver ends is no failure.
    pub(super) fn closing(&self) {
        self.state().closing = true;
    }

    /// The stack's driver has ended, or cannot be relied on any more.
    pub(super) fn transport_ended(&self) {
        if !self.state().closing {
            self.fail(FailureReason::TransportEnded);
        }
    }

    pub(super) fn closed(&self) {
        lock(&self.link).hang_up();
        self.become_state(PeerState::Closed);
    }

    /// The data channel ended: with the whole connection when the other side closed that, which shows a moment later.
    pub(super) async fn channel_closed(&self) {
        loop {
            let connection = self.state().connection.clone().and_then(|connection| connection.upgrade());
            let Some(connection) = connection else {
                return;
            };
            if let Some(transport) = dtls_transport(&connection).await
                && let Ok(RTCDtlsTransportState::Closed) = transport.state().await
            {
                lock(&self.link).set_open(false);
                self.become_state(PeerState::Closed);
                return;
            }
            drop(connection);
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.runtime.sleep(CLOSE_CHECK) => {}
            }
        }
    }

    fn start_clock(self: &Arc<Self>) {
        {
            let mut state = self.state();
            if !state.local_known || state.remote_sdp.is_none() || state.checking_since.is_some() {
                return;
            }
            state.checking_since = Some(self.runtime.now());
        }
        self.become_state(PeerState::Connecting);
        self.expect(CONNECT_WITHIN, FailureReason::Unreachable, |state| state.times.ice.is_some());
    }

    /// Fails the connection unless `done` holds when the time is up.
    fn expect(self: &Arc<Self>, within: Duration, reason: FailureReason, done: fn(&State) -> bool) {
        let timer = self.runtime.sleep(within);
        let guard = Arc::downgrade(self);
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = timer => {}
            }
            if let Some(guard) = guard.upgrade()
                && !done(&guard.state())
            {
                guard.fail(reason);
            }
        });
    }

    fn fail(&self, reason: FailureReason) {
        {
            let mut state = self.state();
            if state.is_final() {
                return;
            }
            state.failure = Some(reason);
        }
        if reason != FailureReason::Unreachable {
            lock(&self.link).set_open(false);
        }
        self.become_state(PeerState::Failed);
    }

    fn become_state(&self, next: PeerState) {
        {
            let mut state = self.state();
            let allowed = match next {
                PeerState::Closed => state.told != Some(PeerState::Closed),
                PeerState::Failed => state.told != Some(PeerState::Closed),
                PeerState::Connecting | PeerState::Connected | PeerState::Disconnected => !state.is_final(),
            };
            if state.told == Some(next) || !allowed {
                return;
            }
            if next == PeerState::Connected {
                state.failure = None;
            }
            state.told = Some(next);
        }
        self.tell(PeerEvent::State(next));
    }

    /// Compares the certificate shown with the description, and lets media pass or ends the connection.
    async fn check_certificate(&self) {
        let connection = self.state().connection.clone().and_then(|connection| connection.upgrade());
        let Some(connection) = connection else {
            return;
        };
        let shown = shown_certificate(&connection).await;
        let genuine = {
            let mut state = self.state();
            let genuine = match (&state.remote_sdp, &shown) {
                (Some(sdp), Some(der)) => sdp::names(sdp, der),
                _ => false,
            };
            state.certificate = shown;
            if let Some(since) = state.ice_since {
                state.times.dtls.get_or_insert(self.runtime.now().saturating_duration_since(since));
            }
            genuine
        };
        if genuine {
            lock(&self.link).set_open(true);
            self.become_state(PeerState::Connected);
        } else {
            self.fail(FailureReason::WrongCertificate);
            // Called on the driver's own task, where closing does not wait for the driver.
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "the refused connection did not close cleanly");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pass_on(mut queue: mpsc::Receiver<PeerEvent>, events: mpsc::Sender<PeerEvent>) {
    while let Some(event) = queue.recv().await {
        let last = matches!(event, PeerEvent::State(PeerState::Closed));
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn shown_certificate(connection: &Arc<dyn PeerConnection>) -> Option<Vec<u8>> {
    let transport = dtls_transport(connection).await?;
    transport.get_remote_certificates().await.ok()?.into_iter().next()
}

/// The one transport that carries everything under BUNDLE.
pub(super) async fn dtls_transport(connection: &Arc<dyn PeerConnection>) -> Option<Arc<dyn DtlsTransport>> {
    for sender in connection.get_senders().await {
        if let Ok(Some(transport)) = sender.transport().await {
            return Some(transport);
        }
    }
    Some(connection.sctp().await?.transport())
}

#[async_trait]
impl PeerConnectionEventHandler for WeakGuard {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let Some(guard) = self.0.upgrade() else {
            return;
        };
        if let Ok(init) = event.candidate.to_json() {
            let sdp_mid = init.sdp_mid.filter(|mid| !mid.is_empty()).or_else(|| guard.state().mid.clone());
            let candidate = CandidateInit {
                candidate: init.candidate,
                sdp_mid,
                sdp_mline_index: Some(init.sdp_mline_index.unwrap_or_default()),
            };
            guard.tell(PeerEvent::Candidate(candidate));
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete
            && let Some(guard) = self.0.upgrade()
        {
            guard.tell(PeerEvent::GatheringDone);
        }
    }

    async fn on_ice_connection_state_change(&self, ice: RTCIceConnectionState) {
        let Some(guard) = self.0.upgrade() else {
            return;
        };
        let first = {
            let mut state = guard.state();
            let connected =
                matches!(ice, RTCIceConnectionState::Connected | RTCIceConnectionState::Completed);
            let first = connected && state.times.ice.is_none();
            if first {
                let now = guard.runtime.now();
                state.ice_since = Some(now);
                state.times.ice = Some(now.saturating_duration_since(state.checking_since.unwrap_or(now)));
            }
            first
        };
        if first {
            guard.expect(HANDSHAKE_WITHIN, FailureReason::HandshakeTimeout, |state| {
                state.times.dtls.is_some()
            });
        }
    }

    async fn on_connection_state_change(&self, connection: RTCPeerConnectionState) {
        let Some(guard) = self.0.upgrade() else {
            return;
        };
        match connection {
            RTCPeerConnectionState::Connected => {
                let checked = guard.state().certificate.is_some();
                if checked {
                    guard.become_state(PeerState::Connected);
                } else {
                    guard.check_certificate().await;
                }
            }
            // Before the clock starts there is only one description and nothing to tell.
            RTCPeerConnectionState::Connecting if guard.state().checking_since.is_none() => {}
            RTCPeerConnectionState::Connecting => guard.become_state(PeerState::Connecting),
            RTCPeerConnectionState::Disconnected => guard.become_state(PeerState::Disconnected),
            RTCPeerConnectionState::Failed => guard.fail(FailureReason::Unreachable),
            RTCPeerConnectionState::Closed => guard.become_state(PeerState::Closed),
            _ => {}
        }
    }
}

/// What the stack calls: it must not keep the guard, and so the stream of events, alive.
pub(super) struct WeakGuard(pub(super) Weak<Guard>);
