//! Compares the sound that arrived with the sound that was sent.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use bedside_media::audio::{BLOCK, compare};

/// Samples per second.
const RATE: usize = 48_000;

/// As much as is kept: enough to compare, 2 MB.
const KEPT: usize = 20 * RATE;

/// As much as is compared at a time.
const COMPARED: usize = 2 * RATE;

/// The latest that sound may be and still be recognised.
const MOST_LATE: usize = RATE;

/// The newest seconds of a signal and when they were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    samples: VecDeque<i16>,
    /// When the sample after the last one will be, µs since the Unix epoch.
    end_us: u64,
}

/// What the comparison found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Likeness {
    /// 1 for the same sound.
    pub(crate) correlation: f32,
    /// From microphone to speaker, where the time of sending is known.
    pub(crate) latency_ms: Option<f64>,
}

impl Track {
    /// Adds 10 ms that begin at `at_us`.
    pub(crate) fn push(&mut self, block: &[f32; BLOCK], at_us: u64) {
        self.samples
            .extend(block.iter().map(|sample| (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16));
        let surplus = self.samples.len().saturating_sub(KEPT);
        self.samples.drain(..surplus);
        self.end_us = at_us + 10_000;
    }

    /// When the oldest sample was, µs.
    fn start_us(&self) -> u64 {
        self.end_us.saturating_sub(self.samples.len() as u64 * 1_000_000 / RATE as u64)
    }
}

/// Where the start time of a sent sound is noted.
pub(crate) fn start_file(sent: &Path) -> PathBuf {
    let mut name = sent.as_os_str().to_owned();
    name.push(".start");
    PathBuf::from(name)
}

/// Finds what the other side sent (its `--sent-audio` file) in what was played here.
///
/// Several stretches are compared; the median latency and the mean correlation of those that carry sound are
/// returned. `None` when nothing can be compared.
pub(crate) fn compare_with(sent: &Path, heard: &Track) -> Option<Likeness> {
    let sent_start_us: u64 = std::fs::read_to_string(start_file(sent)).ok()?.trim().parse().ok()?;
    let reader = hound::WavReader::open(sent).ok()?;
    let sent: Vec<f32> = reader.into_samples::<i16>().map_while(Result::ok).map(f32::from).collect();
    let heard_start_us = heard.start_us();
    let heard: Vec<f32> = heard.samples.iter().copied().map(f32::from).collect();
    let mut found = Vec::new();
    let mut from = RATE;
    while from + COMPARED + MOST_LATE < heard.len() {
        // The stretch of the sent sound that was captured when heard[from] was played.
        let at_us = heard_start_us + (from as u64 * 1_000_000 / RATE as u64);
        let index = at_us.checked_sub(sent_start_us).map(|us| (us * RATE as u64 / 1_000_000) as usize);
        if let Some(part) = index.and_then(|index| sent.get(index..index + COMPARED))
            && loudness(part) > 100.0
            && let Some(matched) = compare::find(part, &heard[from..], MOST_LATE)
        {
            found.push((matched.correlation, matched.lag as f64 * 1000.0 / RATE as f64));
        }
        from += RATE;
    }
    if found.is_empty() {
        return None;
    }
    let correlation = found.iter().map(|(correlation, _)| correlation).sum::<f32>() / found.len() as f32;
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    Some(Likeness { correlation, latency_ms: Some(found[found.len() / 2].1) })
}

fn loudness(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}
