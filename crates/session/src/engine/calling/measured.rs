//! Seconds of calls that were measured, on their way to the server: sent a few at a time, and kept while it is away.

use std::collections::VecDeque;

use bedside_protocol::{CallId, quality::QualityMetrics};

use crate::api::ApiError;

/// Seconds of a call that goes on are handed in this many at a time.
const BATCH: usize = 5;

/// The most that the server takes at once.
const LONGEST_BATCH: usize = 60;

/// Seconds beyond this many push out the oldest: half an hour without the server.
const MOST: usize = 1_800;

/// What has been measured and has not arrived.
#[derive(Default)]
pub(in crate::engine) struct Measured {
    waiting: VecDeque<(CallId, QualityMetrics)>,
    /// How many of them, from the front, are under way.
    under_way: usize,
}

impl Measured {
    /// One more second.
    pub(super) fn note(&mut self, call: CallId, metrics: QualityMetrics) {
        self.waiting.push_back((call, metrics));
        if self.waiting.len() > MOST {
            self.waiting.pop_front();
            self.under_way = self.under_way.saturating_sub(1);
        }
    }

    /// What to send now, oldest first and of one call; of the call that is going on only where there is enough.
    pub(super) fn take(&mut self, going_on: Option<CallId>) -> Option<(CallId, Vec<QualityMetrics>)> {
        if self.under_way > 0 {
            return None;
        }
        let call = self.waiting.front()?.0;
        let of_call = self.waiting.iter().take_while(|(of, _)| *of == call).take(LONGEST_BATCH);
        let batch: Vec<QualityMetrics> = of_call.map(|(_, metrics)| metrics.clone()).collect();
        if going_on == Some(call) && batch.len() < BATCH {
            return None;
        }
        self.under_way = batch.len();
        Some((call, batch))
    }

    /// What was under way has arrived, or is tried again with the next. What the server will never take is dropped.
    pub(super) fn sent(&mut self, answer: &Result<(), ApiError>) {
        let again = answer.as_ref().is_err_and(ApiError::may_pass);
        let gone = if again { 0 } else { self.under_way };
        self.waiting.drain(..gone.min(self.waiting.len()));
        self.under_way = 0;
    }

    /// Somebody else may sign in: it is none of theirs.
    pub(in crate::engine) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use bedside_protocol::{ErrorCode, Problem};

    use super::*;

    fn second(at: i64) -> QualityMetrics {
        let metrics = serde_json::json!({
            "at": at, "rtt": 1.0, "packet_loss": 0.0, "jitter": 1.0, "available_bandwidth_bps": 0,
            "audio_bitrate": 0, "video_bitrate": 0, "video_width": 0, "video_height": 0, "frame_rate": 0.0,
            "freezes": 0, "concealed_ms": 0, "jitter_buffer_ms": 0, "encode_ms": 0.0, "decode_ms": 0.0,
            "cpu_usage": 0.0, "memory_bytes": 0, "audio_quality": "good", "video_quality": "good",
        });
        serde_json::from_value(metrics).unwrap()
    }

    fn problem(code: ErrorCode) -> Result<(), ApiError> {
        Err(ApiError::Problem(Box::new(Problem::new(code))))
    }

    fn times(batch: Option<(CallId, Vec<QualityMetrics>)>) -> Vec<i64> {
        batch.into_iter().flat_map(|(_, batch)| batch).map(|second| second.at.0).collect()
    }

    #[test]
    fn a_failed_batch_goes_with_the_next_and_nothing_goes_twice() {
        let call = CallId::random();
        let mut measured = Measured::default();
        for at in 1..=4 {
            measured.note(call, second(at));
            assert!(times(measured.take(Some(call))).is_empty(), "too few");
        }
        measured.note(call, second(5));
        assert_eq!(times(measured.take(Some(call))), [1, 2, 3, 4, 5]);
        measured.note(call, second(6));
        assert!(times(measured.take(Some(call))).is_empty(), "one at a time");
        measured.sent(&problem(ErrorCode::Internal));
        assert_eq!(times(measured.take(Some(call))), [1, 2, 3, 4, 5, 6]);
        measured.sent(&Ok(()));
        assert!(times(measured.take(None)).is_empty());
    }

    #[test]
    fn the_last_seconds_of_a_call_go_when_it_is_over_and_before_those_of_the_next() {
        let (first, then) = (CallId::random(), CallId::random());
        let mut measured = Measured::default();
        measured.note(first, second(1));
        measured.note(first, second(2));
        measured.note(then, second(3));
        assert_eq!(times(measured.take(Some(then))), [1, 2]);
        measured.sent(&Ok(()));
        assert!(times(measured.take(Some(then))).is_empty(), "too few of the one that goes on");
        assert_eq!(times(measured.take(None)), [3]);
    }

    #[test]
    fn what_the_server_refuses_is_dropped_and_the_oldest_where_there_is_too_much() {
        let call = CallId::random();
        let mut measured = Measured::default();
        for refusal in [ErrorCode::CallNotFound, ErrorCode::InvalidValue] {
            measured.note(call, second(1));
            assert_eq!(times(measured.take(None)), [1]);
            measured.sent(&problem(refusal));
        }
        for at in 0..=MOST {
            measured.note(call, second(i64::try_from(at).unwrap()));
        }
        let batch = times(measured.take(None));
        assert_eq!((batch[0], batch.len()), (1, LONGEST_BATCH));
    }
}
