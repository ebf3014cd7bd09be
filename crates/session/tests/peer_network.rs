//! Two peers over a bad network: what gets through, what comes back, and what an ICE restart is for.

#[path = "peer_network/traffic.rs"]
mod traffic;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bedside_flow::{nack, rtp::RtpMeta, video::Assembler};
use bedside_session::peer::{MediaKind, PeerEvent, PeerState};
use bedside_testkit::{
    net::{Host, Loss, Network, Shape},
    peers::{self, Side},
};
use bytes::Bytes;
use traffic::Traffic;

/// As the engine assumes until it knows better.
const RTT: Duration = Duration::from_millis(100);

fn losing(share: f64) -> Shape {
    Shape { loss: Loss::independent(share), ..Shape::PERFECT }
}

async fn connected(seed: u64, shape: Shape) -> (Network, [Host; 2], [Side; 2]) {
    let (network, one, other) = Network::pair(seed, shape);
    let (a, b) = peers::connect(one.options(), other.options()).await;
    (network, [one, other], [a, b])
}

/// Before this, messages are refused.
async fn channel_open(a: &mut Side, b: &mut Side) {
    let open = |event| matches!(event, PeerEvent::ChannelOpen).then_some(());
    a.wait_for("channel", open).await;
    b.wait_for("channel at the other side", open).await;
}

