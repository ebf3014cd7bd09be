//! The quality ladder: what to send at a given bandwidth. Down fast, up slowly.
//!
//! Sound always comes first; the picture shrinks, then goes, and comes back by itself. A climb that fails soon
//! makes the next one wait twice as long, so that the picture does not pump.

use std::time::{Duration, Instant};

use crate::units::DataRate;

/// The largest picture to encode; a picture of other proportions is fitted inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoShape {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures per second.
    pub fps: u32,
}

/// The rungs, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// Less than sound needs. It is sent all the same: the other side would take silence for a lost path.
    TextOnly,
    /// Sound without picture.
    AudioOnly,
    /// 320 × 180 at 10.
    P180,
    /// 640 × 360 at 20.
    P360,
    /// 960 × 540 at 30.
    P540,
    /// 1280 × 720 at 30.
    P720,
    /// 1920 × 1080 at 30.
    P1080,
}

impl Rung {
    /// All rungs, lowest first.
    pub const ALL: [Self; 7] =
        [Self::TextOnly, Self::AudioOnly, Self::P180, Self::P360, Self::P540, Self::P720, Self::P1080];

    /// The picture, if there is one.
    pub const fn video(self) -> Option<VideoShape> {
        let (width, height, fps) = match self {
            Self::TextOnly | Self::AudioOnly => return None,
            Self::P180 => (320, 180, 10),
            Self::P360 => (640, 360, 20),
            Self::P540 => (960, 540, 30),
            Self::P720 => (1280, 720, 30),
            Self::P1080 => (1920, 1080, 30),
        };
        Some(VideoShape { width, height, fps })
    }

    /// The bandwidth below which the rung is left, sound included.
    pub const fn floor(self) -> DataRate {
        DataRate::from_kbps(match self {
            Self::TextOnly => 0,
            Self::AudioOnly => 12,
            Self::P180 => 80,
            Self::P360 => 220,
            Self::P540 => 480,
            Self::P720 => 850,
            Self::P1080 => 2500,
        })
    }

    /// The bandwidth from which the rung is climbed to: a quarter above its floor.
    pub fn ceiling_of_below(self) -> DataRate {
        self.floor().scaled(1.25)
    }

    fn above(self) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| *rung > self)
    }

    fn best_for(target: DataRate) -> Self {
        Self::ALL.into_iter().rev().find(|rung| rung.floor() <= target).unwrap_or(Self::TextOnly)
    }
}

/// How a target divides between sound and picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// For the Opus encoder, without packet headers.
    pub audio: DataRate,
    /// For the video encoder, without packet headers; zero without picture.
    pub video: DataRate,
}

/// What packet headers cost per stream of 50 packets a second: RTP, extensions, SRTP, UDP, IP.
const AUDIO_OVERHEAD: DataRate = DataRate::from_bps(24_000);
/// Share of the video rate that its packets' headers take.
const VIDEO_OVERHEAD: f64 = 0.06;
/// Too little for this long, and the picture shrinks.
const DOWN_AFTER: Duration = Duration::from_millis(400);
/// Enough for this long, and it grows by one rung.
const UP_AFTER: Duration = Duration::from_secs(4);
/// … after failed climbs, for this long at the most.
const UP_AFTER_MOST: Duration = Duration::from_secs(60);
/// A climb that has to be taken back within this was a failure.
const FAILED_WITHIN: Duration = Duration::from_secs(10);

/// Where on the ladder one sender stands. Ask [`update`](Self::update) a few times a second.
#[derive(Debug)]
pub struct Ladder {
    rung: Rung,
    highest: Rung,
    short_since: Option<Instant>,
    ample_since: Option<Instant>,
    climbed_at: Option<Instant>,
    patience: Duration,
}

impl Ladder {
    /// A ladder that starts where `target` allows, never above `highest` (what is of use).
    pub fn new(target: DataRate, highest: Rung) -> Self {
        Self {
            rung: Rung::best_for(target).min(highest),
            highest,
            short_since: None,
            ample_since: None,
            climbed_at: None,
            patience: UP_AFTER,
        }
    }

    /// The present rung.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Judges the present target. The new rung, if it changed.
    pub fn update(&mut self, now: Instant, target: DataRate) -> Option<Rung> {
        let before = self.rung;
        if target < self.rung.floor() {
            self.ample_since = None;
            if now >= *self.short_since.get_or_insert(now) + DOWN_AFTER {
                self.step_down(now, target);
            }
        } else {
            self.short_since = None;
            self.consider_climbing(now, target);
        }
        (self.rung != before).then_some(self.rung)
    }

