//! Calls that no direct path carries: two of our peers through a relay alone, with the credentials that our server
//! hands out.

#![cfg(target_os = "linux")]

use std::sync::Arc;

use bedside_protocol::Secret;
use bedside_protocol::rest::IceServer;
use bedside_server::config::{Config, TurnConfig};
use bedside_server::turn_service::TurnService;
use bedside_session::peer::{
    CandidateKind, MediaKind, NetworkOptions, OutgoingRtp, PeerConfig, PeerEvent, TransportStats,
};
use bedside_testkit::peers::{self, Side};
use bedside_testkit::timers::Brisk;
use bedside_tests::relay::{self, Relay};
use bytes::Bytes;

async fn relayed(ice_servers: Vec<IceServer>, offerer: bool) -> Side {
    let network = NetworkOptions { relay_only: true, ..NetworkOptions::loopback() };
    Side::with_config(PeerConfig { ice_servers, offerer, network }).await.expect("a peer is made")
}

/// Messages and packets both ways, through relays at both ends.
async fn talk(mut a: Side, mut b: Side, what: &str) {
    a.say(b"hello").await;
    assert_eq!(b.message().await, "hello");
    b.say(b"good day").await;
    assert_eq!(a.message().await, "good day");
    for _ in 0..2 {
        packet_passes(&a, &mut b).await;
        std::mem::swap(&mut a, &mut b);
    }
    for side in [&a, &b] {
        let stats = side.peer.stats().await;
        println!("{what}: {}", times(&stats));
        assert_eq!(stats.local, Some(CandidateKind::Relay), "{:?}", stats.path);
        // The far end may be found before it is told.
        let far = [Some(CandidateKind::Relay), Some(CandidateKind::PeerReflexive)];
        assert!(far.contains(&stats.remote), "{:?}", stats.path);
        side.peer.close().await;
    }
}

async fn packet_passes(from: &Side, to: &mut Side) {
    let packet = OutgoingRtp { timestamp: 0, marker: false, payload: Bytes::from_static(b"sound") };
    from.peer.send_rtp(MediaKind::Audio, packet).expect("the packet leaves");
    let sound = |event| matches!(event, PeerEvent::Rtp { payload, .. } if payload == "sound").then_some(());
    to.wait_for("packet", sound).await;
}

fn times(stats: &TransportStats) -> String {
    let ms = |time: Option<f64>| time.map_or_else(|| "?".to_owned(), |time| format!("{time:.0} ms"));
    format!("{}, ICE {}, DTLS {}", stats.path.as_deref().unwrap_or("?"), ms(stats.ice_ms), ms(stats.dtls_ms))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_through_coturn_at_both_ends() {
    let relay = Relay::start();
    let (a, b) = (relayed(relay.servers(), true).await, relayed(relay.servers(), false).await);
    let (a, b) = peers::call(a, b).await;
    talk(a, b, "coturn").await;
}

/// Nothing on the way lies about until a timer of a second wakes its driver, or is lost and said again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_through_a_relay_comes_up_without_waiting_for_a_timer() {
    let service = embedded("inside").await;
    let relayed = |offerer| {
        let network =
            NetworkOptions { relay_only: true, runtime: Some(Arc::new(Brisk)), ..NetworkOptions::loopback() };
        let ice_servers = relay::servers(&service.urls(), "inside");
        Side::with_config(PeerConfig { ice_servers, offerer, network })
    };
    let (a, b) = (relayed(true).await.expect("a peer"), relayed(false).await.expect("a peer"));
    let (a, b) = peers::call(a, b).await;
    talk(a, b, "no timer").await;
    service.stop().await;
}

async fn embedded(secret: &str) -> TurnService {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let config = TurnConfig { listen, ..Config::new("unused").turn };
    TurnService::start(&config, Secret::new(secret.to_owned())).await.expect("it starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_through_the_servers_own_relay_at_both_ends() {
    let service = embedded("inside").await;
    let servers = || relay::servers(&service.urls(), "inside");
    let (a, b) = (relayed(servers(), true).await, relayed(servers(), false).await);
    let (a, b) = peers::call(a, b).await;
    talk(a, b, "embedded relay").await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_good_credentials_nothing_is_relayed() {
    let coturn = Relay::start();
    let own = embedded("inside").await;
    let forged = |servers: Vec<IceServer>| -> Vec<IceServer> {
        let credential = Some(Secret::new("guessed".to_owned()));
        servers.into_iter().map(|server| IceServer { credential: credential.clone(), ..server }).collect()
    };
    let turn_only: Vec<String> = own.urls().into_iter().filter(|url| url.starts_with("turn:")).collect();
    for servers in [coturn.servers(), relay::servers(&turn_only, "inside")] {
        let mut side = relayed(forged(servers), true).await;
        side.peer.create_offer(false).await.expect("an offer");
        loop {
            match side.raw_event().await {
                Some(PeerEvent::Candidate(_)) => panic!("a relay served a stranger"),
                Some(PeerEvent::GatheringDone) => break,
                Some(_) => {}
                None => panic!("the peer ended"),
            }
        }
    }
    own.stop().await;
}
