//! The report of one side of a call, as JSON.

use std::path::Path;

use anyhow::Context as _;
use bedside_protocol::EndReason;
use bedside_ui_contract::StatsSample;
use serde::Serialize;

use crate::probe::Seen;

/// One side of a call.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// `caller` or `callee`.
    pub(crate) side: &'static str,
    /// How long it took.
    pub(crate) setup_ms: Setup,
    /// The picture that arrived; rates of what was sent too.
    pub(crate) video: Video,
    /// The sound that arrived.
    pub(crate) audio: Audio,
    /// The path.
    pub(crate) network: Network,
    /// This process.
    pub(crate) process: Process,
    /// Every phase this side saw, in order.
    pub(crate) phases: Vec<Phase>,
    /// Why the call ended; absent when there was none.
    pub(crate) end_reason: Option<EndReason>,
}

/// Times from answering, ms.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Setup {
    /// Until the call was connected.
    pub(crate) accept_to_connected: Option<u64>,
    /// Until the first picture was decoded.
    pub(crate) accept_to_first_frame: Option<u64>,
    /// Until the first picture of the size that the last one had.
    pub(crate) accept_to_full_size: Option<u64>,
    /// ICE and DTLS.
    pub(crate) dtls: Option<f32>,
}

/// Pictures.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Video {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Mean over the call.
    pub(crate) fps_sent: f32,
    /// Mean over the call.
    pub(crate) fps_decoded: f32,
    pub(crate) frames_sent: u64,
    pub(crate) frames_decoded: u64,
    /// Frame counters never went backwards (stamped pictures only).
    pub(crate) in_order: bool,
    pub(crate) freezes: u64,
    /// The time by which frozen pictures overstayed.
    pub(crate) freeze_ms: u64,
    /// Received, mean over the call.
    pub(crate) bitrate_bps: u32,
    /// From capture to decoded; stamped pictures only.
    pub(crate) latency_ms: Percentiles,
}

/// Of a distribution.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
}

/// Sound.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Audio {
    pub(crate) packets_received: u64,
    /// Made up for what did not arrive.
    pub(crate) concealed_ms: u64,
    /// Received, mean over the call.
    pub(crate) bitrate_bps: u32,
    /// Of what was played with what the other side sent, 0..=1; needs `--reference-audio`.
    pub(crate) correlation: Option<f32>,
    /// From microphone to speaker; needs `--reference-audio`.
    pub(crate) latency_ms: Option<f64>,
}

/// The path, means over the call.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Network {
    pub(crate) rtt_ms: f32,
    pub(crate) loss: f32,
    pub(crate) jitter_ms: f32,
    /// Kinds, never addresses.
    pub(crate) candidate_pair: String,
    /// The last estimate.
    pub(crate) estimate_bps: u32,
}

/// This process since it began.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Process {
    pub(crate) cpu_s: f64,
    pub(crate) peak_rss_bytes: u64,
}

/// A phase and when it began.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Phase {
    pub(crate) phase: bedside_protocol::CallPhase,
    /// Milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
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
            self.setup_ms.dtls = Some(last.dtls_ms).filter(|ms| *ms > 0.0);
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
        let mut ages = seen.ages_us.clone();
        ages.sort_unstable();
        let at = |share: f64| {
            let index = (ages.len() as f64 * share) as usize;
            ages.get(index.min(ages.len().saturating_sub(1))).map(|us| *us as f64 / 1000.0)
        };
        self.video.latency_ms = Percentiles { p50: at(0.5), p95: at(0.95) };
    }
}

/// What the system says of this process.
pub(crate) fn process() -> Process {
    let usage = bedside_session::usage::Usage::of_this_process();
    Process { cpu_s: usage.cpu.as_secs_f64(), peak_rss_bytes: usage.peak_rss_bytes }
}

/// Writes a report where it was asked for.
pub(crate) fn write(to: Option<&Path>, report: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    match to {
        Some(path) if path.as_os_str() == "-" => println!("{text}"),
        Some(path) => std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?,
        None => {}
    }
    Ok(())
}
