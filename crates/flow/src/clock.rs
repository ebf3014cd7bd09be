//! One clock for sound and picture: the sender's, from its reports (RFC 3550 §6.4.1), and how far apart the two
//! are when they reach a person.

use std::time::{Duration, Instant};

/// A moment of the sender's wall clock: NTP's 32.32 fixed point, seconds since 1900 (RFC 5905 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Seconds from `earlier` to `self`, negative if it lies after; right across the wrap of 2036.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.wrapping_sub(earlier.0) as i64 as f64 / 2f64.powi(32)
    }

    /// This moment moved by `seconds`.
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self(self.0.wrapping_add_signed((seconds * 2f64.powi(32)) as i64))
    }
}

/// Maps one stream's RTP time stamps to the sender's wall clock.
#[derive(Clone, Debug)]
pub struct RtpClock {
    rate: f64,
    report: Option<(NtpTime, u32)>,
}

impl RtpClock {
    /// A clock of `rate` ticks per second: 90,000 for video, 48,000 for Opus.
    pub fn new(rate: u32) -> Self {
        Self { rate: f64::from(rate.max(1)), report: None }
    }

    /// Takes a sender report's two readings of the same moment.
    pub fn on_sender_report(&mut self, ntp: NtpTime, rtp: u32) {
        self.report = Some((ntp, rtp));
    }

    /// When `timestamp` was captured, once there was a report.
    pub fn capture_time(&self, timestamp: u32) -> Option<NtpTime> {
        let (ntp, rtp) = self.report?;
        let ticks = timestamp.wrapping_sub(rtp) as i32;
        Some(ntp.plus_seconds(f64::from(ticks) / self.rate))
    }
}

/// Inside this nobody notices, s; nothing is changed (ITU-R BT.1359 allows +45 −125 ms).
const UNNOTICED: f64 = 0.020;
/// Weight of a new measurement.
const WEIGHT: f64 = 0.1;
/// Share of the offset that is corrected at a time, so that the ear hears no jump.
const STEP_SHARE: f64 = 0.5;
/// Largest correction at a time, s.
const STEP_MOST: f64 = 0.040;
/// Corrections are this far apart: time for the playout to follow.
const STEP_EVERY: Duration = Duration::from_millis(500);
/// Neither is ever held back longer than this, s.
const MOST_DELAY: f64 = 0.400;
/// An offset beyond this is a broken report, s.
const NONSENSE: f64 = 5.0;

/// Keeps sound and picture within ±45 ms of each other by holding back whichever is early.
///
/// Tell it what is played and shown, then obey [`audio_delay`](Self::audio_delay) and
/// [`video_delay`](Self::video_delay). Only one of them is ever above zero.
#[derive(Debug, Default)]
pub struct LipSync {
    /// The latest sound: when it was heard, and how long after its capture by the sender's clock (an unknown
    /// constant apart, the same for both).
    sound: Option<(Instant, NtpTime)>,
    /// Smoothed: how much later the picture comes than its sound, s.
    offset: Option<f64>,
    /// What holds sound (positive) or picture (negative) back, s.
    held: f64,
    stepped_at: Option<Instant>,
}

impl LipSync {
    /// A synchroniser that holds nothing back.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sound captured at `captured` is heard at `now` (add the sound card's delay).
    pub fn on_audio(&mut self, now: Instant, captured: NtpTime) {
        self.sound = Some((now, captured));
    }

    /// The picture captured at `captured` is shown at `now`.
    pub fn on_video(&mut self, now: Instant, captured: NtpTime) {
        let Some((heard, sound)) = self.sound else { return };
        let apart = match now.checked_duration_since(heard) {
            Some(after) => after.as_secs_f64(),
            None => -heard.saturating_duration_since(now).as_secs_f64(),
        };
        let offset = apart - captured.seconds_since(sound);
        if offset.abs() > NONSENSE || apart.abs() > 1.0 {
            return;
        }
        let smooth = self.offset.map_or(offset, |old| old + (offset - old) * WEIGHT);
        self.offset = Some(smooth);
        self.correct(now, smooth);
    }

