//! The call's sound: from the microphone to RTP, and from RTP through the playout buffer to the speaker.
//!
//! Both ways run on the studio's audio thread; the network side only puts packets into the playout buffer. The lock
//! between them is held for microseconds.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use bedside_flow::audio::{DecodeFailed, ExpectedLoss, FrameDecoder, Playout};
use bedside_media::{
    audio::BLOCK,
    codec::opus::{Decoder, Encoder, FRAME, OpusConfig},
};
use bytes::Bytes;

use super::{meter::Meter, sealing::Sealing};
use crate::{
    peer::{MediaKind, OutgoingRtp, Peer},
    studio::AudioPort,
};

/// Bits per second of our voice before the line is known.
const VOICE_BPS: u32 = 32_000;

/// What the driver shares with the audio thread.
pub(super) struct Sound {
    pub(super) muted: AtomicBool,
    /// Per cent, as [`ExpectedLoss`] has it.
    pub(super) expected_loss: AtomicU8,
    /// What the voice may take, bit/s.
    pub(super) bitrate_bps: AtomicU32,
    /// What was sent and the pacer does not know of yet, bytes.
    pub(super) unpaced: AtomicU64,
    peer: Mutex<Option<Peer>>,
    playout: Mutex<Playout>,
    pub(super) meter: Arc<Meter>,
    pub(super) sealing: Arc<Sealing>,
}

impl Sound {
    pub(super) fn new(muted: bool, sealing: Arc<Sealing>) -> Arc<Self> {
        Arc::new(Self {
            muted: AtomicBool::new(muted),
            expected_loss: AtomicU8::new(ExpectedLoss::UNKNOWN),
            bitrate_bps: AtomicU32::new(VOICE_BPS),
            unpaced: AtomicU64::new(0),
            peer: Mutex::new(None),
            playout: Mutex::new(Playout::new()),
            meter: Arc::default(),
            sealing,
        })
    }

    /// The connection is up: what the microphone gives is sent from now on.
    pub(super) fn connect(&self, peer: Peer) {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer);
    }

    /// The playout buffer, for packets that arrive and for its counters.
    pub(super) fn playout(&self) -> MutexGuard<'_, Playout> {
        self.playout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The audio thread's end. `epoch` is the instant at which the RTP time stamp is `rtp_base`.
    pub(super) fn port(self: &Arc<Self>, epoch: Instant, rtp_base: u32) -> Box<dyn AudioPort> {
        Box::new(Port::new(self.clone(), epoch, rtp_base))
    }
}

fn logged<T, E: std::fmt::Display>(what: &str, made: Result<T, E>) -> Option<T> {
    made.inspect_err(|error| tracing::error!(%error, "{what} could not be made")).ok()
}

struct Port {
    sound: Arc<Sound>,
    encoder: Option<Encoder>,
    decoder: Option<OpusFrames>,
    frame: [f32; FRAME],
    filled: usize,
    /// Of the next packet; follows the capture clock, one frame at a time.
    timestamp: Option<u32>,
    epoch: Instant,
    rtp_base: u32,
    packet: Vec<u8>,
    sealed: Vec<u8>,
    /// The last frame was not sent (DTX): the next one begins a talkspurt.
    silent: bool,
    expected_loss: u8,
    bitrate_bps: u32,
    /// When the frame's first sample was captured.
    captured_at: Option<Instant>,
}

impl Port {
    fn new(sound: Arc<Sound>, epoch: Instant, rtp_base: u32) -> Self {
        let config = OpusConfig {
            bitrate_bps: VOICE_BPS,
            fec: true,
            dtx: true,
            expected_loss_percent: ExpectedLoss::UNKNOWN,
        };
        Self {
            sound,
            encoder: logged("the voice encoder", Encoder::new(config)),
            decoder: logged("the voice decoder", Decoder::new()).map(OpusFrames),
            frame: [0.0; FRAME],
            filled: 0,
            timestamp: None,
            epoch,
            rtp_base,
            packet: Vec::with_capacity(512),
            sealed: Vec::new(),
            silent: true,
            expected_loss: ExpectedLoss::UNKNOWN,
            bitrate_bps: VOICE_BPS,
            captured_at: None,
        }
    }

