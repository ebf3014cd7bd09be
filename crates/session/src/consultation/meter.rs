//! Counts what passes, on every thread, and makes a sample of each second.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Growing totals. Threads add, the driver reads once a second.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) audio_out: AtomicU64,
    pub(super) audio_in: AtomicU64,
    pub(super) video_out: AtomicU64,
    pub(super) video_in: AtomicU64,
    /// Packets of the picture, repeated ones included.
    pub(super) video_packets_in: AtomicU64,
    pub(super) frames_sent: AtomicU64,
    pub(super) frames_decoded: AtomicU64,
    pub(super) encode: Stopwatch,
    pub(super) decode: Stopwatch,
    /// Width × 65536 + height.
    pub(super) size_out: AtomicU32,
    pub(super) size_in: AtomicU32,
}

/// A sum of durations and how many they were.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    micros: AtomicU64,
    laps: AtomicU64,
}

impl Stopwatch {
    pub(super) fn add(&self, lap: Duration) {
        self.micros.fetch_add(u64::try_from(lap.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.laps.fetch_add(1, Relaxed);
    }

    /// Mean of the laps since the last call, ms; starts anew.
    fn take_mean_ms(&self) -> f32 {
        let (micros, laps) = (self.micros.swap(0, Relaxed), self.laps.swap(0, Relaxed));
        if laps == 0 { 0.0 } else { micros as f32 / laps as f32 / 1000.0 }
    }
}

/// What one second added.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Second {
    pub(super) audio_out_bps: u32,
    pub(super) audio_in_bps: u32,
    pub(super) video_out_bps: u32,
    pub(super) video_in_bps: u32,
    pub(super) video_packets_in: u64,
    pub(super) fps_out: f32,
    pub(super) fps_in: f32,
    pub(super) encode_ms: f32,
    pub(super) decode_ms: f32,
    pub(super) size_out: (u16, u16),
    pub(super) size_in: (u16, u16),
}

impl Meter {
    pub(super) fn add(total: &AtomicU64, amount: usize) {
        total.fetch_add(amount as u64, Relaxed);
    }

    pub(super) fn set_size(size: &AtomicU32, width: u32, height: u32) {
        size.store((width << 16) | (height & 0xffff), Relaxed);
    }

    /// What was added in the `elapsed` time since the last call; starts anew.
    pub(super) fn take(&self, elapsed: Duration) -> Second {
        let seconds = elapsed.as_secs_f32().max(0.001);
        let bps = |total: &AtomicU64| (total.swap(0, Relaxed) as f32 * 8.0 / seconds) as u32;
        let per_second = |total: &AtomicU64| total.swap(0, Relaxed) as f32 / seconds;
        let fps_in = per_second(&self.frames_decoded);
        Second {
            audio_out_bps: bps(&self.audio_out),
            audio_in_bps: bps(&self.audio_in),
            video_out_bps: bps(&self.video_out),
            video_in_bps: bps(&self.video_in),
            video_packets_in: self.video_packets_in.swap(0, Relaxed),
            fps_out: per_second(&self.frames_sent),
            fps_in,
            encode_ms: self.encode.take_mean_ms(),
            decode_ms: self.decode.take_mean_ms(),
            size_out: size(&self.size_out),
            size_in: if fps_in > 0.0 { size(&self.size_in) } else { (0, 0) },
        }
    }
}

fn size(packed: &AtomicU32) -> (u16, u16) {
    let packed = packed.load(Relaxed);
    ((packed >> 16) as u16, (packed & 0xffff) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_what_it_added_and_the_next_starts_anew() {
        let meter = Meter::default();
        Meter::add(&meter.video_in, 125_000);
        Meter::set_size(&meter.size_out, 1280, 720);
        let second = meter.take(Duration::from_secs(1));
        assert_eq!(second.video_in_bps, 1_000_000);
        assert_eq!(second.size_out, (1280, 720));
        assert_eq!(meter.take(Duration::from_secs(1)).video_in_bps, 0);
    }
}