    /// Divides `target` for the present rung. Sound gets 32 kbit/s where there is room, 12 at the least.
    pub fn allocate(&self, target: DataRate) -> Allocation {
        let least = DataRate::from_kbps(12);
        let room = target - AUDIO_OVERHEAD;
        let audio = match self.rung {
            Rung::TextOnly | Rung::AudioOnly => room.clamp(least, DataRate::from_kbps(32)),
            Rung::P180 => DataRate::from_kbps(20),
            Rung::P360 | Rung::P540 | Rung::P720 | Rung::P1080 => DataRate::from_kbps(32),
        };
        let rest = (target - audio - AUDIO_OVERHEAD).scaled(1.0 - VIDEO_OVERHEAD);
        let video =
            if self.rung.video().is_some() { rest.max(DataRate::from_kbps(30)) } else { DataRate::ZERO };
        Allocation { audio, video }
    }

    fn step_down(&mut self, now: Instant, target: DataRate) {
        self.rung = Rung::best_for(target).min(self.highest);
        self.short_since = None;
        if self.climbed_at.take().is_some_and(|at| now < at + FAILED_WITHIN) {
            self.patience = (self.patience * 2).min(UP_AFTER_MOST);
        }
    }

    fn consider_climbing(&mut self, now: Instant, target: DataRate) {
        if self.climbed_at.is_some_and(|at| now >= at + FAILED_WITHIN) {
            self.climbed_at = None;
            self.patience = UP_AFTER.max(self.patience / 2);
        }
        let next = self.rung.above().filter(|next| *next <= self.highest);
        let Some(next) = next.filter(|next| target >= next.ceiling_of_below()) else {
            self.ample_since = None;
            return;
        };
        if now >= *self.ample_since.get_or_insert(now) + self.patience {
            self.rung = next;
            self.ample_since = None;
            self.climbed_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    struct Climber {
        now: Instant,
        ladder: Ladder,
    }

    impl Climber {
        fn new(kbps: u64) -> Self {
            Self { now: testing::start(), ladder: Ladder::new(DataRate::from_kbps(kbps), Rung::P720) }
        }

        /// Holds a target for so many tenths of a second; the rungs passed through.
        fn hold(&mut self, kbps: u64, tenths: u32) -> Vec<Rung> {
            let mut rungs = Vec::new();
            for _ in 0..tenths {
                rungs.extend(self.ladder.update(self.now, DataRate::from_kbps(kbps)));
                self.now += Duration::from_millis(100);
            }
            rungs
        }
    }

    #[test]
    fn the_first_picture_is_720p() {
        assert_eq!(Climber::new(1500).ladder.rung(), Rung::P720);
    }

    #[test]
    fn a_collapse_is_followed_in_half_a_second_in_one_step() {
        let mut climber = Climber::new(1500);
        assert_eq!(climber.hold(100, 5), [Rung::P180]);
    }

    #[test]
    fn a_short_dip_changes_nothing() {
        let mut climber = Climber::new(1500);
        assert!(climber.hold(700, 3).is_empty());
        assert!(climber.hold(1200, 3).is_empty());
        assert!(climber.hold(700, 3).is_empty());
    }

    #[test]
    fn recovery_takes_one_rung_at_a_time() {
        let mut climber = Climber::new(60);
        assert_eq!(climber.ladder.rung(), Rung::AudioOnly);
        assert_eq!(climber.hold(1500, 100), [Rung::P180, Rung::P360]);
        assert_eq!(climber.hold(1500, 100), [Rung::P540, Rung::P720]);
    }

    #[test]
    fn just_enough_for_a_rung_keeps_it_but_does_not_climb_to_it() {
        let mut climber = Climber::new(900);
        assert!(climber.hold(860, 100).is_empty());
        climber.hold(600, 5);
        assert!(climber.hold(900, 200).is_empty());
        assert_eq!(climber.ladder.rung(), Rung::P540);
    }

    #[test]
    fn failed_climbs_become_rarer() {
        let mut climber = Climber::new(600);
        let mut climbs = 0;
        for _ in 0..1200 {
            let kbps = if climber.ladder.rung() == Rung::P720 { 600 } else { 1200 };
            climbs += climber.hold(kbps, 1).iter().filter(|rung| **rung == Rung::P720).count();
        }
        assert!((2..=5).contains(&climbs), "{climbs} climbs in two minutes");
    }

    #[test]
    fn sound_comes_first() {
        let share = |kbps: u64| {
            Ladder::new(DataRate::from_kbps(kbps), Rung::P720).allocate(DataRate::from_kbps(kbps))
        };
        assert_eq!(share(1500).audio, DataRate::from_kbps(32));
        assert!(share(1500).video > DataRate::from_kbps(1300));
        assert_eq!(share(60), Allocation { audio: DataRate::from_kbps(32), video: DataRate::ZERO });
        assert_eq!(share(20), Allocation { audio: DataRate::from_kbps(12), video: DataRate::ZERO });
        assert_eq!(share(5), Allocation { audio: DataRate::from_kbps(12), video: DataRate::ZERO });
    }
}
