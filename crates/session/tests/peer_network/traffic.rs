//! Packets to be recognised at the other side.

use std::time::Duration;

use bedside_flow::video::Packetizer;
use bedside_session::peer::{MAX_PAYLOAD, MediaKind, OutgoingRtp, Peer};
use bytes::Bytes;
use tokio::task::JoinHandle;

/// Numbered audio and video packets, 100 of each a second, until it is dropped.
pub(crate) struct Traffic(JoinHandle<()>);

impl Traffic {
    /// `mark` tells one traffic from another.
    pub(crate) fn start(peer: &Peer, mark: u32) -> Self {
        let peer = peer.clone();
        Self(tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(10));
            for number in 0u32.. {
                beat.tick().await;
                let payload: Bytes = [mark, number].into_iter().flat_map(u32::to_be_bytes).collect();
                for kind in MediaKind::ALL {
                    let timestamp = number * kind.clock_rate() / 100;
                    let packet = OutgoingRtp { timestamp, marker: true, payload: payload.clone() };
                    if peer.send_rtp(kind, packet).is_err() {
                        return;
                    }
                }
            }
        }))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Mark and number of a packet of [`Traffic`].
pub(crate) fn read(payload: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
    (word(0), word(4))
}

/// H.264 pictures without content.
#[derive(Default)]
pub(crate) struct Camera {
    packetizer: Packetizer,
    pictures: u32,
}

impl Camera {
    /// Sends the next picture: five packets of a key frame with its parameter sets, or one of another.
    pub(crate) fn send(&mut self, peer: &Peer, keyframe: bool) {
        const PARAMETER_SETS: &[u8] =
            &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0x38, 0x80];
        let (kind, size) = if keyframe { (0x65, 5_000) } else { (0x41, 500) };
        let mut unit = if keyframe { PARAMETER_SETS.to_vec() } else { vec![] };
        unit.extend_from_slice(&[0, 0, 0, 1, kind, 0x9a]);
        unit.resize(unit.len() + size, 0xaa);
        self.pictures += 1;
        let payloads = self.packetizer.packetize(&unit, MAX_PAYLOAD);
        let last = payloads.len() - 1;
        for (at, payload) in payloads.into_iter().enumerate() {
            let packet =
                OutgoingRtp { timestamp: self.pictures * 3_000, marker: at == last, payload: payload.into() };
            peer.send_rtp(MediaKind::Video, packet).expect("the packet is sent");
        }
    }
}
