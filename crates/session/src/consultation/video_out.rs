//! Our picture: from the camera's newest frame to RTP payloads, on a thread of its own.
//!
//! Takes the newest frame only: while it encodes, older ones are lost, which is what a live picture wants. What to
//! send (size, rate, bits) is the driver's decision and arrives through [`Plan`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bedside_flow::video::{Packetizer, sealed};
use bedside_media::{
    codec::{
        VideoEncoder,
        h264::{Encoder, EncoderConfig},
    },
    frame::{I420, VideoFrame},
    scale::Scaler,
};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::{meter::Meter, sealing::Sealing};
use crate::peer::{MAX_PAYLOAD, MediaKind, OutgoingRtp, Peer};

/// RTP clock of video, Hz (RFC 6184 section 8.2.1).
const CLOCK_RATE: u128 = 90_000;

/// The encoder is told of a new rate only when it differs by this share.
const RATE_STEP: f64 = 0.05;

/// Packets that may wait for the driver: more than two of the largest pictures. It takes them at once, unless the machine
/// is far too slow.
pub(super) const MOST_PACKETS: usize = 1024;

/// Above this queue frames are left out, ms.
const MOST_QUEUED_MS: u32 = 250;

/// What is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// Nothing at all: camera off, no connection, or the sound needs the bits.
    pub(super) paused: bool,
    /// The largest picture; a smaller one from the camera is sent as it is.
    pub(super) width: u32,
    /// See `width`.
    pub(super) height: u32,
    /// Most frames per second.
    pub(super) fps: u32,
    /// Bits per second for the encoder.
    pub(super) bitrate_bps: u32,
}

/// What the encoder's thread shares with the driver.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The next frame must be a keyframe.
    pub(super) keyframe: AtomicBool,
    /// How long the last packet waits for its turn, ms.
    pub(super) queue_ms: AtomicU32,
}

/// Everything the thread needs.
pub(super) struct VideoOut {
    pub(super) camera: watch::Receiver<Option<VideoFrame>>,
    pub(super) plan: watch::Receiver<Plan>,
    /// What the first plan with a picture will be.
    pub(super) first: Plan,
    pub(super) packets: mpsc::Sender<OutgoingRtp>,
    pub(super) shared: Arc<Shared>,
    pub(super) meter: Arc<Meter>,
    /// Told which instant a time stamp stands for, for the other side's lip sync.
    pub(super) peer: Peer,
    /// The instant at which the RTP time stamp is `rtp_base`.
    pub(super) epoch: Instant,
    pub(super) rtp_base: u32,
    pub(super) sealing: Arc<Sealing>,
}

/// Starts the thread. It ends when the plan's sender is dropped.
pub(super) fn spawn(out: VideoOut) -> std::io::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("video-encode".into())
        .spawn(move || Worker::new(out).run(&runtime))
        .map(|_| ())
}

struct Worker {
    out: VideoOut,
    scaler: Scaler,
    packetizer: Packetizer,
    encoder: Option<Encoder>,
    config: Option<EncoderConfig>,
    cadence: Cadence,
}

impl Worker {
    fn new(out: VideoOut) -> Self {
        Self {
            out,
            scaler: Scaler::new(),
            packetizer: Packetizer::new(),
            encoder: None,
            config: None,
            cadence: Cadence::default(),
        }
    }

    fn run(mut self, runtime: &tokio::runtime::Handle) {
        loop {
            let frame = runtime.block_on(async {
                tokio::select! {
                    changed = self.out.camera.changed() => changed.is_ok(),
                    changed = self.out.plan.changed() => changed.is_ok(),
                }
            });
            if !frame {
                return;
            }
            if self.out.camera.has_changed().is_err() || self.out.plan.has_changed().is_err() {
                return;
            }
            let plan = *self.out.plan.borrow_and_update();
            let newest = self.out.camera.borrow_and_update().clone();
            if !plan.paused {
                if let Some(frame) = newest {
                    self.frame(&frame, plan);
                }
            } else if self.cadence.last.is_some() {
                self.encoder = None;
                self.cadence.next_due = None;
            } else if let Some(frame) = newest
                && self.encoder.is_none()
            {
                self.rehearse(&frame);
            }
        }
    }

