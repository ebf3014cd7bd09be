//! Measures a call as its media pass: how old pictures are, how regularly they come, what the sound was.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bedside_media::{audio::BLOCK, frame::I420, stamp};
use bedside_session::tap::MediaTap;

use crate::{
    recorder::{self, Recorder},
    sound::Track,
};

/// The tap that measures.
#[derive(Default)]
pub(crate) struct Probe {
    seen: Mutex<Seen>,
    heard: Mutex<Track>,
    sent_started_us: Mutex<Option<u64>>,
    save_video: Option<Recorder<Vec<u8>>>,
    save_audio: Option<Recorder<[f32; BLOCK]>>,
    sent_audio: Option<(Recorder<[f32; BLOCK]>, PathBuf)>,
}

/// What the pictures told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Of each stamped picture, µs from capture to decoded.
    pub(crate) ages_us: Vec<u64>,
    /// Whether frame counters ever went backwards.
    pub(crate) disordered: bool,
    /// Frames in all.
    pub(crate) frames: u64,
    /// The first one.
    pub(crate) first_at: Option<Instant>,
    /// The last one.
    pub(crate) last_at: Option<Instant>,
    /// Its size.
    pub(crate) size: (u32, u32),
    /// The first one of that size.
    pub(crate) size_since: Option<Instant>,
    last_counter: Option<u32>,
}

impl Probe {
    pub(crate) fn new(
        save_video: Option<&Path>,
        save_audio: Option<&Path>,
        sent_audio: Option<&Path>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            save_video: save_video.map(recorder::video).transpose()?,
            save_audio: save_audio.map(recorder::audio).transpose()?,
            sent_audio: sent_audio
                .map(|path| recorder::audio(path).map(|file| (file, crate::sound::start_file(path))))
                .transpose()?,
            ..Self::default()
        })
    }

    /// What the pictures told so far.
    pub(crate) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// What was played so far.
    pub(crate) fn heard(&self) -> Track {
        lock(&self.heard).clone()
    }

    /// Closes the files; what comes afterwards is left out.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        self.save_video.as_ref().map_or(Ok(()), Recorder::finish)?;
        self.save_audio.as_ref().map_or(Ok(()), Recorder::finish)?;
        self.sent_audio.as_ref().map_or(Ok(()), |(file, _)| file.finish())
    }
}

impl MediaTap for Probe {
    fn captured_audio(&self, block: &[f32; BLOCK], captured_at: Instant) {
        let Some((file, start)) = &self.sent_audio else { return };
        let mut started = lock(&self.sent_started_us);
        if started.is_none() {
            let at = stamp::now_us().saturating_sub(micros(captured_at.elapsed()));
            *started = Some(at);
            // Twenty bytes, once per call.
            if let Err(error) = std::fs::write(start, at.to_string()) {
                tracing::warn!(%error, "the start of the sent sound could not be noted");
            }
        }
        file.put(*block);
    }

    fn received_access_unit(&self, data: &[u8], _keyframe: bool) {
        if let Some(file) = &self.save_video {
            file.put(data.to_vec());
        }
    }

    fn decoded_frame(&self, image: &I420, at: Instant) {
        let stamp = stamp::read(image);
        let mut seen = lock(&self.seen);
        seen.frames += 1;
        seen.first_at.get_or_insert(at);
        seen.last_at = Some(at);
        let size = (image.width(), image.height());
        if std::mem::replace(&mut seen.size, size) != size {
            seen.size_since = Some(at);
        }
        if let Some(stamp) = stamp {
            let age = stamp.age_us();
            seen.ages_us.push(age);
            seen.disordered |= seen.last_counter.is_some_and(|last| stamp.counter <= last);
            seen.last_counter = Some(stamp.counter);
        }
    }

    fn played_audio(&self, block: &[f32; BLOCK], at: Instant) {
        lock(&self.heard).push(block, stamp::now_us().saturating_sub(micros(at.elapsed())));
        if let Some(file) = &self.save_audio {
            file.put(*block);
        }
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