    fn send(&mut self) {
        let Some(timestamp) = self.timestamp else { return };
        self.timestamp = Some(timestamp.wrapping_add(FRAME as u32));
        let Some(encoder) = &mut self.encoder else { return };
        let expected = self.sound.expected_loss.load(Relaxed);
        if expected != self.expected_loss && encoder.set_expected_loss(expected).is_ok() {
            self.expected_loss = expected;
        }
        let bitrate = self.sound.bitrate_bps.load(Relaxed);
        if bitrate != self.bitrate_bps && encoder.set_bitrate(bitrate).is_ok() {
            self.bitrate_bps = bitrate;
        }
        self.packet.clear();
        let Ok(length) = encoder.encode(&self.frame, &mut self.packet) else { return };
        // One or two bytes mean that the encoder wants nothing sent (RFC 7587 section 3.1.3). The first such packet
        // of a pause goes all the same: it tells the other side that this is silence and not loss.
        let pause = length <= 2;
        if pause && self.silent {
            return;
        }
        let marker = std::mem::replace(&mut self.silent, pause);
        let payload = if self.sound.sealing.is_active() {
            if !self.sound.sealing.seal_sound(&self.packet, &mut self.sealed) {
                return;
            }
            &self.sealed
        } else {
            &self.packet
        };
        let packet = OutgoingRtp { timestamp, marker, payload: Bytes::copy_from_slice(payload) };
        let peer = self.sound.peer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peer.as_ref() {
            if let Some(captured_at) = self.captured_at {
                peer.map_clock(MediaKind::Audio, timestamp, captured_at);
            }
            // A packet that finds no room is lost like any other; the next one is due in 20 ms.
            if peer.send_rtp(MediaKind::Audio, packet).is_ok() {
                Meter::add(&self.sound.meter.audio_out, length);
                Meter::add(&self.sound.unpaced, length);
            }
        }
    }
}

impl AudioPort for Port {
    fn captured(&mut self, block: &[f32; BLOCK], captured_at: Instant) {
        if self.timestamp.is_none() {
            let since = captured_at.saturating_duration_since(self.epoch);
            // RTP time stamps wrap by design.
            let ticks = (since.as_micros() * 48_000 / 1_000_000) as u32;
            self.timestamp = Some(self.rtp_base.wrapping_add(ticks));
        }
        if self.filled == 0 {
            self.captured_at = Some(captured_at);
        }
        let part = &mut self.frame[self.filled..self.filled + BLOCK];
        if self.sound.muted.load(Relaxed) {
            part.fill(0.0);
        } else {
            part.copy_from_slice(block);
        }
        self.filled += BLOCK;
        if self.filled == FRAME {
            self.filled = 0;
            self.send();
        }
    }

    fn render(&mut self, block: &mut [f32; BLOCK]) {
        if let Some(decoder) = &mut self.decoder {
            self.sound.playout().pull_block(Instant::now(), decoder, block);
        }
    }
}

/// Opus as the playout buffer wants it.
struct OpusFrames(Decoder);

impl FrameDecoder for OpusFrames {
    fn decode(&mut self, packet: &[u8], out: &mut [f32; FRAME]) -> Result<(), DecodeFailed> {
        self.0.decode(packet, out).map_err(|_| DecodeFailed)
    }

    fn decode_fec(&mut self, next: &[u8], out: &mut [f32; FRAME]) -> Result<(), DecodeFailed> {
        self.0.decode_fec(next, out).map_err(|_| DecodeFailed)
    }

    fn conceal(&mut self, out: &mut [f32; FRAME]) {
        if self.0.conceal(out).is_err() {
            out.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_voice_takes_no_more_than_the_line_gives_it() {
        let sound = Sound::new(false, Arc::new(Sealing::new(false)));
        let mut port = Port::new(sound.clone(), Instant::now(), 0);
        let mut noise = 1_u32;
        let mut second = |bps: u32| {
            sound.bitrate_bps.store(bps, Relaxed);
            let blocks = (0..100).map(|_| {
                let block = std::array::from_fn(|_| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    noise as f32 / u32::MAX as f32 - 0.5
                });
                port.captured(&block, Instant::now());
                port.packet.len()
            });
            blocks.skip(50).sum::<usize>()
        };
        let (wide, thin, wide_again) = (second(32_000), second(12_000), second(32_000));
        assert!(thin * 2 < wide && thin * 2 < wide_again, "{wide}, {thin}, {wide_again} bytes");
    }
}