    /// Encodes a picture for nobody, while the connection comes up: the first takes several times as long as others, and
    /// now nobody waits for it.
    fn rehearse(&mut self, frame: &VideoFrame) {
        let first = self.out.first;
        let image = self.scaler.scale_shared(&frame.image, first.width, first.height);
        if let Err(error) = self.encode(&image, frame.captured_at, first) {
            tracing::debug!(%error, "a rehearsal failed");
            self.encoder = None;
        }
        // Nobody has what the next would build on.
        self.out.shared.keyframe.store(true, Relaxed);
    }

    fn frame(&mut self, frame: &VideoFrame, plan: Plan) {
        if !self.cadence.is_due(frame.captured_at, plan.fps) || self.is_congested() {
            return;
        }
        let image = self.scaler.scale_shared(&frame.image, plan.width, plan.height);
        let started = Instant::now();
        let encoded = match self.encode(&image, frame.captured_at, plan) {
            Ok(Some(encoded)) => encoded,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "a picture could not be encoded; the encoder is set up anew");
                self.encoder = None;
                return;
            }
        };
        let meter = &self.out.meter;
        meter.encode.add(started.elapsed());
        Meter::set_size(&meter.size_out, image.width(), image.height());
        Meter::add(&meter.frames_sent, 1);
        let since = frame.captured_at.saturating_duration_since(self.out.epoch);
        // RTP time stamps wrap by design.
        let ticks = (since.as_micros() * CLOCK_RATE / 1_000_000) as u32;
        let timestamp = self.out.rtp_base.wrapping_add(ticks);
        self.out.peer.map_clock(MediaKind::Video, timestamp, frame.captured_at);
        let payloads = if self.out.sealing.is_active() {
            let Some(sealed) = self.out.sealing.seal_picture(&encoded.data, encoded.keyframe) else {
                // The next one that can be sealed has to be one to begin with.
                return self.out.shared.keyframe.store(true, Relaxed);
            };
            sealed::packetize(encoded.keyframe, &sealed, MAX_PAYLOAD)
        } else {
            self.packetizer.packetize(&encoded.data, MAX_PAYLOAD)
        };
        // A picture goes as a whole or not at all; without this one, the next has to be one to begin with.
        let Ok(places) = self.out.packets.try_reserve_many(payloads.len()) else {
            return self.out.shared.keyframe.store(true, Relaxed);
        };
        let last = payloads.len().saturating_sub(1);
        for ((index, payload), place) in payloads.into_iter().enumerate().zip(places) {
            place.send(OutgoingRtp { timestamp, marker: index == last, payload: Bytes::from(payload) });
        }
    }

    fn encode(
        &mut self,
        image: &I420,
        captured_at: Instant,
        plan: Plan,
    ) -> Result<Option<bedside_media::codec::EncodedFrame>, bedside_media::codec::CodecError> {
        let wanted = EncoderConfig {
            width: image.width(),
            height: image.height(),
            fps: plan.fps,
            bitrate_bps: plan.bitrate_bps,
        };
        let fits = self.config.is_some_and(|has| (has.width, has.height) == (wanted.width, wanted.height));
        let encoder = match &mut self.encoder {
            Some(encoder) if fits => {
                if let Some(has) = &mut self.config {
                    let change =
                        (f64::from(wanted.bitrate_bps) / f64::from(has.bitrate_bps.max(1)) - 1.0).abs();
                    if change > RATE_STEP {
                        encoder.set_bitrate(wanted.bitrate_bps)?;
                        has.bitrate_bps = wanted.bitrate_bps;
                    }
                    if has.fps != wanted.fps {
                        encoder.set_frame_rate(wanted.fps)?;
                        has.fps = wanted.fps;
                    }
                }
                encoder
            }
            Some(_) | None => {
                self.config = Some(wanted);
                self.encoder.insert(Encoder::new(&wanted)?)
            }
        };
        let at = captured_at.saturating_duration_since(self.out.epoch).as_millis();
        let keyframe = self.out.shared.keyframe.swap(false, Relaxed);
        encoder.encode(image, u64::try_from(at).unwrap_or(u64::MAX), keyframe)
    }

    /// Whether so much waits for its turn that this frame would only add to the delay: then it is left out.
    fn is_congested(&self) -> bool {
        self.out.shared.queue_ms.load(Relaxed) > MOST_QUEUED_MS
    }
}