/// Messages of 1 byte to 16 KiB both ways at once arrive whole, once each, in order.
async fn messages_pass(seed: u64, shape: Shape, count: usize) {
    let message = |number: usize| Bytes::from(vec![number as u8; 1 + number * 997 % 16_384]);
    let (network, hosts, [mut a, mut b]) = connected(seed, shape).await;
    channel_open(&mut a, &mut b).await;
    for peer in [a.peer.clone(), b.peer.clone()] {
        tokio::spawn(async move {
            for number in 0..count {
                peer.send_message(message(number)).await.expect("the channel is open");
            }
        });
    }
    let mut received = [0, 0];
    peers::watch(&mut a, &mut b, "every message", |side, event| {
        if let PeerEvent::Message(content) = event {
            assert_eq!(content, message(received[side]), "message {} of side {side}", received[side]);
            received[side] += 1;
        }
        received == [count; 2]
    })
    .await;
    if shape.loss != Loss::NONE {
        assert!(network.counts(&hosts[0], &hosts[1]).lost > 0, "the network lost nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_in_order_on_a_clean_network() {
    messages_pass(1, Shape::PERFECT, 300).await;
}

/// What is said in the same breath as the connection comes up arrives with the last step of coming up.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_words_are_heard_where_everything_arrives_in_bunches() {
    let bunches = Shape { bunch_ms: 100.0, ..Shape::PERFECT };
    let (_network, _hosts, [mut a, mut b]) = connected(9, bunches).await;
    tokio::join!(a.say(b"good day"), b.say(b"hello"));
    assert_eq!(a.message().await, "hello");
    assert_eq!(b.message().await, "good day");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_in_order_through_five_per_cent_loss() {
    messages_pass(2, losing(0.05), 60).await;
}

/// The data channel is open some time later: it doubles its patience with each loss in a row, up to a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_comes_up_and_carries_media_at_twenty_per_cent_loss() {
    let (_network, _hosts, [mut a, mut b]) = connected(3, losing(0.20)).await;
    let _traffic = [Traffic::start(&a.peer, 0), Traffic::start(&b.peer, 0)];
    let mut received = [[0; 2]; 2];
    peers::watch(&mut a, &mut b, "fifty packets of each", |side, event| {
        if let PeerEvent::Rtp { kind, .. } = event {
            received[side][usize::from(kind == MediaKind::Video)] += 1;
        }
        received.iter().flatten().all(|count| *count >= 50)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_through_disorder_copies_and_damage() {
    let shape = Shape { jitter_ms: 30.0, reorder: true, duplicate: 0.1, damage: 0.02, ..Shape::PERFECT };
    messages_pass(4, shape, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_arrive_in_the_order_in_which_they_were_sent() {
    let shape = Shape { jitter_ms: 30.0, ..Shape::PERFECT };
    let (_network, _hosts, [mut a, mut b]) = connected(5, shape).await;
    let _traffic = [Traffic::start(&a.peer, 0), Traffic::start(&b.peer, 0)];
    let mut last = [[None; 2]; 2];
    peers::watch(&mut a, &mut b, "three hundred packets of each", |side, event| {
        if let PeerEvent::Rtp { kind, payload, .. } = event {
            let (_, number) = traffic::read(&payload);
            let last = &mut last[side][usize::from(kind == MediaKind::Video)];
            assert!(last.is_none_or(|last| last < number), "{kind:?} {number} after {last:?}");
            *last = Some(number);
        }
        last.iter().flatten().all(|last| last.is_some_and(|last| last >= 300))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_comes_again_when_asked_for() {
    const PACKETS: u32 = 600;
    let (network, hosts, [a, mut b]) = connected(6, losing(0.05)).await;
    let _traffic = Traffic::start(&a.peer, 0);
    let mut nack = nack::Generator::new();
    let mut missing: BTreeSet<u32> = (0..PACKETS).collect();
    let mut look = tokio::time::interval(Duration::from_millis(10));
    let limit = Instant::now() + peers::PATIENCE;
    while !missing.is_empty() {
        assert!(Instant::now() < limit, "never came: {missing:?}");
        tokio::select! {
            _ = look.tick() => {
                let lost = nack.poll(Instant::now(), RTT);
                if !lost.is_empty() {
                    b.peer.send_nack(&lost).expect("a request");
                }
            }
            event = b.event() => if let Some(PeerEvent::Rtp { kind: MediaKind::Video, seq, payload, arrived, .. }) = event {
                nack.on_packet(arrived, seq);
                missing.remove(&traffic::read(&payload).1);
            }
        }
    }
    assert!(network.counts(&hosts[0], &hosts[1]).lost > 0, "the network lost nothing");
    assert!(a.peer.stats().await.retransmitted_packets > 0, "nothing was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_frame_is_asked_for_and_comes() {
    let (network, [one, other], [mut a, mut b]) = connected(7, Shape::PERFECT).await;
    let mut camera = traffic::Camera::default();
    // Most of the key frame is lost, and the pictures that follow are of no use without it.
    network.shape_one_way(&one, &other, losing(1.0));
    camera.send(&a.peer, true);
    let mut look = tokio::time::interval(Duration::from_millis(5));
    while network.counts(&one, &other).lost < 4 {
        look.tick().await;
    }
    network.shape_one_way(&one, &other, Shape::PERFECT);
    let mut assembler = Assembler::new();
    let mut requests = 0;
    let mut look = tokio::time::interval(Duration::from_millis(33));
    let limit = Instant::now() + peers::PATIENCE;
    let shown = loop {
        assert!(Instant::now() < limit, "no picture after {requests} requests");
        tokio::select! {
            _ = look.tick() => {
                camera.send(&a.peer, false);
                if assembler.poll_keyframe(Instant::now(), RTT) {
                    // Before a packet has come there is nobody to ask.
                    let _ = b.peer.send_pli();
                }
            }
            event = a.event() => if let Some(PeerEvent::KeyframeRequest) = event {
                requests += 1;
                camera.send(&a.peer, true);
            },
            event = b.event() => if let Some(PeerEvent::Rtp { kind: MediaKind::Video, seq, timestamp, marker, payload, arrived }) = event {
                assembler.insert(arrived, RtpMeta { seq, timestamp, marker }, &payload);
            },
        }
        if let Some(unit) = assembler.next_frame() {
            break unit;
        }
    };
    assert!(requests > 0, "nobody asked");
    assert!(shown.keyframe, "a picture was shown that lacks what it builds on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_noticed_and_a_healed_one_too() {
    let (network, [one, other], [mut a, mut b]) = connected(8, Shape::PERFECT).await;
    let traffic = [Traffic::start(&a.peer, 0), Traffic::start(&b.peer, 0)];
    network.cut(&one, &other);
    let disconnected = |event| matches!(event, PeerEvent::State(PeerState::Disconnected)).then_some(());
    a.wait_for("disturbance", disconnected).await;
    b.wait_for("disturbance at the other side", disconnected).await;
    network.heal(&one, &other);
    drop(traffic);
    let _traffic = [Traffic::start(&a.peer, 1), Traffic::start(&b.peer, 1)];
    let (mut connected, mut media) = ([false; 2], [false; 2]);
    peers::watch(&mut a, &mut b, "connected again, with media", |side, event| {
        match event {
            PeerEvent::State(state) => connected[side] = state == PeerState::Connected,
            PeerEvent::Rtp { payload, .. } => media[side] |= traffic::read(&payload).0 == 1,
            _ => {}
        }
        connected == [true; 2] && media == [true; 2]
    })
    .await;
}

/// One side gets another address. Nothing comes before an ICE restart, everything after.
async fn a_move_needs_a_restart(seed: u64, mover: usize) {
    let (_network, hosts, [mut a, mut b]) = connected(seed, Shape::PERFECT).await;
    channel_open(&mut a, &mut b).await;
    hosts[mover].change_address_unnoticed();
    let traffic = [Traffic::start(&a.peer, 1), Traffic::start(&b.peer, 1)];
    let mut disturbed = [false; 2];
    peers::watch(&mut a, &mut b, "both disturbed", |side, event| {
        match event {
            PeerEvent::State(state) => disturbed[side] = state == PeerState::Disconnected,
            PeerEvent::Rtp { payload, .. } => assert_ne!(traffic::read(&payload).0, 1, "it healed by itself"),
            _ => {}
        }
        disturbed == [true; 2]
    })
    .await;
    peers::negotiate(&a, &b, true).await;
    let (mut connected, mut media) = ([false; 2], [[false; 2]; 2]);
    peers::watch(&mut a, &mut b, "connected by another path, with media", |side, event| {
        match event {
            PeerEvent::State(state) => connected[side] = state == PeerState::Connected,
            PeerEvent::Rtp { kind, .. } => media[side][usize::from(kind == MediaKind::Video)] = true,
            _ => {}
        }
        connected == [true; 2] && media == [[true; 2]; 2]
    })
    .await;
    drop(traffic);
    a.peer.send_message(Bytes::from_static(b"still here")).await.expect("the channel outlives the path");
    let message = |event| matches!(event, PeerEvent::Message(_)).then_some(());
    b.wait_for("message", message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_offering_side_has_moved_an_ice_restart_brings_media_back() {
    a_move_needs_a_restart(9, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_answering_side_has_moved_an_ice_restart_brings_media_back() {
    a_move_needs_a_restart(10, 1).await;
}
