//! ICE restarts: a new path for a connection that goes on.

use std::time::Duration;

use bedside_session::peer::{MediaKind, NetworkOptions, OutgoingRtp, PeerEvent, PeerState};
use bedside_testkit::net::{Network, Shape};
use bedside_testkit::peers::{self, PATIENCE, Side};
use bytes::Bytes;

/// The ICE user name of a description (RFC 8839 §5.4).
fn ufrag(sdp: &str) -> &str {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).expect("a user name")
}

/// Sends packets of `content` until one arrives; candidates are carried both ways meanwhile.
async fn media_flows(from: &mut Side, to: &mut Side, content: &'static [u8]) {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let mut timestamp = 0;
    let search = async {
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    timestamp += 960;
                    let payload = Bytes::from_static(content);
                    let packet = OutgoingRtp { timestamp, marker: false, payload };
                    from.peer.send_rtp(MediaKind::Audio, packet).expect("the link stays open");
                }
                event = from.raw_event() => if let Some(PeerEvent::Candidate(candidate)) = event {
                    let _ = to.peer.add_candidate(candidate).await;
                },
                event = to.raw_event() => match event {
                    Some(PeerEvent::Rtp { payload, .. }) if payload == content => return,
                    Some(PeerEvent::Candidate(candidate)) => drop(from.peer.add_candidate(candidate).await),
                    Some(_) => {}
                    None => panic!("closed while media should flow"),
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("media flows");
}

async fn message_passes(from: &Side, to: &mut Side) {
    from.say(b"still here").await;
    assert_eq!(to.message().await, "still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_a_running_call_changes_the_path_and_media_goes_on() {
    let network = NetworkOptions::loopback;
    let (mut a, mut b) = peers::connect(network(), network()).await;
    media_flows(&mut a, &mut b, b"first").await;
    let mut names = Vec::new();
    for round in [b"second", b"third!"] {
        let offer = a.peer.create_offer(true).await.unwrap();
        let answer = b.peer.accept_offer(&offer).await.unwrap();
        a.peer.accept_answer(&answer).await.unwrap();
        names.push(ufrag(&offer).to_owned());
        names.push(ufrag(&answer).to_owned());
        media_flows(&mut a, &mut b, round).await;
        media_flows(&mut b, &mut a, round).await;
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4, "every restart has user names of its own");
    message_passes(&a, &mut b).await;
    message_passes(&b, &mut a).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answering_side_may_offer_a_restart_too() {
    let network = NetworkOptions::loopback;
    let (mut a, mut b) = peers::connect(network(), network()).await;
    peers::negotiate(&b, &a, true).await;
    media_flows(&mut a, &mut b, b"forth").await;
    media_flows(&mut b, &mut a, b"back").await;
}

async fn until_disturbed(side: &mut Side) {
    let state = |event| matches!(event, PeerEvent::State(PeerState::Disconnected)).then_some(());
    side.wait_for("Disconnected", state).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_is_back_after_the_address_changed() {
    let (_network, here, there) = Network::pair(1, Shape::PERFECT);
    let (mut a, mut b) = peers::connect(here.options(), there.options()).await;
    media_flows(&mut a, &mut b, b"before").await;
    message_passes(&a, &mut b).await;
    message_passes(&b, &mut a).await;
    here.change_address_unnoticed();
    // What the network watcher does: it need not wait until the silence is noticed.
    peers::negotiate(&a, &b, true).await;
    media_flows(&mut a, &mut b, b"after").await;
    media_flows(&mut b, &mut a, b"after").await;
    message_passes(&a, &mut b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_is_back_after_both_addresses_changed_and_both_sides_noticed() {
    let (_network, here, there) = Network::pair(2, Shape::PERFECT);
    let (mut a, mut b) = peers::connect(here.options(), there.options()).await;
    media_flows(&mut a, &mut b, b"before").await;
    message_passes(&a, &mut b).await;
    message_passes(&b, &mut a).await;
    here.change_address_unnoticed();
    there.change_address_unnoticed();
    tokio::join!(until_disturbed(&mut a), until_disturbed(&mut b));
    peers::negotiate(&b, &a, true).await;
    peers::trickle_until(&mut a, &mut b, PeerState::Connected).await;
    media_flows(&mut a, &mut b, b"after").await;
    media_flows(&mut b, &mut a, b"after").await;
    message_passes(&b, &mut a).await;
}
