//! What a call was like, as JSON: the same names as the report of `bedside-headless`, as far as a window knows
//! them, and what only a window knows: how old pictures are when they are drawn.

use std::time::{SystemTime, UNIX_EPOCH};

use bedside_protocol::{CallPhase, EndReason, Timestamp};
use bedside_ui_contract::{CallView, StatsSample};
use serde_json::{Value, json};

use crate::frames::DrawnAges;

/// What was seen of one call.
#[derive(Default)]
pub(crate) struct Report {
    phases: Vec<(CallPhase, Timestamp)>,
    accepted_at: Option<Timestamp>,
    connected_at: Option<Timestamp>,
    first_picture_at: Option<Timestamp>,
    end_reason: Option<EndReason>,
    samples: Vec<StatsSample>,
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Report {
    /// Takes in how the call stands.
    pub(crate) fn see(&mut self, call: &CallView) {
        if self.phases.last().is_none_or(|(phase, _)| *phase != call.phase) {
            self.phases.push((call.phase, now()));
        }
        self.accepted_at = self.accepted_at.or(call.accepted_at);
        self.connected_at = self.connected_at.or(call.connected_at);
        self.end_reason = call.end_reason;
    }

    /// Takes in a second of it.
    pub(crate) fn add(&mut self, sample: StatsSample) {
        self.samples.push(sample);
    }

    /// The first picture of the other side is there.
    pub(crate) fn see_picture(&mut self) {
        self.first_picture_at = Some(now());
    }

    pub(crate) fn has_picture(&self) -> bool {
        self.first_picture_at.is_some()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phases.last().is_some_and(|(phase, _)| phase.is_final())
    }

    /// Lays it out.
    pub(crate) fn json(&self, ages: Option<&DrawnAges>) -> Value {
        let after_answer = |at: Option<Timestamp>| Some(at?.millis_since(self.accepted_at?));
        let count = self.samples.len().max(1) as f64;
        let mean = |of: fn(&StatsSample) -> f64| self.samples.iter().map(of).sum::<f64>() / count;
        let total = |of: fn(&StatsSample) -> f64| self.samples.iter().map(of).sum::<f64>();
        let last = self.samples.last().cloned().unwrap_or_default();
        json!({
            "setup_ms": {
                "accept_to_connected": after_answer(self.connected_at),
                "accept_to_first_frame": after_answer(self.first_picture_at),
                "dtls": last.dtls_ms,
            },
            "video": {
                "width": last.width_in,
                "height": last.height_in,
                "fps_sent": mean(|s| s.fps_out.into()),
                "fps_decoded": mean(|s| s.fps_in.into()),
                "frames_sent": total(|s| s.fps_out.into()).round(),
                "frames_decoded": total(|s| s.fps_in.into()).round(),
                "freezes": total(|s| s.freezes.into()),
                "freeze_ms": total(|s| s.freeze_ms.into()),
                "bitrate_bps": mean(|s| s.video_in_bps.into()).round(),
                "drawn_ms": {
                    "p50": ages.and_then(|ages| ages.percentile(0.5)),
                    "p95": ages.and_then(|ages| ages.percentile(0.95)),
                },
            },
            "audio": {
                "packets_received": total(|s| s.audio_packets_in.into()),
                "concealed_ms": total(|s| s.concealed_ms.into()),
                "bitrate_bps": mean(|s| s.audio_in_bps.into()).round(),
            },
            "network": {
                "rtt_ms": mean(|s| s.rtt_ms.into()),
                "loss": mean(|s| s.loss_in.into()),
                "jitter_ms": mean(|s| s.jitter_ms.into()),
                "candidate_pair": last.path,
                "estimate_bps": last.estimate_bps,
            },
            "process": {
                "cpu_percent": mean(|s| s.cpu_percent.into()),
                "peak_rss_bytes": self.samples.iter().map(|s| s.memory_bytes).max(),
            },
            "phases": self
                .phases
                .iter()
                .map(|(phase, at)| json!({"phase": phase, "at_ms": at.0}))
                .collect::<Vec<_>>(),
            "end_reason": self.end_reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_the_seconds_and_totals_over_the_call() {
        let mut report = Report::default();
        for (fps_in, freezes) in [(30.0, 0), (20.0, 2)] {
            report.add(StatsSample { fps_in, freezes, ..StatsSample::default() });
        }
        let json = report.json(None);
        assert_eq!(json["video"]["fps_decoded"], 25.0);
        assert_eq!(json["video"]["frames_decoded"], 50.0);
        assert_eq!(json["video"]["freezes"], 2.0);
        assert_eq!(json["video"]["drawn_ms"]["p95"], Value::Null);
    }

    #[test]
    fn a_report_of_nothing_is_still_one() {
        let json = Report::default().json(None);
        assert_eq!(json["setup_ms"]["accept_to_first_frame"], Value::Null);
        assert_eq!(json["end_reason"], Value::Null);
    }
}
