//! Somebody in between: a certificate that its description does not name ends the connection on the side that sees it,
//! and nothing passes in either direction.

use bedside_session::peer::{
    FailureReason, MediaKind, NetworkOptions, OutgoingRtp, Peer, PeerEvent, PeerState,
};
use bedside_testkit::peers::{PATIENCE, Side};
use bytes::Bytes;

/// The description with another certificate's fingerprint, as somebody in between would have to leave it.
fn forged(sdp: &str) -> String {
    let other = ["5A"; 32].join(":");
    let forge = |line: &str| match line.strip_prefix("a=fingerprint:sha-256 ") {
        Some(_) => format!("a=fingerprint:sha-256 {other}"),
        None => line.to_owned(),
    };
    let forged: Vec<String> = sdp.lines().map(forge).collect();
    assert!(forged.iter().any(|line| line.contains(&other)), "there was no fingerprint to forge");
    forged.join("\r\n") + "\r\n"
}

/// Sends what it can, as a caller that does not wait for the connection would.
async fn press(peer: &Peer) {
    for kind in MediaKind::ALL {
        let packet = OutgoingRtp { timestamp: 3_000, marker: true, payload: Bytes::from_static(b"secret") };
        assert!(peer.send_rtp(kind, packet).is_err(), "a packet left towards a stranger");
    }
    assert!(peer.send_message(Bytes::from_static(b"secret")).await.is_err(), "a message left");
}

/// Follows a side until it has failed or closed; nothing may have come by then.
async fn until_over(side: &mut Side, other: &Peer, tell: bool) -> PeerState {
    let watch = async {
        loop {
            match side.raw_event().await.expect("an end is told") {
                PeerEvent::Candidate(candidate) if tell => {
                    // The other side may have refused us by now.
                    let _ = other.add_candidate(candidate).await;
                }
                PeerEvent::State(state @ (PeerState::Failed | PeerState::Closed)) => return state,
                event @ (PeerEvent::Rtp { .. } | PeerEvent::Message(_) | PeerEvent::ChannelOpen) => {
                    panic!("{event:?} passed")
                }
                _ => press(&side.peer).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, watch).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_fingerprints_end_the_connection_on_both_sides() {
    let mut a = Side::new(NetworkOptions::loopback(), true).await.unwrap();
    let mut b = Side::new(NetworkOptions::loopback(), false).await.unwrap();
    let offer = a.peer.create_offer(false).await.unwrap();
    let answer = b.peer.accept_offer(&forged(&offer)).await.unwrap();
    a.peer.accept_answer(&forged(&answer)).await.unwrap();
    let (to_a, to_b) = (a.peer.clone(), b.peer.clone());
    let ends = tokio::join!(until_over(&mut a, &to_b, true), until_over(&mut b, &to_a, true));
    assert_eq!(ends, (PeerState::Failed, PeerState::Failed));
    for side in [&a, &b] {
        assert_eq!(side.peer.failure(), Some(FailureReason::WrongCertificate));
        press(&side.peer).await;
        side.peer.close().await;
        assert_eq!(side.peer.failure(), Some(FailureReason::WrongCertificate), "the reason stays");
    }
    for side in [&mut a, &mut b] {
        while let Some(event) = side.event().await {
            let late =
                matches!(event, PeerEvent::Rtp { .. } | PeerEvent::Message(_) | PeerEvent::ChannelOpen);
            assert!(!late, "{event:?} passed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_forged_fingerprint_ends_the_connection_on_the_side_that_sees_it() {
    let mut a = Side::new(NetworkOptions::loopback(), true).await.unwrap();
    let mut b = Side::new(NetworkOptions::loopback(), false).await.unwrap();
    let offer = a.peer.create_offer(false).await.unwrap();
    let answer = b.peer.accept_offer(&forged(&offer)).await.unwrap();
    a.peer.accept_answer(&answer).await.unwrap();
    let (to_a, to_b) = (a.peer.clone(), b.peer.clone());
    // The side that was told the truth may connect, and then learns that the other one left.
    let told_the_truth = async {
        loop {
            match a.raw_event().await.expect("an end is told") {
                PeerEvent::Candidate(candidate) => drop(to_b.add_candidate(candidate).await),
                PeerEvent::State(state @ (PeerState::Failed | PeerState::Closed)) => return state,
                PeerEvent::Rtp { .. } | PeerEvent::Message(_) => panic!("something passed"),
                _ => {}
            }
        }
    };
    let ends = tokio::join!(tokio::time::timeout(PATIENCE, told_the_truth), until_over(&mut b, &to_a, true));
    assert_eq!(ends.0.expect("it ends"), PeerState::Closed);
    assert_eq!(ends.1, PeerState::Failed);
    assert_eq!(b.peer.failure(), Some(FailureReason::WrongCertificate));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_changes_in_a_call_ends_it() {
    let network = NetworkOptions::loopback;
    let (a, mut b) = bedside_testkit::peers::connect(network(), network()).await;
    let offer = a.peer.create_offer(true).await.unwrap();
    let _ = b.peer.accept_offer(&forged(&offer)).await;
    b.wait_for("failure", |event| matches!(event, PeerEvent::State(PeerState::Failed)).then_some(())).await;
    assert_eq!(b.peer.failure(), Some(FailureReason::WrongCertificate));
    press(&b.peer).await;
}
