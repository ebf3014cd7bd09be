//! The report of one side of a call, as JSON.

use std::path::Path;

use anyhow::Context as _;
use bedside_protocol::{CallPhase, EndReason};
use bedside_ui_contract::StatsSample;
use serde::Serialize;

use crate::probe::Seen;

/// One side of a call.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// `caller` or `callee`.
    pub side: &'static str,
    /// How long it took.
    pub setup_ms: Setup,
    /// The picture that arrived; rates of what was sent too.
    pub video: Video,
    /// The sound that arrived.
    pub audio: Audio,
    /// The path.
    pub network: Network,
    /// This process.
    pub process: Process,
    /// Every phase this side saw, in order.
    pub phases: Vec<Phase>,
    /// Why the call ended; absent when there was none.
    pub end_reason: Option<EndReason>,
}

/// Times from answering, and what took them, ms.
#[derive(Debug, Default, Serialize)]
pub struct Setup {
    /// Until the call was connected.
    pub accept_to_connected: Option<u64>,
    /// Until the first picture was decoded.
    pub accept_to_first_frame: Option<u64>,
    /// Until the first picture of the size that the last one had.
    pub accept_to_full_size: Option<u64>,
    /// What ICE took to find a path.
    pub ice: Option<f32>,
    /// What the DTLS handshake took on it.
    pub dtls: Option<f32>,
}

/// Pictures.
#[derive(Debug, Default, Serialize)]
pub struct Video {
    /// Of the last picture, points.
    pub width: u32,
    /// Of the last picture, points.
    pub height: u32,
    /// Mean over the call.
    pub fps_sent: f32,
    /// Mean over the call.
    pub fps_decoded: f32,
    /// In all.
    pub frames_sent: u64,
    /// In all.
    pub frames_decoded: u64,
    /// Frame counters never went backwards (stamped pictures only).
    pub in_order: bool,
    /// Pictures that overstayed.
    pub freezes: u64,
    /// How long the picture stood still, in all.
    pub freeze_ms: u64,
    /// Received, mean over the call.
    pub bitrate_bps: u32,
    /// From capture to decoded; stamped pictures only.
    pub latency_ms: Percentiles,
    /// From capture until a window had drawn it; stamped pictures only, absent without a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn_ms: Option<Percentiles>,
}

/// Of a distribution.
#[derive(Debug, Default, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<f64>,
    /// That of the slowest twentieth.
    pub p95: Option<f64>,
}

/// Sound.
#[derive(Debug, Default, Serialize)]
pub struct Audio {
    /// In all.
    pub packets_received: u64,
    /// Made up for what did not arrive.
    pub concealed_ms: u64,
    /// Received, mean over the call.
    pub bitrate_bps: u32,
    /// Of what was played with what the other side sent, 0..=1; needs `--reference-audio`.
    pub correlation: Option<f32>,
    /// From microphone to speaker; needs `--reference-audio`.
    pub latency_ms: Option<f64>,
}

/// The path, means over the call.
#[derive(Debug, Default, Serialize)]
pub struct Network {
    /// There and back.
    pub rtt_ms: f32,
    /// Share of what was sent to this side that did not arrive, 0..=1.
    pub loss: f32,
    /// Of what arrives.
    pub jitter_ms: f32,
    /// Kinds, never addresses.
    pub candidate_pair: String,
    /// The last estimate.
    pub estimate_bps: u32,
}

/// This process since it began.
#[derive(Debug, Default, Serialize)]
pub struct Process {
    /// Of all its threads.
    pub cpu_s: f64,
    /// The most memory it had at a time.
    pub peak_rss_bytes: u64,
}

/// A phase and when it began.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// The phase.
    pub phase: CallPhase,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
}

impl Report {
    /// Fills in what the seconds of the call said.
    pub(crate) fn add_samples(&mut self, samples: &[StatsSample]) {
        let count = samples.len().max(1) as f32;
        let mean = |of: fn(&StatsSample) -> f32| samples.iter().map(of).sum::<f32>() / count;
        self.network.rtt_ms = mean(|s| s.rtt_ms);
        self.network.loss = mean(|s| s.loss_in);
        self.network.jitter_ms = mean(|s| s.jitter_ms);
        self.video.bitrate_bps = mean(|s| s.video_in_bps as f32) as u32;
        self.audio.bitrate_bps = mean(|s| s.audio_in_bps as f32) as u32;
        self.video.fps_sent = mean(|s| s.fps_out);
        self.video.frames_sent = samples.iter().map(|s| s.fps_out.round() as u64).sum();
        self.video.freezes = samples.iter().map(|s| u64::from(s.freezes)).sum();
        self.video.freeze_ms = samples.iter().map(|s| u64::from(s.freeze_ms)).sum();
        self.audio.concealed_ms = samples.iter().map(|s| u64::from(s.concealed_ms)).sum();
        self.audio.packets_received = samples.iter().map(|s| u64::from(s.audio_packets_in)).sum();
        if let Some(last) = samples.last() {
            self.network.estimate_bps = last.estimate_bps;
            self.network.candidate_pair.clone_from(&last.path);
            (self.setup_ms.ice, self.setup_ms.dtls) = (last.ice_ms, last.dtls_ms);
        }
    }

    /// Fills in what the pictures told.
    pub(crate) fn add_pictures(&mut self, seen: &Seen) {
        (self.video.width, self.video.height) = seen.size;
        self.video.frames_decoded = seen.frames;
        self.video.in_order = !seen.disordered;
        if let (Some(first), Some(last)) = (seen.first_at, seen.last_at) {
            let seconds = last.duration_since(first).as_secs_f32();
            if seconds > 0.0 {
                self.video.fps_decoded = (seen.frames.saturating_sub(1)) as f32 / seconds;
            }
        }
        let ages = seen.ages_us.iter().map(|us| *us as f64 / 1000.0);
        self.video.latency_ms = Percentiles::of(ages.collect());
    }
}

impl Process {
    /// What the system says of this one.
    #[must_use]
    pub fn this() -> Self {
        let usage = bedside_session::usage::Usage::of_this_process();
        Self { cpu_s: usage.cpu.as_secs_f64(), peak_rss_bytes: usage.peak_rss_bytes }
    }
}

impl Phase {
    pub(crate) fn begun_now(phase: CallPhase) -> Self {
        Self { phase, at_ms: i64::try_from(bedside_media::stamp::now_us() / 1000).unwrap_or(i64::MAX) }
    }
}

impl Percentiles {
    /// Of these, in any order.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = values.len().checked_sub(1)?;
            values.get((share * last as f64).round() as usize).copied()
        };
        Self { p50: at(0.5), p95: at(0.95) }
    }
}

/// Writes a report where it was asked for; `-` is standard output.
///
/// # Errors
///
/// When the disk refuses.
pub fn write(to: Option<&Path>, report: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    match to {
        Some(path) if path.as_os_str() == "-" => println!("{text}"),
        Some(path) => std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?,
        None => {}
    }
    Ok(())
}
