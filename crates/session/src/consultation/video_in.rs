//! The other person's picture: from whole access units to the newest decoded frame, on a thread of its own.
//!
//! Every access unit is decoded in order, since each builds on the one before; what is shown is the newest. A picture
//! that runs ahead of its sound waits for it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use bedside_flow::{freeze::FreezeDetector, video::AssembledFrame};
use bedside_media::{
    codec::{
        CodecError, VideoEncoder as _,
        h264::{Decoder, Encoder, EncoderConfig},
    },
    frame::{I420, VideoFrame},
};
use tokio::sync::watch;

use super::{meter::Meter, sealing::Sealing};
use crate::tap::MediaTap;

/// Access units that may wait for the decoder: half a second. More means that this machine is too slow.
const BACKLOG: usize = 16;

/// The longest a picture waits for its sound.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// What the decoder's thread shares with the driver.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Decoding went wrong: only a keyframe helps.
    pub(super) keyframe_needed: AtomicBool,
    /// How long to hold each picture back so that it meets its sound, µs.
    hold_us: AtomicU64,
    /// Whether the picture stands still.
    freezes: Mutex<FreezeDetector>,
    /// The time stamp of the newest picture and when it was shown.
    shown: Mutex<Option<(u32, Instant)>>,
}

impl Shared {
    /// Holds each picture back from now on.
    pub(super) fn set_hold(&self, hold: Duration) {
        self.hold_us.store(u64::try_from(hold.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Whether the picture stands still.
    pub(super) fn freezes(&self) -> MutexGuard<'_, FreezeDetector> {
        self.freezes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest picture's RTP time stamp and when it was shown, if one was since the last call.
    pub(super) fn take_shown(&self) -> Option<(u32, Instant)> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Where this consultation's pictures are shown, and no longer than it lasts: the decoder may still be at work on one.
pub(super) struct Screen {
    slot: watch::Sender<Option<VideoFrame>>,
    dark: AtomicBool,
}

impl Screen {
    pub(super) const fn new(slot: watch::Sender<Option<VideoFrame>>) -> Self {
        Self { slot, dark: AtomicBool::new(false) }
    }

    fn show(&self, frame: VideoFrame) {
        self.slot.send_if_modified(|slot| {
            let lit = !self.is_dark();
            if lit {
                *slot = Some(frame);
            }
            lit
        });
    }

    fn is_dark(&self) -> bool {
        self.dark.load(Relaxed)
    }

    /// Takes the picture away; none comes after it.
    pub(super) fn go_dark(&self) {
        // Both sides look at it while they hold the slot.
        self.slot.send_modify(|slot| {
            self.dark.store(true, Relaxed);
            *slot = None;
        });
    }
}

/// The driver's end.
pub(super) struct VideoIn {
    units: SyncSender<AssembledFrame>,
    pub(super) shared: Arc<Shared>,
}

impl VideoIn {
    /// Starts the thread, prepared for pictures of the `expected` size if any are. It ends when this end is dropped.
    pub(super) fn spawn(
        expected: Option<(u32, u32)>,
        screen: Arc<Screen>,
        meter: Arc<Meter>,
        tap: Option<Arc<dyn MediaTap>>,
        sealing: Arc<Sealing>,
    ) -> std::io::Result<Self> {
        let (units, inbox) = sync_channel(BACKLOG);
        let shared = Arc::new(Shared::default());
        let worker = Worker { inbox, screen, meter, tap, shared: shared.clone(), sealing };
        std::thread::Builder::new().name("video-decode".into()).spawn(move || worker.run(expected))?;
        Ok(Self { units, shared })
    }

    /// Hands over the next access unit. False when it had to be dropped: a keyframe is needed then.
    pub(super) fn push(&self, unit: AssembledFrame) -> bool {
        match self.units.try_send(unit) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

struct Worker {
    inbox: Receiver<AssembledFrame>,
    screen: Arc<Screen>,
    meter: Arc<Meter>,
    tap: Option<Arc<dyn MediaTap>>,
    shared: Arc<Shared>,
    sealing: Arc<Sealing>,
}

impl Worker {
    fn run(mut self, expected: Option<(u32, u32)>) {
        let mut decoder = None;
        if let Some((width, height)) = expected {
            match rehearsed(width, height) {
                Ok(ready) => decoder = Some(ready),
                Err(error) => tracing::debug!(%error, "a rehearsal failed"),
            }
        }
        while let Ok(mut unit) = self.inbox.recv() {
            if self.sealing.is_active() {
                match self.sealing.open_picture(&unit.data) {
                    Some(opened) => unit.data = opened,
                    None => {
                        // What comes after it builds on it.
                        self.shared.keyframe_needed.store(true, Relaxed);
                        continue;
                    }
                }
            }
            if let Some(tap) = &self.tap {
                tap.received_access_unit(&unit.data, unit.keyframe);
            }
            if decoder.is_none() {
                match Decoder::new() {
                    Ok(made) => decoder = Some(made),
                    Err(error) => {
                        tracing::error!(%error, "the picture can't be decoded on this machine");
                        return;
                    }
                }
            }
            let Some(has) = &mut decoder else { continue };
            let started = Instant::now();
            match has.decode(&unit.data) {
                // The call ended meanwhile; what still waits is nobody's any more.
                Ok(_) if self.screen.is_dark() => return,
                Ok(Some(image)) => self.show(&unit, started, image),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "a picture could not be decoded");
                    decoder = None;
                    self.shared.keyframe_needed.store(true, Relaxed);
                }
            }
        }
    }

    fn show(&mut self, unit: &AssembledFrame, started: Instant, image: I420) {
        let decoded_at = Instant::now();
        self.meter.decode.add(decoded_at.saturating_duration_since(started));
        Meter::add(&self.meter.frames_decoded, 1);
        Meter::set_size(&self.meter.size_in, image.width(), image.height());
        if let Some(tap) = &self.tap {
            tap.decoded_frame(&image, decoded_at);
        }
        let hold = Duration::from_micros(self.shared.hold_us.load(Relaxed)).min(LONGEST_WAIT);
        let wait = (unit.complete_at + hold).saturating_duration_since(decoded_at);
        if wait > Duration::from_millis(1) {
            std::thread::sleep(wait);
        }
        let shown_at = Instant::now();
        self.shared.freezes().on_frame(shown_at);
        *self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((unit.timestamp, shown_at));
        self.screen.show(VideoFrame { image: Arc::new(image), captured_at: unit.complete_at });
    }
}

/// A decoder that has decoded before: the first picture takes it many times as long as others, and somebody waits for
/// the other person's.
fn rehearsed(width: u32, height: u32) -> Result<Decoder, CodecError> {
    let mut decoder = Decoder::new()?;
    let mut encoder = Encoder::new(&EncoderConfig { width, height, fps: 30, bitrate_bps: 500_000 })?;
    if let Some(black) = encoder.encode(&I420::new(width, height), 0, true)? {
        decoder.decode(&black.data)?;
    }
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_decoded_after_the_end_is_shown_to_nobody() {
        let picture = || VideoFrame { image: Arc::new(I420::new(16, 16)), captured_at: Instant::now() };
        let (slot, seen) = watch::channel(None);
        let screen = Screen::new(slot);
        screen.show(picture());
        assert!(seen.borrow().is_some());
        screen.go_dark();
        screen.show(picture());
        assert!(seen.borrow().is_none());
    }

    #[test]
    fn after_a_rehearsal_pictures_of_any_size_are_decoded() {
        let mut decoder = rehearsed(320, 180).expect("a decoder");
        for (width, height) in [(320, 180), (640, 360)] {
            let config = EncoderConfig { width, height, fps: 30, bitrate_bps: 500_000 };
            let mut encoder = Encoder::new(&config).expect("an encoder");
            let unit =
                encoder.encode(&I420::new(width, height), 0, true).expect("encoded").expect("a picture");
            let image = decoder.decode(&unit.data).expect("decoded").expect("a picture");
            assert_eq!((image.width(), image.height()), (width, height));
        }
    }
}