    /// How much later the picture comes than its sound, ms; negative if it comes earlier.
    #[cfg(test)]
    fn offset_ms(&self) -> Option<f64> {
        self.offset.map(|seconds| seconds * 1e3)
    }

    /// How long sound has to wait beyond what the network makes it wait.
    pub fn audio_delay(&self) -> Duration {
        Duration::from_secs_f64(self.held.max(0.0))
    }

    /// How long pictures have to wait before they are shown.
    pub fn video_delay(&self) -> Duration {
        Duration::from_secs_f64((-self.held).max(0.0))
    }

    fn correct(&mut self, now: Instant, offset: f64) {
        if offset.abs() <= UNNOTICED || self.stepped_at.is_some_and(|at| now < at + STEP_EVERY) {
            return;
        }
        let step = (offset * STEP_SHARE).clamp(-STEP_MOST, STEP_MOST);
        // What one of them is held back is taken off before the other is held back.
        self.held = (self.held + step).clamp(-MOST_DELAY, MOST_DELAY);
        self.stepped_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const NOON: NtpTime = NtpTime(0xe000_0000_8000_0000);

    #[test]
    fn time_stamps_become_wall_clock_across_the_wrap() {
        let mut clock = RtpClock::new(90_000);
        assert_eq!(clock.capture_time(5), None);
        clock.on_sender_report(NOON, u32::MAX - 44_999);
        let half_later = clock.capture_time(0).unwrap();
        assert!((half_later.seconds_since(NOON) - 0.5).abs() < 1e-6);
        let earlier = clock.capture_time(u32::MAX - 134_999).unwrap();
        assert!((earlier.seconds_since(NOON) + 1.0).abs() < 1e-6);
    }

    /// Plays `seconds` of a call whose network delays differ; the offset at the end, ms.
    fn play(sync: &mut LipSync, sound_ms: f64, picture_ms: f64, seconds: u32) -> f64 {
        let start = testing::start();
        for tick in 0..seconds * 30 {
            let capture = f64::from(tick) / 30.0;
            let at = |delay_ms: f64, held: Duration| {
                start + Duration::from_secs_f64(1.0 + capture + delay_ms / 1e3) + held
            };
            sync.on_audio(at(sound_ms, sync.audio_delay()), NOON.plus_seconds(capture));
            sync.on_video(at(picture_ms, sync.video_delay()), NOON.plus_seconds(capture));
        }
        sync.offset_ms().unwrap()
    }

    #[test]
    fn sound_waits_for_a_late_picture() {
        let mut sync = LipSync::new();
        let offset = play(&mut sync, 40.0, 240.0, 15);
        assert!(offset.abs() < 45.0, "{offset}");
        assert!(sync.audio_delay() > Duration::from_millis(150));
        assert_eq!(sync.video_delay(), Duration::ZERO);
    }

    #[test]
    fn the_picture_waits_for_late_sound() {
        let mut sync = LipSync::new();
        let offset = play(&mut sync, 200.0, 20.0, 15);
        assert!(offset.abs() < 45.0, "{offset}");
        assert!(sync.video_delay() > Duration::from_millis(130));
    }

    #[test]
    fn what_nobody_notices_is_left_alone_and_nonsense_too() {
        let mut sync = LipSync::new();
        play(&mut sync, 40.0, 58.0, 5);
        assert_eq!((sync.audio_delay(), sync.video_delay()), (Duration::ZERO, Duration::ZERO));
        let mut sync = LipSync::new();
        sync.on_audio(testing::start(), NOON);
        sync.on_video(testing::start(), NOON.plus_seconds(4000.0));
        assert_eq!(sync.offset_ms(), None);
    }
}
