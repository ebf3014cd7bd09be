//! How old a remote picture is when it has been drawn: from the time stamp burned into it to the web view's
//! acknowledgement. For measuring only; pictures without a stamp are not counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bedside_media::{
    frame::I420,
    stamp::{self, Stamp},
};
use bedside_report::report::Percentiles;

/// More than are ever under way.
const MOST_WAITING: usize = 8;
/// An hour of pictures.
const MOST_AGES: usize = 108_000;

/// Ages of drawn pictures, in milliseconds.
#[derive(Default)]
pub struct DrawnAges(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: Vec<(u32, Stamp)>,
    ages_ms: Vec<f64>,
}

impl DrawnAges {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A picture was sent under this number.
    pub(crate) fn sent(&self, sequence: u32, image: &I420) {
        let Some(stamp) = stamp::read(image) else { return };
        let mut state = self.state();
        if state.waiting.len() >= MOST_WAITING {
            state.waiting.remove(0);
        }
        state.waiting.push((sequence, stamp));
    }

    /// It is on the screen.
    pub(crate) fn drawn(&self, sequence: u32) {
        let mut state = self.state();
        let Some(at) = state.waiting.iter().position(|(waiting, _)| *waiting == sequence) else { return };
        let (_, stamp) = state.waiting.remove(at);
        if state.ages_ms.len() < MOST_AGES {
            state.ages_ms.push(stamp.age_us() as f64 / 1000.0);
        }
    }

    /// How they are distributed.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        Percentiles::of(self.state().ages_ms.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stamped_pictures_that_were_drawn_count() {
        let ages = DrawnAges::default();
        let mut image = I420::new(640, 360);
        ages.sent(1, &image);
        ages.drawn(1);
        assert_eq!(ages.percentiles().p50, None);
        stamp::burn(&mut image, Stamp { counter: 1, time_us: stamp::now_us().saturating_sub(50_000) });
        ages.sent(2, &image);
        ages.drawn(2);
        ages.drawn(2);
        assert!(ages.percentiles().p95.is_some_and(|age| age >= 50.0), "{:?}", ages.percentiles());
    }
}
