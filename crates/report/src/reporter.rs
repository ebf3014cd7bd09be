//! Follows one call, from what a window is shown and from its media, and reports it.

use std::{path::PathBuf, sync::Arc, time::Instant};

use bedside_protocol::CallPhase;
use bedside_session::tap::MediaTap;
use bedside_ui_contract::{CallView, StatsSample, call::Direction};
use clap::Args;

use crate::{
    probe::Probe,
    report::{self, Phase, Report},
    sound,
};

/// What is written down of a call, as a command line asks for it.
#[derive(Clone, Debug, Default, Args)]
pub struct Measures {
    /// Write the picture that arrives: an H.264 stream (Annex B).
    #[arg(long, value_name = "FILE")]
    save_video: Option<PathBuf>,
    /// Write the sound that is played: WAV, mono, 48 kHz.
    #[arg(long, value_name = "FILE")]
    save_audio: Option<PathBuf>,
    /// Write the sound that is sent: WAV beside which `FILE.start` holds the time of its first sample.
    #[arg(long, value_name = "FILE")]
    sent_audio: Option<PathBuf>,
    /// The other side's `--sent-audio`, to measure what arrived against.
    #[arg(long, value_name = "FILE")]
    reference_audio: Option<PathBuf>,
    /// Write what the call was like, as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Measures {
    /// Whether anything is asked for.
    #[must_use]
    pub fn wanted(&self) -> bool {
        let Self { save_video, save_audio, sent_audio, reference_audio, report } = self;
        [save_video, save_audio, sent_audio, reference_audio, report].iter().any(|file| file.is_some())
    }
}

/// One call, as it is followed.
pub struct Reporter {
    measures: Measures,
    probe: Arc<Probe>,
    answered: Option<Instant>,
    connected: Option<Instant>,
    phases: Vec<Phase>,
    last: Option<CallView>,
    samples: Vec<StatsSample>,
}

impl Reporter {
    /// Opens the files that are asked for.
    ///
    /// # Errors
    ///
    /// When one of them can't be written.
    pub fn new(measures: Measures) -> anyhow::Result<Self> {
        let files = [&measures.save_video, &measures.save_audio, &measures.sent_audio];
        let [save_video, save_audio, sent_audio] = files.map(Option::as_deref);
        let probe = Arc::new(Probe::new(save_video, save_audio, sent_audio)?);
        Ok(Self {
            measures,
            probe,
            answered: None,
            connected: None,
            phases: Vec::new(),
            last: None,
            samples: Vec::new(),
        })
    }

    /// What the engine is started with.
    #[must_use]
    pub fn tap(&self) -> Arc<dyn MediaTap> {
        self.probe.clone()
    }

    /// This side answered the call at that time. Whoever called counts from when they hear of it.
    pub fn answered(&mut self, at: Instant) {
        self.answered = Some(at);
    }

    /// Takes in how the call stands.
    pub fn see(&mut self, call: &CallView) {
        let now = Instant::now();
        if self.phases.last().is_none_or(|phase| phase.phase != call.phase) {
            self.phases.push(Phase::begun_now(call.phase));
        }
        if call.accepted_at.is_some() {
            self.answered.get_or_insert(now);
        }
        if call.phase == CallPhase::Connected {
            self.connected.get_or_insert(now);
        }
        self.last = Some(call.clone());
    }

    /// Takes in a second of it.
    pub fn add(&mut self, sample: StatsSample) {
        self.samples.push(sample);
    }

    /// Whether there has been a call.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.last.as_ref().is_some_and(|call| call.phase.is_final())
    }

    /// When media first flowed.
    #[must_use]
    pub fn connected(&self) -> Option<Instant> {
        self.connected
    }

    /// What there is to say by now. The other side's sound is read for it, which takes a moment after a long call.
    #[must_use]
    pub fn report(&self) -> Report {
        let seen = self.probe.seen();
        let since_answer = |at: Option<Instant>| {
            let (answered, at) = (self.answered?, at?);
            u64::try_from(at.saturating_duration_since(answered).as_millis()).ok()
        };
        let mut report = Report {
            side: match self.last.as_ref().map(|call| call.direction) {
                Some(Direction::Incoming) => "callee",
                Some(Direction::Outgoing) | None => "caller",
            },
            process: report::Process::this(),
            phases: self.phases.clone(),
            end_reason: self.last.as_ref().and_then(|call| call.end_reason),
            ..Report::default()
        };
        report.add_samples(&self.samples);
        report.add_pictures(&seen);
        report.setup_ms.accept_to_connected = since_answer(self.connected);
        report.setup_ms.accept_to_first_frame = since_answer(seen.first_at);
        report.setup_ms.accept_to_full_size = since_answer(seen.size_since);
        if let Some(reference) = &self.measures.reference_audio
            && let Some(likeness) = sound::compare_with(reference, &self.probe.heard())
        {
            report.audio.correlation = Some(likeness.correlation);
            report.audio.latency_ms = likeness.latency_ms;
        }
        report
    }

    /// Closes the files and writes the report where it was asked for. What media still brings is left out.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn write(&self, report: &Report) -> anyhow::Result<()> {
        self.probe.finish()?;
        report::write(self.measures.report.as_deref(), report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_nothing_is_still_one() {
        let reporter = Reporter::new(Measures::default()).unwrap();
        let json = serde_json::to_value(reporter.report()).unwrap();
        assert_eq!(json["setup_ms"]["accept_to_first_frame"], serde_json::Value::Null);
        assert_eq!(json["end_reason"], serde_json::Value::Null);
        assert_eq!(json["video"].get("drawn_ms"), None);
        assert!(!reporter.has_begun() && !reporter.is_over());
    }

    #[test]
    fn means_are_over_the_seconds_and_totals_over_the_call() {
        let mut reporter = Reporter::new(Measures::default()).unwrap();
        for (fps_out, freezes) in [(30.0, 0), (20.0, 2)] {
            reporter.add(StatsSample { fps_out, freezes, ..StatsSample::default() });
        }
        let video = reporter.report().video;
        assert_eq!((video.fps_sent, video.frames_sent, video.freezes), (25.0, 50, 2));
    }
}
