//! How good a call is, and was, in a word.

use std::collections::BTreeMap;

use bedside_protocol::{CallPhase, quality::QualityClass};

/// The seconds of a call by their class.
#[derive(Default)]
pub(in crate::engine) struct Quality {
    now: Option<QualityClass>,
    /// The worst first.
    seconds: BTreeMap<QualityClass, u32>,
}

impl Quality {
    /// One more second: the worse of what was heard and seen counts.
    pub(super) fn note(&mut self, sound: Option<QualityClass>, picture: Option<QualityClass>) {
        self.now = sound.into_iter().chain(picture).min();
        if let Some(class) = self.now {
            *self.seconds.entry(class).or_default() += 1;
        }
    }

    /// The call as it is, or was. Three quarters of a call that was good were good at least: a bad quarter is what one
    /// remembers, a bad moment is not.
    pub(in crate::engine) fn word(&self, phase: CallPhase) -> Option<QualityClass> {
        if !phase.is_final() {
            return self.now;
        }
        let all: u32 = self.seconds.values().sum();
        let mut so_far = 0;
        self.seconds.iter().find_map(|(&class, seconds)| {
            so_far += seconds;
            (so_far * 4 > all).then_some(class)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(seconds: &[(QualityClass, u32)]) -> Quality {
        let mut quality = Quality::default();
        for (class, times) in seconds {
            (0..*times).for_each(|_| quality.note(Some(QualityClass::Excellent), Some(*class)));
        }
        quality
    }

    #[test]
    fn the_worse_of_sound_and_picture_counts_and_what_is_not_there_does_not() {
        let mut quality = Quality::default();
        assert_eq!(quality.word(CallPhase::Connected), None);
        quality.note(Some(QualityClass::Good), None);
        assert_eq!(quality.word(CallPhase::Connected), Some(QualityClass::Good));
        quality.note(Some(QualityClass::Good), Some(QualityClass::Poor));
        assert_eq!(quality.word(CallPhase::Connected), Some(QualityClass::Poor));
    }

    #[test]
    fn a_call_that_is_over_is_called_by_the_whole_of_it() {
        use QualityClass::{Excellent, Fair, Good, Poor};
        let was = |seconds: &[_]| call(seconds).word(CallPhase::Ended);
        assert_eq!(was(&[]), None, "nobody was connected");
        assert_eq!(was(&[(Excellent, 90), (Poor, 10)]), Some(Excellent), "a bad moment at the end");
        assert_eq!(was(&[(Excellent, 60), (Poor, 40)]), Some(Poor));
        assert_eq!(was(&[(Excellent, 60), (Good, 15), (Fair, 15), (Poor, 10)]), Some(Good));
    }
}
