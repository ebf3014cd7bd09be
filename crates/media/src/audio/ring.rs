//! The lock-free ring between a device's callback and the engine's thread.
//!
//! Mono samples at the device's rate. Either end may be the callback: neither
//! allocates, locks or waits. A full ring drops the newest samples; an empty
//! one lets the sound fade out and in again without a click.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use super::cushion::{Cushion, Plan};

/// The ring holds this many milliseconds.
const CAPACITY_MS: usize = 500;

/// Bursts above this are hiccups, not the device's habit.
const MOST_BURST_MS: usize = 100;

/// Samples over which cuts and starts are faded.
const FADE: usize = 120;

/// What the two ends tell each other beside the samples.
#[derive(Default)]
struct Shared {
    burst: AtomicUsize,
    error: AtomicI32,
}

/// The end that samples go into.
pub(crate) struct RingWriter {
    producer: Producer<f32>,
    shared: Arc<Shared>,
    most_burst: usize,
    position: u64,
}

/// The end that samples come out of.
pub(crate) struct RingReader {
    consumer: Consumer<f32>,
    shared: Arc<Shared>,
    cushion: Cushion,
    tail: [f32; FADE],
    last: f32,
    position: u64,
}

/// A ring for samples at `rate` Hz.
pub(crate) fn ring(rate: u32) -> (RingWriter, RingReader) {
    let millisecond = (rate as usize / 1000).max(1);
    let (producer, consumer) = RingBuffer::new(CAPACITY_MS * millisecond);
    let shared = Arc::new(Shared::default());
    let writer = RingWriter {
        producer,
        shared: Arc::clone(&shared),
        most_burst: MOST_BURST_MS * millisecond,
        position: 0,
    };
    let reader = RingReader {
        consumer,
        shared,
        cushion: Cushion::new(rate),
        tail: [0.0; FADE],
        last: 0.0,
        position: 0,
    };
    (writer, reader)
}

impl RingWriter {
    /// Writes one burst; what does not fit is dropped.
    pub(crate) fn write(&mut self, samples: impl ExactSizeIterator<Item = f32>) {
        let burst = samples.len();
        self.shared.burst.fetch_max(burst.min(self.most_burst), Ordering::Relaxed);
        let room = burst.min(self.producer.slots());
        if let Ok(chunk) = self.producer.write_chunk_uninit(room) {
            self.position += chunk.fill_from_iter(samples) as u64;
        }
    }

    /// Samples ever written: the position of the next one.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The reader's fill error in samples: see [`Cushion::error`].
    pub(crate) fn error(&self) -> i32 {
        self.shared.error.load(Ordering::Relaxed)
    }
}

impl RingReader {
    /// Fills `out` with the next samples, or lets the sound fade where there are none.
    ///
    /// True when they are real samples.
    pub(crate) fn read(&mut self, out: &mut [f32]) -> bool {
        let burst = self.shared.burst.load(Ordering::Relaxed);
        let available = self.consumer.slots();
        let plan = self.cushion.plan(available, out.len(), burst);
        self.shared.error.store(self.cushion.error(), Ordering::Relaxed);
        match plan {
            Plan::Wait { .. } => {
                for (step, sample) in out.iter_mut().enumerate() {
                    *sample = self.last * (1.0 - step as f32 / FADE as f32).max(0.0);
                }
                self.last = out.last().copied().unwrap_or(self.last);
                false
            }
            Plan::Take { discard, playing } => {
                let fade = FADE.min(out.len());
                if discard > 0 || !playing {
                    self.skip(discard, playing);
                }
                // The fill was checked above and only this end takes from it.
                let _ = self.consumer.pop_entire_slice(out);
                self.position += out.len() as u64;
                if discard > 0 || !playing {
                    for (step, sample) in out[..fade].iter_mut().enumerate() {
                        let weight = step as f32 / fade as f32;
                        *sample = *sample * weight + self.tail[step] * (1.0 - weight);
                    }
                }
                self.last = out.last().copied().unwrap_or(self.last);
                true
            }
        }
    }

    /// Position of the next sample that [`RingReader::read`] will take.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The fill error in samples: see [`Cushion::error`].
    pub(crate) fn error(&self) -> i32 {
        self.cushion.error()
    }

    /// Throws samples away, keeping the first of them to fade out from.
    fn skip(&mut self, discard: usize, playing: bool) {
        self.tail = [0.0; FADE];
        if let Ok(chunk) = self.consumer.read_chunk(discard) {
            if playing {
                let (first, second) = chunk.as_slices();
                let kept = first.iter().chain(second);
                for (slot, sample) in self.tail.iter_mut().zip(kept) {
                    *slot = *sample;
                }
            }
            chunk.commit_all();
            self.position += discard as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(from: usize, len: usize) -> impl ExactSizeIterator<Item = f32> {
        (from..from + len).map(|n| n as f32 * 1e-5)
    }

    #[test]
    fn samples_come_out_in_order_and_whole() {
        let (mut writer, mut reader) = ring(48_000);
        let (mut written, mut heard) = (0, Vec::new());
        for round in 0..400 {
            let burst = [960, 0, 441, 519][round % 4];
            writer.write(ramp(written, burst));
            written += burst;
            let mut out = [0.0; 480];
            if reader.read(&mut out) {
                heard.extend_from_slice(&out);
            }
        }
        assert!(heard.len() > 390 * 480);
        // Past the fade-in, each sample follows the one before.
        for pair in heard[FADE..].windows(2) {
            assert!((pair[1] - pair[0] - 1e-5).abs() < 2e-6, "{pair:?}");
        }
    }

    #[test]
    fn a_gap_and_a_cut_never_click() {
        let (mut writer, mut reader) = ring(48_000);
        let mut heard = Vec::new();
        for round in 0..500 {
            let burst = match round {
                100..110 => 0,
                200 => 9_600,
                _ => 480,
            };
            writer.write(vec![0.5; burst].into_iter());
            let mut out = [0.0; 480];
            reader.read(&mut out);
            heard.extend_from_slice(&out);
        }
        let steepest = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest <= 0.5 / FADE as f32 + 1e-6, "{steepest}");
    }

    #[test]
    fn a_reader_that_stopped_costs_samples_not_memory() {
        let (mut writer, reader) = ring(48_000);
        for _ in 0..200 {
            writer.write(ramp(0, 480));
        }
        assert_eq!(writer.position(), 24_000);
        drop(reader);
    }
}
