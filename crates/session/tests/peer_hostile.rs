//! What strangers may send instead of a description, a candidate or a packet: it is refused, nothing panics, and the
//! peer can be used on, or at least closed.

#[path = "peer_hostile/mutation.rs"]
mod mutation;

use std::net::UdpSocket;

use bedside_session::peer::{CandidateInit, FailureReason, NetworkOptions, Peer, PeerError, PeerState};
use bedside_testkit::peers::{self, Side};

async fn side(offerer: bool) -> Side {
    Side::new(NetworkOptions::loopback(), offerer).await.expect("a peer is made")
}

fn candidate(text: &str) -> CandidateInit {
    CandidateInit { candidate: text.to_owned(), sdp_mid: None, sdp_mline_index: Some(0) }
}

/// The descriptions of one call.
async fn descriptions() -> (String, String) {
    let (a, b) = (side(true).await, side(false).await);
    let offer = a.peer.create_offer(false).await.expect("an offer");
    let answer = b.peer.accept_offer(&offer).await.expect("an answer");
    (offer, answer)
}

/// Descriptions that are wrong on their face.
fn malformed(good: &str) -> Vec<(&'static str, String)> {
    let with = |line: &str| format!("{good}{line}\r\n");
    vec![
        ("empty", String::new()),
        ("blank", "\r\n\r\n".to_owned()),
        ("no SDP", "{\"type\":\"offer\"}".to_owned()),
        ("binary", "\u{0}\u{1}\u{fffd}v=0".to_owned()),
        ("a version alone", "v=0\r\n".to_owned()),
        ("another version", good.replacen("v=0", "v=1", 1)),
        ("no media", good.split("m=").next().unwrap_or_default().to_owned()),
        ("no fingerprint", good.replace("a=fingerprint:", "a=print:")),
        ("a weak fingerprint", good.replace("a=fingerprint:sha-256 ", "a=fingerprint:md5 ")),
        ("too long", with(&"a=x\r\n".repeat(20_000))),
        ("a long line", with(&format!("a=x:{}", "y".repeat(5_000)))),
        ("many lines", with(&"a=x\r\n".repeat(2_500))),
        ("many sections", with(&"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".repeat(12))),
        ("a line of no type", with("nonsense")),
        ("an unknown type", with("?=0")),
        ("an odd time zone", with("z=1 2 3")),
        ("a repeat without end", with("r=99999999999999999999d 1")),
        ("a time without end", good.replacen("t=0 0", "t=0 0\r\nr=9223372036854775807d 1d 0", 1)),
        ("a bare control character", with("a=x:\u{7}")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_offer_is_refused_and_the_next_one_is_answered() {
    let (good, _) = descriptions().await;
    let (mut a, mut b) = (side(true).await, side(false).await);
    for (name, bad) in malformed(&good) {
        let refused = b.peer.accept_offer(&bad).await;
        assert!(matches!(refused, Err(PeerError::BadDescription(_))), "{name}: {refused:?}");
    }
    peers::negotiate(&a, &b, false).await;
    peers::trickle_until(&mut a, &mut b, PeerState::Connected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_answer_is_refused_and_the_next_one_is_taken() {
    let (_, good) = descriptions().await;
    let (mut a, mut b) = (side(true).await, side(false).await);
    let offer = a.peer.create_offer(false).await.unwrap();
    for (name, bad) in malformed(&good) {
        let refused = a.peer.accept_answer(&bad).await;
        assert!(matches!(refused, Err(PeerError::BadDescription(_))), "{name}: {refused:?}");
    }
    let answer = b.peer.accept_offer(&offer).await.unwrap();
    a.peer.accept_answer(&answer).await.unwrap();
    peers::trickle_until(&mut a, &mut b, PeerState::Connected).await;
}

/// Whether the peer took it, and a word if the stack had to be saved from it.
fn judged(what: &str, peer: &Peer, result: &Result<(), PeerError>) {
    let known = matches!(
        result,
        Ok(())
            | Err(PeerError::BadDescription(_)
                | PeerError::BadCandidate
                | PeerError::WrongState
                | PeerError::Closed)
    );
    assert!(known, "{what}: {result:?}");
    assert_ne!(peer.failure(), Some(FailureReason::TransportEnded), "{what} broke the transport");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_offers_are_answered_or_refused() {
    const SEED: u64 = 0x0b5e_55ed;
    const ROUNDS: u32 = 300;
    let (good, _) = descriptions().await;
    let mut mutations = mutation::Mutations::new(SEED);
    let mut answered = 0;
    for round in 0..ROUNDS {
        let b = side(false).await;
        for case in 0..20 {
            let bad = mutations.of(&good);
            let result = b.peer.accept_offer(&bad).await.map(drop);
            answered += u32::from(result.is_ok());
            judged(&format!("seed {SEED:#x}, round {round}, case {case}:\n{bad}\n"), &b.peer, &result);
        }
        b.peer.close().await;
    }
    println!("{answered} of {} were answered", ROUNDS * 20);
    assert!(answered > 100, "hardly any mutation got past the first check: {answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_answers_are_taken_or_refused() {
    const SEED: u64 = 0xa5_5e55;
    const ROUNDS: u32 = 800;
    let mut mutations = mutation::Mutations::new(SEED);
    let mut taken = 0;
    for round in 0..ROUNDS {
        let (a, b) = (side(true).await, side(false).await);
        let offer = a.peer.create_offer(false).await.unwrap();
        let good = b.peer.accept_offer(&offer).await.unwrap();
        for case in 0..6 {
            let bad = mutations.of(&good);
            let result = a.peer.accept_answer(&bad).await;
            taken += u32::from(result.is_ok());
            judged(&format!("seed {SEED:#x}, round {round}, case {case}:\n{bad}\n"), &a.peer, &result);
        }
        tokio::join!(a.peer.close(), b.peer.close());
    }
    println!("{taken} of {} were taken", ROUNDS * 6);
    assert!(taken > 20, "hardly any mutation got past the first check: {taken}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_candidates_are_refused_and_the_call_comes_up() {
    const GOOD: &str = "candidate:1 1 udp 2113937151 192.0.2.7 50000 typ host generation 0 ufrag abcd";
    let (mut a, b) = (side(true).await, side(false).await);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp =
        format!("candidate:1 1 tcp 1518280447 {} typ host tcptype passive", listener.local_addr().unwrap())
            .replace("127.0.0.1:", "127.0.0.1 ");
    let offer = a.peer.create_offer(false).await.unwrap();
    let answer = b.peer.accept_offer(&offer).await.unwrap();
    a.peer.accept_answer(&answer).await.unwrap();
    let mut mutations = mutation::Mutations::new(7);
    for index in 0..3_000 {
        let bad = mutations.of_line(GOOD);
        let result = b.peer.add_candidate(candidate(&bad)).await;
        judged(&format!("candidate {index}: {bad}"), &b.peer, &result);
    }
    for (mid, section) in
        [(Some("no such"), None), (None, Some(9_999)), (None, None), (Some(""), Some(u16::MAX))]
    {
        let init = CandidateInit {
            candidate: GOOD.to_owned(),
            sdp_mid: mid.map(ToOwned::to_owned),
            sdp_mline_index: section,
        };
        let result = b.peer.add_candidate(init).await;
        judged("a candidate of no section", &b.peer, &result);
    }
    // Fresh, since by now `b` takes no more candidates.
    b.peer.close().await;
    let mut b = side(false).await;
    let answer = {
        a.peer.close().await;
        a = side(true).await;
        let offer = a.peer.create_offer(false).await.unwrap();
        b.peer.accept_offer(&offer).await.unwrap()
    };
    a.peer.accept_answer(&answer).await.unwrap();
    b.peer.add_candidate(candidate(&tcp)).await.expect("passed over");
    peers::trickle_until(&mut a, &mut b, PeerState::Connected).await;
    let nobody = std::time::Duration::from_millis(1);
    let connected = tokio::time::timeout(nobody, listener.accept()).await;
    assert!(connected.is_err(), "a candidate made us connect over TCP");
}

#[tokio::test]
async fn steps_out_of_order_are_refused_and_the_right_order_still_works() {
    let (offer, answer) = descriptions().await;
    let (mut a, mut b) = (side(true).await, side(false).await);
    let early = a.peer.accept_answer(&answer).await;
    assert!(matches!(early, Err(PeerError::WrongState)), "an answer without an offer: {early:?}");
    a.peer.create_offer(false).await.unwrap();
    let glare = a.peer.accept_offer(&offer).await;
    assert!(matches!(glare, Err(PeerError::WrongState)), "two offers at once: {glare:?}");
    // The newest offer of the same side replaces the one before.
    peers::negotiate(&a, &b, false).await;
    let twice = a.peer.accept_answer(&answer).await;
    assert!(matches!(twice, Err(PeerError::WrongState)), "a second answer: {twice:?}");
    peers::trickle_until(&mut a, &mut b, PeerState::Connected).await;
    a.peer.close().await;
    for refused in [
        a.peer.create_offer(true).await.map(drop),
        a.peer.accept_offer(&offer).await.map(drop),
        a.peer.accept_answer(&answer).await,
        a.peer.send_pli(),
        a.peer.send_nack(&[1]),
    ] {
        assert!(matches!(refused, Err(PeerError::Closed | PeerError::NotConnected)), "{refused:?}");
    }
    let _ = a.peer.stats().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_wire_does_not_disturb_a_call() {
    let address = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap();
    let network = NetworkOptions { bind: vec![address.to_string()], ..NetworkOptions::loopback() };
    let (a, mut b) = (Side::new(network, true).await.unwrap(), side(false).await);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut mutations = mutation::Mutations::new(11);
    let mut throw = |count: u32| {
        for _ in 0..count {
            // A full socket buffer loses some, as a network would.
            let _ = stranger.send_to(&mutations.datagram(), address);
        }
    };
    throw(500);
    peers::negotiate(&a, &b, false).await;
    throw(500);
    let mut a = a;
    peers::trickle_until(&mut a, &mut b, PeerState::Connected).await;
    for round in 0..20_u8 {
        throw(100);
        a.say(&[round]).await;
        assert_eq!(b.message().await, [round].as_slice());
    }
    assert_eq!(a.peer.failure(), None);
}
