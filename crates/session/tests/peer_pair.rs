//! Two peers over real sockets on loopback.

use bedside_session::peer::{MediaKind, NetworkOptions, OutgoingRtp, Peer, PeerError, PeerEvent, PeerState};
use bedside_testkit::peers::{self, Side};
use bytes::Bytes;

fn packet(timestamp: u32, content: &[u8]) -> OutgoingRtp {
    OutgoingRtp { timestamp, marker: true, payload: Bytes::copy_from_slice(content) }
}

async fn carry(from: &Peer, to: &mut Side, kind: MediaKind, content: &[u8]) {
    // The other side may be a moment behind with its keys: what came too early is sent again.
    let mut timestamp = 0;
    let mut resend = tokio::time::interval(std::time::Duration::from_millis(20));
    loop {
        tokio::select! {
            _ = resend.tick() => {
                timestamp += 3_000;
                from.send_rtp(kind, packet(timestamp, content)).expect("the packet is sent");
            }
            event = to.event() => match event {
                Some(PeerEvent::Rtp { kind: got, payload, marker, .. }) if got == kind => {
                    assert_eq!(payload, content);
                    assert!(marker);
                    return;
                }
                Some(_) => {}
                None => panic!("closed while waiting for {kind:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn media_and_messages_pass_both_ways() {
    let (mut a, mut b) = peers::connect(NetworkOptions::loopback(), NetworkOptions::loopback()).await;
    for kind in MediaKind::ALL {
        carry(&a.peer, &mut b, kind, b"from the first").await;
        carry(&b.peer, &mut a, kind, b"from the second").await;
    }
    a.peer.send_message(Bytes::from_static(b"hello")).await.unwrap();
    b.peer.send_message(Bytes::from_static(b"good day")).await.unwrap();
    let message = |event| match event {
        PeerEvent::Message(message) => Some(message),
        _ => None,
    };
    assert_eq!(b.wait_for("message", message).await, "hello");
    assert_eq!(a.wait_for("message", message).await, "good day");
    let stats = a.peer.stats().await;
    println!("{stats:?}");
    // The other side's check may arrive before its candidate does: the same address, known by another name.
    let direct = ["host ↔ host, UDP", "host ↔ prflx, UDP"].map(Some);
    assert!(direct.contains(&stats.path.as_deref()), "{:?}", stats.path);
    a.peer.close().await;
    let closed = |event| matches!(event, PeerEvent::State(PeerState::Closed)).then_some(());
    a.wait_for("end", closed).await;
    b.wait_for("end at the other side", closed).await;
    let sent = a.peer.send_rtp(MediaKind::Audio, packet(0, b"late"));
    assert!(matches!(sent, Err(PeerError::Closed | PeerError::NotConnected)), "{sent:?}");
}

#[tokio::test]
async fn nothing_is_sent_before_the_connection_is_up() {
    let side = Side::new(NetworkOptions::loopback(), true).await.unwrap();
    let sent = side.peer.send_rtp(MediaKind::Video, packet(0, b"early"));
    assert!(matches!(sent, Err(PeerError::NotConnected)), "{sent:?}");
    assert!(matches!(side.peer.send_pli(), Err(PeerError::NotConnected)));
    assert!(matches!(side.peer.send_message(Bytes::new()).await, Err(PeerError::NotConnected)));
}
