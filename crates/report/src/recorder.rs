//! Writes media to files without ever blocking a media thread: a bounded queue, a thread, and a count of what did
//! not fit.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context;
use bedside_media::audio::BLOCK;

/// Blocks or pictures that may wait for the disk.
const QUEUE: usize = 256;

/// What comes meanwhile is written together: ten times a second a media thread wakes the one that writes, not a hundred.
const GATHER: Duration = Duration::from_millis(100);

/// A file being written. [`Recorder::finish`] closes it.
pub(crate) struct Recorder<T>(Mutex<Option<Writing<T>>>);

struct Writing<T> {
    queue: SyncSender<T>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl<T: Send + 'static> Recorder<T> {
    fn start(
        mut write: impl FnMut(Option<T>) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (queue, inbox) = sync_channel::<T>(QUEUE);
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || {
            while let Ok(item) = inbox.recv() {
                write(Some(item))?;
                std::thread::sleep(GATHER);
                inbox.try_iter().try_for_each(|item| write(Some(item)))?;
            }
            write(None)
        })?;
        Ok(Self(Mutex::new(Some(Writing { queue, thread }))))
    }

    /// Queues an item; one that finds no room is left out.
    pub(crate) fn put(&self, item: T) {
        if let Some(writing) = &*self.writing() {
            let _ = writing.queue.try_send(item);
        }
    }

    /// Writes what is queued and closes the file.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        let Some(Writing { queue, thread }) = self.writing().take() else { return Ok(()) };
        drop(queue);
        thread.join().map_err(|_| anyhow::anyhow!("the writing thread stopped"))?
    }

    fn writing(&self) -> MutexGuard<'_, Option<Writing<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes an H.264 elementary stream.
pub(crate) fn video(path: &Path) -> anyhow::Result<Recorder<Vec<u8>>> {
    let mut file = BufWriter::new(File::create(path).with_context(|| format!("writing {}", path.display()))?);
    Recorder::start(move |unit: Option<Vec<u8>>| {
        match unit {
            Some(unit) => file.write_all(&unit)?,
            None => file.flush()?,
        }
        Ok(())
    })
}

/// Writes mono 48 kHz 16-bit WAV; the header is kept true as the file grows, so that it can be read meanwhile.
pub(crate) fn audio(path: &Path) -> anyhow::Result<Recorder<[f32; BLOCK]>> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file =
        Some(hound::WavWriter::create(path, spec).with_context(|| format!("writing {}", path.display()))?);
    let mut blocks = 0u32;
    Recorder::start(move |block: Option<[f32; BLOCK]>| {
        let Some(block) = block else {
            return file.take().map_or(Ok(()), |file| Ok(file.finalize()?));
        };
        if let Some(file) = &mut file {
            for sample in block {
                file.write_sample((sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16)?;
            }
            blocks += 1;
            if blocks.is_multiple_of(50) {
                file.flush()?;
            }
        }
        Ok(())
    })
}
