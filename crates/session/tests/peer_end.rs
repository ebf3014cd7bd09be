//! How a connection ends: every socket closes and every stream of events ends, whoever ends it and however.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bedside_session::peer::{NetworkOptions, PeerEvent, PeerState};
use bedside_testkit::peers::{self, PATIENCE, Side};
use tokio::sync::mpsc;

/// A network of one socket whose address is known.
fn one_socket() -> (NetworkOptions, SocketAddr) {
    let address = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    (NetworkOptions { bind: vec![address.to_string()], ..NetworkOptions::loopback() }, address)
}

fn is_free(address: SocketAddr) -> bool {
    UdpSocket::bind(address).is_ok()
}

async fn until_free(address: SocketAddr) {
    let free = async {
        while !is_free(address) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("the socket is closed");
}

/// The states told until the stream of events ends.
async fn until_end(mut events: mpsc::Receiver<PeerEvent>) -> Vec<PeerState> {
    let mut states = Vec::new();
    let drain = async {
        while let Some(event) = events.recv().await {
            if let PeerEvent::State(state) = event {
                states.push(state);
            }
        }
    };
    tokio::time::timeout(PATIENCE, drain).await.expect("the events end");
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_dropped_leaves_nothing_behind() {
    let (network, address) = one_socket();
    let side = Side::new(network, true).await.unwrap();
    side.peer.create_offer(false).await.unwrap();
    assert!(!is_free(address), "the socket is in use before");
    let events = side.abandon();
    until_free(address).await;
    assert_eq!(until_end(events).await, [PeerState::Closed]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_side_learns_of_a_peer_that_was_dropped_in_a_call() {
    let (network, address) = one_socket();
    let (a, mut b) = peers::connect(NetworkOptions::loopback(), network).await;
    assert_eq!(until_end(a.abandon()).await, [PeerState::Closed]);
    b.wait_for("end", |event| matches!(event, PeerEvent::State(PeerState::Closed)).then_some(())).await;
    // Closed by the other side, not by us: the last handle must still end the sockets.
    assert!(!is_free(address), "the socket is in use before");
    until_end(b.abandon()).await;
    until_free(address).await;
}

#[test]
fn a_peer_may_be_dropped_outside_the_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (network, address) = one_socket();
    let side = runtime.block_on(async {
        let side = Side::new(network, true).await.unwrap();
        side.peer.create_offer(false).await.unwrap();
        side
    });
    let events = side.abandon();
    runtime.block_on(async {
        until_free(address).await;
        until_end(events).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_frees_the_sockets_and_may_be_repeated() {
    let (network, address) = one_socket();
    let (a, b) = peers::connect(network, NetworkOptions::loopback()).await;
    a.peer.close().await;
    a.peer.close().await;
    until_free(address).await;
    assert_eq!(until_end(a.abandon()).await.last(), Some(&PeerState::Closed));
    b.peer.close().await;
    until_end(b.abandon()).await;
}
