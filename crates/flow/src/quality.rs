//! How good a call is, in a word, for sound and picture apart.
//!
//! Each second's figures are graded one by one, and the worst grade counts: bad sound is not made good by a low
//! round trip. A class falls after two bad seconds and rises after five good ones. Bandwidth is no figure of its
//! own here: what it costs shows in the picture's size and rate, and a capped call on a wide line is not poor.

/// Sound or picture, in a word; worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QualityClass {
    /// Hard to follow.
    Poor,
    /// Usable, with effort.
    Fair,
    /// Small flaws.
    Good,
    /// Nothing to notice.
    Excellent,
}

/// One second of received sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AudioSecond {
    /// Share of packets lost, 0..=1.
    pub loss: f32,
    /// Round trip, ms.
    pub rtt_ms: f32,
    /// Interarrival jitter, ms.
    pub jitter_ms: f32,
    /// Share of the sound that was made up, 0..=1.
    pub concealed: f32,
}

/// One second of received picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoSecond {
    /// Share of packets lost, 0..=1.
    pub loss: f32,
    /// Round trip, ms.
    pub rtt_ms: f32,
    /// Height of the picture, pixels (the shorter side if it stands upright).
    pub height: u32,
    /// Pictures decoded.
    pub fps: f32,
    /// How long it stood still, ms.
    pub frozen_ms: f32,
}

/// Grades by three limits: excellent, good and fair up to them, poor beyond. NaN is poor.
fn up_to(figure: f32, [excellent, good, fair]: [f32; 3]) -> QualityClass {
    if figure <= excellent {
        QualityClass::Excellent
    } else if figure <= good {
        QualityClass::Good
    } else if figure <= fair {
        QualityClass::Fair
    } else {
        QualityClass::Poor
    }
}

/// Grades by three limits from below. NaN is poor.
fn at_least(figure: f32, limits: [f32; 3]) -> QualityClass {
    up_to(-figure, limits.map(|limit| -limit))
}

/// Loss: the specification's 2 % and 5 %, and half of the first for "nothing to notice".
const LOSS: [f32; 3] = [0.01, 0.02, 0.05];
/// Round trip, ms: the specification's 100 and 200.
const RTT_MS: [f32; 3] = [100.0, 120.0, 200.0];

impl AudioSecond {
    /// The class of this second alone.
    pub fn class(&self) -> QualityClass {
        up_to(self.loss, LOSS)
            .min(up_to(self.rtt_ms, RTT_MS))
            .min(up_to(self.jitter_ms, [20.0, 40.0, 80.0]))
            .min(up_to(self.concealed, [0.01, 0.03, 0.08]))
    }
}

impl VideoSecond {
    /// The class of this second alone.
    pub fn class(&self) -> QualityClass {
        up_to(self.loss, LOSS)
            .min(up_to(self.rtt_ms, RTT_MS))
            .min(at_least(self.height as f32, [720.0, 540.0, 360.0]))
            .min(at_least(self.fps, [24.0, 18.0, 12.0]))
            .min(up_to(self.frozen_ms, [0.0, 200.0, 500.0]))
    }
}

/// Worse seconds in a row until the class falls.
const FALL_AFTER: u32 = 2;
/// Better seconds in a row until it rises.
const RISE_AFTER: u32 = 5;

/// Steadies the classes of single seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steady {
    shown: Option<QualityClass>,
    worse: u32,
    better: u32,
    /// The mildest change that the present run of seconds asks for.
    candidate: Option<QualityClass>,
}

impl Steady {
    /// No class yet; the first second sets it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a second's class; the class to show.
    pub fn update(&mut self, second: QualityClass) -> QualityClass {
        let Some(shown) = self.shown else {
            self.shown = Some(second);
            return second;
        };
        if second < shown {
            let mildest =
                if self.worse > 0 { self.candidate.map_or(second, |old| old.max(second)) } else { second };
            (self.worse, self.better, self.candidate) = (self.worse + 1, 0, Some(mildest));
        } else if second > shown {
            let mildest =
                if self.better > 0 { self.candidate.map_or(second, |old| old.min(second)) } else { second };
            (self.worse, self.better, self.candidate) = (0, self.better + 1, Some(mildest));
        } else {
            (self.worse, self.better, self.candidate) = (0, 0, None);
        }
        if self.worse >= FALL_AFTER || self.better >= RISE_AFTER {
            let class = self.candidate.unwrap_or(second);
            *self = Self { shown: Some(class), ..Self::default() };
            return class;
        }
        shown
    }

    /// The class shown now.
    pub fn class(&self) -> Option<QualityClass> {
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::QualityClass::{Excellent, Fair, Good, Poor};
    use super::*;

    const SOUND: AudioSecond = AudioSecond { loss: 0.0, rtt_ms: 40.0, jitter_ms: 3.0, concealed: 0.0 };
    const PICTURE: VideoSecond =
        VideoSecond { loss: 0.0, rtt_ms: 40.0, height: 720, fps: 30.0, frozen_ms: 0.0 };

    #[test]
    fn the_specifications_thresholds_hold() {
        assert_eq!(SOUND.class(), Excellent);
        assert_eq!(AudioSecond { loss: 0.019, ..SOUND }.class(), Good);
        assert_eq!(AudioSecond { loss: 0.03, ..SOUND }.class(), Fair);
        assert_eq!(AudioSecond { loss: 0.06, ..SOUND }.class(), Poor);
        assert_eq!(AudioSecond { rtt_ms: 150.0, ..SOUND }.class(), Fair);
        assert_eq!(AudioSecond { rtt_ms: 250.0, ..SOUND }.class(), Poor);
        assert_eq!(AudioSecond { loss: f32::NAN, ..SOUND }.class(), Poor);
    }

    #[test]
    fn a_small_slow_or_frozen_picture_is_not_excellent() {
        assert_eq!(PICTURE.class(), Excellent);
        assert_eq!(VideoSecond { height: 540, ..PICTURE }.class(), Good);
        assert_eq!(VideoSecond { height: 360, fps: 20.0, ..PICTURE }.class(), Fair);
        assert_eq!(VideoSecond { height: 180, fps: 10.0, ..PICTURE }.class(), Poor);
        assert_eq!(VideoSecond { frozen_ms: 400.0, ..PICTURE }.class(), Fair);
    }

    #[test]
    fn one_bad_second_is_forgiven_and_two_are_not() {
        let mut steady = Steady::new();
        let shown: Vec<_> =
            [Excellent, Poor, Excellent, Poor, Fair, Fair].map(|second| steady.update(second)).into();
        assert_eq!(shown, [Excellent, Excellent, Excellent, Excellent, Fair, Fair]);
    }

    #[test]
    fn praise_takes_five_good_seconds_and_goes_as_far_as_the_worst_of_them() {
        let mut steady = Steady::new();
        steady.update(Poor);
        let shown: Vec<_> =
            [Excellent, Excellent, Good, Excellent, Excellent].map(|second| steady.update(second)).into();
        assert_eq!(shown, [Poor, Poor, Poor, Poor, Good]);
    }
}
