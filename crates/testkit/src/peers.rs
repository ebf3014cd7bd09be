//! Two peers of one call, joined by a signaling path that never fails.

use std::{collections::VecDeque, time::Duration};

use bedside_session::peer::{NetworkOptions, Peer, PeerConfig, PeerError, PeerEvent, PeerState};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Events that may wait for a test to look at them.
const EVENTS: usize = 8_192;
/// How long a test waits for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One peer with what it reported so far.
pub struct Side {
    /// The handle under test.
    pub peer: Peer,
    events: mpsc::Receiver<PeerEvent>,
    /// What came while something else was waited for.
    kept: VecDeque<PeerEvent>,
}

impl Side {
    /// Makes a peer on the given network.
    ///
    /// # Errors
    /// Those of [`Peer::new`].
    pub async fn new(network: NetworkOptions, offerer: bool) -> Result<Self, PeerError> {
        Self::with_config(PeerConfig { ice_servers: vec![], offerer, network }).await
    }

    /// Makes a peer with every option.
    ///
    /// # Errors
    /// Those of [`Peer::new`].
    pub async fn with_config(config: PeerConfig) -> Result<Self, PeerError> {
        let (sender, events) = mpsc::channel(EVENTS);
        Ok(Self { peer: Peer::new(config, sender).await?, events, kept: VecDeque::new() })
    }

    /// The next event that is not a candidate; `None` when the peer is closed.
    pub async fn event(&mut self) -> Option<PeerEvent> {
        loop {
            match self.raw_event().await? {
                PeerEvent::Candidate(_) => {}
                event => return Some(event),
            }
        }
    }

    /// Sends a message as soon as the data channel is open, which may be a moment after the connection is.
    ///
    /// # Panics
    /// When it does not open within [`PATIENCE`].
    pub async fn say(&self, message: &[u8]) {
        let message = Bytes::copy_from_slice(message);
        let sent = async {
            while let Err(error) = self.peer.send_message(message.clone()).await {
                assert!(matches!(error, PeerError::NotConnected), "the message is refused: {error}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, sent).await.expect("the data channel opens");
    }

    /// Waits for a message.
    ///
    /// # Panics
    /// As [`Side::wait_for`].
    pub async fn message(&mut self) -> Bytes {
        self.wait_for("message", |event| match event {
            PeerEvent::Message(message) => Some(message),
            _ => None,
        })
        .await
    }

    /// Drops the handle without closing it; what is left is the stream of events.
    #[must_use]
    pub fn abandon(self) -> mpsc::Receiver<PeerEvent> {
        self.events
    }

    /// The next event of any kind, candidates included.
    pub async fn raw_event(&mut self) -> Option<PeerEvent> {
        match self.kept.pop_front() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }

    /// Waits for the first event that `wanted` maps to something.
    ///
    /// # Panics
    /// When none comes within [`PATIENCE`] or the peer closes first.
    pub async fn wait_for<T>(&mut self, what: &str, mut wanted: impl FnMut(PeerEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.event().await.unwrap_or_else(|| panic!("closed while waiting for {what}"));
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("no {what}"))
    }
}

/// Carries candidates both ways until both sides reach `state`; all else that happens is kept for later.
///
/// # Panics
/// When that takes longer than [`PATIENCE`].
pub async fn trickle_until(a: &mut Side, b: &mut Side, state: PeerState) {
    let mut reached = [false; 2];
    let mut kept = [VecDeque::new(), VecDeque::new()];
    watch(a, b, &format!("both {state:?}"), |side, event| {
        match event {
            PeerEvent::State(now) => reached[side] = now == state,
            event => kept[side].push_back(event),
        }
        reached == [true; 2]
    })
    .await;
    for (side, kept) in [a, b].into_iter().zip(kept) {
        side.kept.extend(kept);
    }
}

/// Carries candidates both ways and shows everything else that happens on side 0 or 1 to `seen`, until that is true.
///
/// # Panics
/// When that takes longer than [`PATIENCE`] or one side ends.
pub async fn watch(a: &mut Side, b: &mut Side, what: &str, mut seen: impl FnMut(usize, PeerEvent) -> bool) {
    let exchange = async {
        loop {
            let (side, event) = tokio::select! {
                event = a.raw_event() => (0, event),
                event = b.raw_event() => (1, event),
            };
            match event {
                Some(PeerEvent::Candidate(candidate)) => {
                    let other = if side == 0 { &b.peer } else { &a.peer };
                    // A candidate of an earlier generation may come late.
                    let _ = other.add_candidate(candidate).await;
                }
                Some(event) => {
                    if seen(side, event) {
                        return;
                    }
                }
                None => panic!("side {side} ended while waiting for: {what}"),
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, exchange).await.is_ok(), "never came: {what}");
}

/// Makes two peers and lets the first one call the second.
///
/// # Panics
/// When they do not connect within [`PATIENCE`].
pub async fn connect(first: NetworkOptions, second: NetworkOptions) -> (Side, Side) {
    let a = Side::new(first, true).await.expect("the first peer is made");
    let b = Side::new(second, false).await.expect("the second peer is made");
    call(a, b).await
}

/// Lets `a` call `b`.
///
/// # Panics
/// When they do not connect within [`PATIENCE`].
pub async fn call(mut a: Side, mut b: Side) -> (Side, Side) {
    negotiate(&a, &b, false).await;
    trickle_until(&mut a, &mut b, PeerState::Connected).await;
    (a, b)
}

/// One offer from `a` and one answer from `b`.
///
/// # Panics
/// When either is refused.
pub async fn negotiate(a: &Side, b: &Side, ice_restart: bool) {
    let offer = a.peer.create_offer(ice_restart).await.expect("an offer is made");
    let answer = b.peer.accept_offer(&offer).await.expect("the offer is answered");
    a.peer.accept_answer(&answer).await.expect("the answer is accepted");
}
