//! Keeps sound and picture together by the other side's own clock.
//!
//! Sender reports say which wall-clock instant an RTP time stamp stands for, for sound and picture apart; what is
//! played and shown is compared on that clock.

use std::time::{Duration, Instant};

use bedside_flow::clock::{LipSync, NtpTime, RtpClock};

use crate::peer::MediaKind;

pub(super) struct Lips {
    sound: RtpClock,
    picture: RtpClock,
    sync: LipSync,
}

impl Lips {
    pub(super) fn new() -> Self {
        Self {
            sound: RtpClock::new(MediaKind::Audio.clock_rate()),
            picture: RtpClock::new(MediaKind::Video.clock_rate()),
            sync: LipSync::new(),
        }
    }

    /// The other side's clock, of one stream.
    pub(super) fn sender_report(&mut self, kind: MediaKind, ntp: u64, rtp: u32) {
        match kind {
            MediaKind::Audio => self.sound.on_sender_report(NtpTime(ntp), rtp),
            MediaKind::Video => self.picture.on_sender_report(NtpTime(ntp), rtp),
        }
    }

    /// The sample of this time stamp goes to the speaker now.
    pub(super) fn playing(&mut self, now: Instant, timestamp: u32) {
        if let Some(captured) = self.sound.capture_time(timestamp) {
            self.sync.on_audio(now, captured);
        }
    }

    /// The picture of this time stamp was shown.
    pub(super) fn shown(&mut self, at: Instant, timestamp: u32) {
        if let Some(captured) = self.picture.capture_time(timestamp) {
            self.sync.on_video(at, captured);
        }
    }

    /// How long sound has to wait beyond what the network makes it wait.
    pub(super) fn audio_delay(&self) -> Duration {
        self.sync.audio_delay()
    }

    /// How long pictures have to wait before they are shown.
    pub(super) fn video_delay(&self) -> Duration {
        self.sync.video_delay()
    }
}