/// Which of the camera's pictures are sent.
#[derive(Default)]
struct Cadence {
    next_due: Option<Instant>,
    last: Option<Instant>,
}

impl Cadence {
    /// Whether the frame rate wants this frame; a frame may come up to half an interval early, and none comes twice.
    fn is_due(&mut self, captured_at: Instant, fps: u32) -> bool {
        if self.last.is_some_and(|last| captured_at <= last) {
            return false;
        }
        let interval = Duration::from_secs(1) / fps.max(1);
        self.next_due = match self.next_due {
            Some(due) if captured_at + interval / 2 < due => return false,
            Some(due) if captured_at < due + interval => Some(due + interval),
            Some(_) | None => Some(captured_at + interval),
        };
        self.last = Some(captured_at);
        true
    }
}

#[cfg(test)]
mod tests {
    use bedside_flow::{rtp::RtpMeta, video::Assembler};

    use super::*;
    use crate::peer::{NetworkOptions, PeerConfig};

    #[tokio::test]
    async fn a_rehearsal_is_seen_by_nobody_and_nothing_builds_on_it() {
        let (events, _inbox) = mpsc::channel(64);
        let config = PeerConfig { network: NetworkOptions::loopback(), ..PeerConfig::default() };
        let peer = Peer::new(config, events).await.expect("a peer");
        let first = Plan { paused: false, width: 320, height: 180, fps: 30, bitrate_bps: 300_000 };
        let (_camera, camera) = watch::channel(None);
        let (_plan, plan) = watch::channel(first);
        let (packets, mut sent) = mpsc::channel(MOST_PACKETS);
        let epoch = Instant::now();
        let mut worker = Worker::new(VideoOut {
            camera,
            plan,
            first,
            packets,
            shared: Arc::default(),
            meter: Arc::default(),
            peer,
            epoch,
            rtp_base: 0,
            sealing: Arc::new(Sealing::new(false)),
        });
        let picture = |ms: u64| VideoFrame {
            image: Arc::new(I420::new(320, 180)),
            captured_at: epoch + Duration::from_millis(ms),
        };
        worker.rehearse(&picture(0));
        assert!(worker.encoder.is_some(), "it was no rehearsal");
        assert!(sent.try_recv().is_err(), "a picture left before there was a connection");
        worker.frame(&picture(40), first);
        let mut assembler = Assembler::new();
        let packets = std::iter::from_fn(|| sent.try_recv().ok());
        for (seq, OutgoingRtp { timestamp, marker, payload }) in (0..).zip(packets) {
            assembler.insert(epoch, RtpMeta { seq, timestamp, marker }, &payload);
        }
        assert!(assembler.next_frame().is_some_and(|unit| unit.keyframe), "the first picture can't be shown");
    }

    #[test]
    fn a_picture_is_not_sent_again_when_the_rate_falls() {
        let (mut cadence, start) = (Cadence::default(), Instant::now());
        assert!(cadence.is_due(start, 30));
        assert!(!cadence.is_due(start, 10), "two pictures with one time stamp");
        assert!(cadence.is_due(start + Duration::from_millis(33), 30));
    }

    #[test]
    fn every_third_picture_makes_ten_of_thirty() {
        let (mut cadence, start) = (Cadence::default(), Instant::now());
        let sent =
            (0..300).filter(|at| cadence.is_due(start + Duration::from_secs(1) * *at / 30, 10)).count();
        // The second may come early.
        assert!(sent == 100 || sent == 101, "{sent}");
    }
}
