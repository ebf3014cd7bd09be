//! RTP's short counters made long: sequence numbers and time stamps that never wrap (RFC 3550 §A.1).
//!
//! Everything behind this module works with `i64` indexes; only what goes back on the wire is cut to 16 or 32
//! bits again.

/// What the RTP header says about one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpMeta {
    /// Sequence number; wraps at 65,536.
    pub seq: u16,
    /// Media time stamp, in units of the stream's clock rate; wraps at 2³².
    pub timestamp: u32,
    /// Marker: for video the last packet of a frame (RFC 6184 §5.1).
    pub marker: bool,
}

/// The largest step forward or back that is believed at once (RFC 3550 §A.1 calls it `MAX_DROPOUT`).
pub const MAX_DROPOUT: i64 = 3000;

/// Unwraps sequence numbers and does not believe a wild jump until a second packet confirms it.
#[derive(Clone, Debug, Default)]
pub struct SequenceUnwrapper {
    highest: Option<i64>,
    suspect: Option<u16>,
}

impl SequenceUnwrapper {
    /// An unwrapper that believes its first packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The packet's index. `None` for a number more than [`MAX_DROPOUT`] away from the newest, unless it follows
    /// another such: then the sender has restarted, and the index lies more than [`MAX_DROPOUT`] ahead.
    pub fn unwrap(&mut self, seq: u16) -> Option<i64> {
        let Some(highest) = self.highest else {
            self.highest = Some(i64::from(seq));
            return self.highest;
        };
        let step = i64::from(seq.wrapping_sub(highest as u16) as i16);
        if step.abs() <= MAX_DROPOUT {
            self.suspect = None;
            self.highest = Some(highest.max(highest + step));
            return Some(highest + step);
        }
        if self.suspect.replace(seq.wrapping_add(1)) != Some(seq) {
            return None;
        }
        self.suspect = None;
        let index = if step > 0 { highest + step } else { highest + step + 0x1_0000 };
        self.highest = Some(index);
        Some(index)
    }

    /// The newest index so far.
    pub fn highest(&self) -> Option<i64> {
        self.highest
    }
}

/// Unwraps 32-bit media time stamps relative to the newest seen.
#[derive(Clone, Debug, Default)]
pub struct TimestampUnwrapper {
    newest: Option<i64>,
}

impl TimestampUnwrapper {
    /// An unwrapper without history.
    pub fn new() -> Self {
        Self::default()
    }

    /// The extended time stamp; a step of less than half the range either way is taken as meant.
    pub fn unwrap(&mut self, timestamp: u32) -> i64 {
        let extended = self.peek(timestamp);
        self.newest = Some(self.newest.map_or(extended, |newest| newest.max(extended)));
        extended
    }

    /// Like [`unwrap`](Self::unwrap) but leaves no trace.
    pub fn peek(&self, timestamp: u32) -> i64 {
        match self.newest {
            None => i64::from(timestamp),
            Some(newest) => newest + i64::from(timestamp.wrapping_sub(newest as u32) as i32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_run_on_across_the_wrap() {
        let mut unwrapper = SequenceUnwrapper::new();
        assert_eq!(unwrapper.unwrap(65_534), Some(65_534));
        assert_eq!(unwrapper.unwrap(1), Some(65_537));
        assert_eq!(unwrapper.unwrap(65_535), Some(65_535));
        assert_eq!(unwrapper.unwrap(0), Some(65_536));
        assert_eq!(unwrapper.unwrap(2), Some(65_538));
    }

    #[test]
    fn one_stray_packet_does_not_move_the_stream_but_two_in_a_row_do() {
        let mut unwrapper = SequenceUnwrapper::new();
        unwrapper.unwrap(100);
        assert_eq!(unwrapper.unwrap(40_000), None);
        assert_eq!(unwrapper.unwrap(101), Some(101));
        assert_eq!(unwrapper.unwrap(40_000), None);
        let restarted = unwrapper.unwrap(40_001).unwrap();
        assert!(restarted > 101 + MAX_DROPOUT, "a restart lies ahead, never behind: {restarted}");
        assert_eq!(unwrapper.unwrap(40_002), Some(restarted + 1));
    }

    #[test]
    fn time_stamps_run_on_across_the_wrap() {
        let mut unwrapper = TimestampUnwrapper::new();
        let first = unwrapper.unwrap(u32::MAX - 959);
        assert_eq!(unwrapper.unwrap(0) - first, 960);
        assert_eq!(unwrapper.unwrap(u32::MAX - 959), first);
        assert_eq!(unwrapper.peek(960) - first, 1920);
    }
}
