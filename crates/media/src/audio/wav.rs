//! WAV files as a microphone and as a speaker.
//!
//! A file is read, mixed to mono and brought to 48 kHz once, before the engine
//! touches it; writing happens on a thread of its own, so a slow disk never
//! holds up the sound.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use thiserror::Error;

use super::resample::RateMatcher;
use super::{BLOCK, Block, SAMPLE_RATE};

/// Longer files are cut here: 10 min at 16 bit are 58 MB.
const MOST_SECONDS: usize = 600;

/// Blocks that wait for the disk before new ones are dropped: a second.
const QUEUE_BLOCKS: usize = 100;

/// Why a WAV file cannot serve.
#[derive(Debug, Error)]
pub(crate) enum WavError {
    /// Not there, not readable, or not WAV.
    #[error("the WAV file cannot be used: {0}")]
    File(#[from] hound::Error),
    /// No samples in it.
    #[error("the WAV file holds no sound")]
    Empty,
    /// Its rate is outside what can be converted.
    #[error("the WAV file's sample rate of {0} Hz cannot be converted")]
    Rate(u32),
    /// The writer's thread did not start.
    #[error("the writer could not start: {0}")]
    Thread(#[from] std::io::Error),
}

/// A file's sound, over and over.
pub(crate) struct Loop {
    samples: Vec<i16>,
    at: usize,
}

impl Loop {
    /// Reads a WAV file of any rate, channel count and sample format.
    pub(crate) fn open(path: &Path) -> Result<Self, WavError> {
        let mut reader = hound::WavReader::open(path)?;
        let spec = reader.spec();
        let mono = mono(&mut reader, spec)?;
        let samples = if spec.sample_rate == SAMPLE_RATE {
            mono.into_iter().map(to_i16).collect()
        } else {
            resampled(&mono, spec.sample_rate)?
        };
        Ok(Self { samples, at: 0 })
    }

    /// Fills the next 10 ms, starting over at the end.
    pub(crate) fn fill(&mut self, block: &mut Block) {
        for sample in block {
            *sample = f32::from(self.samples[self.at]) / 32_768.0;
            self.at = (self.at + 1) % self.samples.len();
        }
    }
}

fn to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

fn mono(reader: &mut hound::WavReader<BufReader<File>>, spec: hound::WavSpec) -> Result<Vec<f32>, WavError> {
    let channels = usize::from(spec.channels.max(1));
    let most = MOST_SECONDS * spec.sample_rate as usize * channels;
    let interleaved: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().take(most).collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            let scale = 1.0 / (1u64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
            reader
                .samples::<i32>()
                .take(most)
                .map(|sample| sample.map(|value| value as f32 * scale))
                .collect::<Result<_, _>>()?
        }
    };
    let mono: Vec<f32> =
        interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect();
    if mono.is_empty() {
        return Err(WavError::Empty);
    }
    Ok(mono)
}

fn resampled(mono: &[f32], rate: u32) -> Result<Vec<i16>, WavError> {
    if !(4_000..=384_000).contains(&rate) {
        return Err(WavError::Rate(rate));
    }
    let mut matcher = RateMatcher::to_engine(rate).map_err(|_| WavError::Rate(rate))?;
    let length = (mono.len() as u64 * u64::from(SAMPLE_RATE) / u64::from(rate)).max(1) as usize;
    let late = (matcher.delay() * f64::from(SAMPLE_RATE)).round() as usize;
    let mut out = Vec::with_capacity(late + length + BLOCK);
    let mut block = [0.0; BLOCK];
    let mut chunk = Vec::with_capacity(matcher.input_most());
    let mut rest = mono;
    while out.len() < late + length {
        let need = matcher.input_needed();
        let (now, later) = rest.split_at(need.min(rest.len()));
        rest = later;
        chunk.clear();
        chunk.extend_from_slice(now);
        chunk.resize(need, 0.0);
        matcher.process(&chunk, &mut block);
        out.extend(block.iter().copied().map(to_i16));
    }
    out.truncate(late + length);
    Ok(out.split_off(late))
}

/// Writes blocks to a file from a thread of its own.
pub(crate) struct WavWriter {
    blocks: SyncSender<Block>,
}

/// Waits, when dropped, until the file is complete. Outlive the [`WavWriter`].
pub(crate) struct WavGuard {
    thread: Option<JoinHandle<()>>,
}

impl WavWriter {
    /// Creates (or overwrites) a mono 48 kHz 16 bit file.
    pub(crate) fn create(path: &Path) -> Result<(Self, WavGuard), WavError> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = hound::WavWriter::create(path, spec)?;
        let (blocks, waiting) = mpsc::sync_channel::<Block>(QUEUE_BLOCKS);
        let thread = thread::Builder::new().name("audio-wav".into()).spawn(move || {
            if let Err(error) = write_all(&mut file, &waiting) {
                tracing::warn!(%error, "the sound file could not be written");
            }
            if let Err(error) = file.finalize() {
                tracing::warn!(%error, "the sound file could not be finished");
            }
        })?;
        let guard = WavGuard { thread: Some(thread) };
        Ok((Self { blocks }, guard))
    }

    /// Hands 10 ms over; dropped when the disk is a second behind.
    pub(crate) fn write(&mut self, block: &Block) {
        let _ = self.blocks.try_send(*block);
    }
}

fn write_all(
    file: &mut hound::WavWriter<BufWriter<File>>,
    waiting: &mpsc::Receiver<Block>,
) -> Result<(), hound::Error> {
    for (index, block) in (1u64..).zip(waiting) {
        for sample in block {
            file.write_sample(to_i16(sample))?;
        }
        // A header that is right once a second survives a killed process.
        if index % 100 == 0 {
            file.flush()?;
        }
    }
    Ok(())
}

impl Drop for WavGuard {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
