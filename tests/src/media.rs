//! The media of our side of a call with a stranger: the test pattern and the test tone out, pictures and sound in,
//! through the codecs of the product, and measures of what arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bedside_flow::rtp::RtpMeta;
use bedside_flow::video::{Assembler, Packetizer};
use bedside_media::audio::{compare, tone_sample};
use bedside_media::camera::{CaptureFormat, Pattern};
use bedside_media::codec::VideoEncoder;
use bedside_media::codec::{h264, opus};
use bedside_media::frame::I420;
use bedside_media::stamp::{self, Stamp};
use bedside_session::peer::{MAX_PAYLOAD, MediaKind, OutgoingRtp, Peer, PeerEvent};
use bytes::Bytes;
use tokio::task::JoinHandle;

/// What our side sends.
pub const FORMAT: CaptureFormat = CaptureFormat { width: 640, height: 360, fps: 30 };
const BITRATE_BPS: u32 = 900_000;
/// RTP ticks of one frame, video and audio.
const VIDEO_TICKS: u32 = 90_000 / FORMAT.fps;
const AUDIO_TICKS: u32 = opus::FRAME as u32;

/// Sends pattern and tone until it is dropped.
pub struct Talker {
    keyframe: Arc<AtomicBool>,
    tasks: [JoinHandle<()>; 2],
}

impl Talker {
    /// Starts sending. What is refused before the connection is up is lost.
    #[must_use]
    pub fn start(peer: &Peer) -> Self {
        let keyframe = Arc::new(AtomicBool::new(false));
        let tasks =
            [tokio::spawn(speak(peer.clone())), tokio::spawn(show(peer.clone(), Arc::clone(&keyframe)))];
        Self { keyframe, tasks }
    }

    /// Makes the next picture a keyframe.
    pub fn want_keyframe(&self) {
        self.keyframe.store(true, Relaxed);
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn speak(peer: Peer) {
    let mut encoder = opus::Encoder::new(opus::OpusConfig::default()).expect("an Opus encoder");
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let mut packet = Vec::new();
    for number in 0_u32.. {
        beat.tick().await;
        let first = u64::from(number) * opus::FRAME as u64;
        let frame: [f32; opus::FRAME] = std::array::from_fn(|at| tone_sample(first + at as u64));
        encoder.encode(&frame, &mut packet).expect("sound is encoded");
        let payload = Bytes::copy_from_slice(&packet);
        let timestamp = number.wrapping_mul(AUDIO_TICKS);
        let _ = peer.send_rtp(MediaKind::Audio, OutgoingRtp { timestamp, marker: number == 0, payload });
    }
}

async fn show(peer: Peer, keyframe: Arc<AtomicBool>) {
    let CaptureFormat { width, height, fps } = FORMAT;
    let config = h264::EncoderConfig { width, height, fps, bitrate_bps: BITRATE_BPS };
    let mut encoder = h264::Encoder::new(&config).expect("an H.264 encoder");
    let mut packetizer = Packetizer::new();
    let pattern = Pattern::new(FORMAT);
    let began = Instant::now();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / fps);
    for number in 0_u32.. {
        beat.tick().await;
        let image = stamped(&pattern, number, stamp::now_us());
        let at = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wanted = keyframe.swap(false, Relaxed);
        let Some(frame) = encoder.encode(&image, at, wanted).expect("a picture is encoded") else { continue };
        let payloads = packetizer.packetize(&frame.data, MAX_PAYLOAD);
        let last = payloads.len().saturating_sub(1);
        for (index, payload) in payloads.into_iter().enumerate() {
            let timestamp = number.wrapping_mul(VIDEO_TICKS);
            let packet = OutgoingRtp { timestamp, marker: index == last, payload: Bytes::from(payload) };
            if peer.send_rtp(MediaKind::Video, packet).is_err() {
                // Whoever joins later has to begin with a keyframe.
                keyframe.store(true, Relaxed);
            }
        }
    }
}

fn stamped(pattern: &Pattern, counter: u32, time_us: u64) -> I420 {
    let mut image = pattern.frame(u64::from(counter));
    stamp::burn(&mut image, Stamp { counter, time_us });
    image
}

/// Mean difference per sample (luma, blue, red) between a picture that arrived and the one that was sent.
///
/// # Panics
/// When the picture has no stamp or another size than the one that was sent.
#[must_use]
pub fn damage(arrived: &I420) -> [f64; 3] {
    assert_eq!((arrived.width(), arrived.height()), (FORMAT.width, FORMAT.height), "another size");
    let stamp = stamp::read(arrived).expect("the picture shows its number");
    let sent = stamped(&Pattern::new(FORMAT), stamp.counter, stamp.time_us);
    let planes = [(arrived.y(), sent.y()), (arrived.u(), sent.u()), (arrived.v(), sent.v())];
    planes.map(|(one, other)| {
        let sum: u64 = one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / one.len() as f64
    })
}

/// How much a sound is like the test tone, 0.0..=1.0; the newest quarter of a second counts.
#[must_use]
pub fn likeness_to_tone(heard: &[f32]) -> f32 {
    const PART: usize = 12_000;
    let Some(begin) = heard.len().checked_sub(PART) else { return 0.0 };
    let tone: Vec<f32> = (0..48_000 + PART as u64).map(tone_sample).collect();
    compare::find(&heard[begin..], &tone, tone.len()).map_or(0.0, |found| found.correlation)
}

/// Takes what arrives on our side.
pub struct Listener {
    assembler: Assembler,
    video: h264::Decoder,
    audio: opus::Decoder,
    next_sound: Option<u16>,
    /// Sound so far: mono, 48 kHz.
    pub heard: Vec<f32>,
    /// The newest picture.
    pub seen: Option<I420>,
    /// Pictures so far.
    pub pictures: u32,
    /// When the first picture was decoded.
    pub first_picture: Option<Instant>,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            assembler: Assembler::new(),
            video: h264::Decoder::new().expect("an H.264 decoder"),
            audio: opus::Decoder::new().expect("an Opus decoder"),
            next_sound: None,
            heard: Vec::new(),
            seen: None,
            pictures: 0,
            first_picture: None,
        }
    }
}

impl Listener {
    /// Takes a media event.
    pub fn take(&mut self, peer: &Peer, event: PeerEvent) {
        let PeerEvent::Rtp { kind, seq, timestamp, marker, payload, arrived } = event else { return };
        match kind {
            MediaKind::Audio => self.sound(seq, &payload),
            MediaKind::Video => {
                self.assembler.insert(arrived, RtpMeta { seq, timestamp, marker }, &payload);
                self.pictures(peer);
            }
        }
    }

    fn sound(&mut self, seq: u16, payload: &[u8]) {
        if self.next_sound.is_some_and(|next| seq.wrapping_sub(next) > u16::MAX / 2) {
            return;
        }
        self.next_sound = Some(seq.wrapping_add(1));
        let mut frame = [0.0; opus::FRAME];
        if self.audio.decode(payload, &mut frame).is_ok() {
            self.heard.extend_from_slice(&frame);
        }
    }

    fn pictures(&mut self, peer: &Peer) {
        while let Some(unit) = self.assembler.next_frame() {
            match self.video.decode(&unit.data) {
                Ok(Some(image)) => {
                    self.seen = Some(image);
                    self.pictures += 1;
                    self.first_picture.get_or_insert_with(Instant::now);
                }
                Ok(None) => {}
                Err(_) => self.assembler.require_keyframe(),
            }
        }
        if self.assembler.poll_keyframe(Instant::now(), Duration::from_millis(20)) {
            let _ = peer.send_pli();
        }
    }
}
