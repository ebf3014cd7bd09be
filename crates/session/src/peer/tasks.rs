//! The two tasks of a connection: one takes what is to be sent to the stack, one turns the data channel into events.

use std::sync::Arc;
use std::time::Duration;

use rtc::{rtcp, rtp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_local::TrackLocal;

use super::event::{MediaKind, PeerEvent};
use super::guard::Guard;
use super::tap::{SharedLink, lock};

/// How often a channel that is open looks whether the link is, too.
const LINK_CHECK: Duration = Duration::from_millis(5);

/// Something on its way out.
pub(super) enum Departure {
    /// A numbered media packet.
    Rtp(MediaKind, rtp::Packet),
    /// Feedback.
    Rtcp(Box<dyn rtcp::Packet>),
}

/// Hands packets to the stack's driver in order, waiting for it when it is behind.
pub(super) async fn send_departures(
    [audio, video]: [Arc<dyn TrackLocal>; 2],
    mut departures: mpsc::Receiver<Departure>,
    stop: CancellationToken,
) {
    loop {
        let departure = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            departure = departures.recv() => departure,
        };
        let result = match departure {
            Some(Departure::Rtp(MediaKind::Audio, packet)) => audio.write_rtp(packet).await,
            Some(Departure::Rtp(MediaKind::Video, packet)) => video.write_rtp(packet).await,
            Some(Departure::Rtcp(packet)) => video.write_rtcp(vec![packet]).await,
            None => return,
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a packet could not be sent");
        }
    }
}

/// Turns what happens on the data channel into events. Messages wait for the engine, and through SCTP's window the
/// other side waits too.
pub(super) async fn read_channel(
    channel: Arc<dyn DataChannel>,
    guard: Arc<Guard>,
    link: SharedLink,
    events: mpsc::Sender<PeerEvent>,
    stop: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            event = channel.poll() => event,
        };
        let event = match event {
            Some(DataChannelEvent::OnOpen) => PeerEvent::ChannelOpen,
            Some(DataChannelEvent::OnMessage(message)) => PeerEvent::Message(message.data.freeze()),
            Some(DataChannelEvent::OnClose) => {
                guard.channel_closed().await;
                continue;
            }
            Some(_) => continue,
            None => return,
        };
        // Opens once the certificate is checked, which may be after the channel did; never when it was wrong.
        while !lock(&link).is_open() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LINK_CHECK) => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            sent = events.send(event) => if sent.is_err() { return },
        }
    }
}
