//! The tasks of a connection: one takes what is to be sent to the stack, one turns the data channel into events, and
//! two carry what is said of files.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rtc::{rtcp, rtp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_local::TrackLocal;

use super::MAX_MESSAGE;
use super::event::{MediaKind, PeerEvent};
use super::guard::Guard;
use super::rounds::Rounds;
use super::tap::{SharedLink, lock};

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
    while let Some(Some(departure)) = stop.run_until_cancelled(departures.recv()).await {
        let result = match departure {
            Departure::Rtp(MediaKind::Audio, packet) => audio.write_rtp(packet).await,
            Departure::Rtp(MediaKind::Video, packet) => video.write_rtp(packet).await,
            Departure::Rtcp(packet) => video.write_rtcp(vec![packet]).await,
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
    rounds: Arc<Rounds>,
    guard: Arc<Guard>,
    link: SharedLink,
    events: mpsc::Sender<PeerEvent>,
    stop: CancellationToken,
) {
    while let Some(Some(event)) = stop.run_until_cancelled(channel.poll()).await {
        let event = match event {
            DataChannelEvent::OnOpen => {
                // The stack opens both channels in one step.
                rounds.is_up();
                PeerEvent::ChannelOpen
            }
            DataChannelEvent::OnMessage(message) => PeerEvent::Message(message.data.freeze()),
            DataChannelEvent::OnClose => {
                guard.channel_closed().await;
                continue;
            }
            _ => continue,
        };
        if !link_opens(&link, &stop).await {
            return;
        }
        let Some(Ok(())) = stop.run_until_cancelled(events.send(event)).await else { return };
    }
}

/// Waits until messages may pass: the certificate is checked, which may be after a channel opened, and never happens
/// when it was wrong. `false` when the connection ends first.
async fn link_opens(link: &SharedLink, stop: &CancellationToken) -> bool {
    let mut opens = lock(link).opens();
    matches!(stop.run_until_cancelled(opens.wait_for(|open| *open)).await, Some(Ok(_)))
}

/// Hands messages about files on. They wait for whoever takes them, and through SCTP's window the other side waits,
/// too. Media and the other channel do not wait for them.
pub(super) async fn read_files(
    channel: Arc<dyn DataChannel>,
    link: SharedLink,
    events: mpsc::Sender<PeerEvent>,
    files: mpsc::Sender<Bytes>,
    stop: CancellationToken,
) {
    while let Some(Some(event)) = stop.run_until_cancelled(channel.poll()).await {
        let message = match event {
            DataChannelEvent::OnOpen => None,
            DataChannelEvent::OnMessage(message) if message.data.len() <= MAX_MESSAGE => {
                Some(message.data.freeze())
            }
            DataChannelEvent::OnClose => return,
            _ => continue,
        };
        if !link_opens(&link, &stop).await {
            return;
        }
        let sent = async {
            match message {
                Some(message) => files.send(message).await.is_ok(),
                None => events.send(PeerEvent::FilesOpen).await.is_ok(),
            }
        };
        // When nobody wants files, what comes is thrown away: the transport must not fill up.
        let Some(wanted) = stop.run_until_cancelled(sent).await else { return };
        if !wanted && events.is_closed() {
            return;
        }
    }
}

/// Sends messages about files, waiting while the transport has enough to do.
pub(super) async fn send_files(
    channel: Arc<dyn DataChannel>,
    link: SharedLink,
    mut messages: mpsc::Receiver<Bytes>,
    stop: CancellationToken,
) {
    while let Some(Some(message)) = stop.run_until_cancelled(messages.recv()).await {
        if !link_opens(&link, &stop).await {
            return;
        }
        let sending = channel.send(BytesMut::from(message));
        let Some(sent) = stop.run_until_cancelled(sending).await else { return };
        if let Err(error) = sent {
            tracing::debug!(%error, "a message about a file could not be sent");
            return;
        }
    }
}
