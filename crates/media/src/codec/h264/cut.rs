//! Notices where a picture resembles nothing of the one before it: another camera, the light switched on. A keyframe
//! costs a quarter there of what predicting from the wrong picture costs, and that picture would be skipped.
//!
//! The library can look for this itself, over every pixel, for a twentieth of an encoder's work. A sample of the picture
//! says the same: of film at 30 pictures a second a tenth of it changes, at a cut more than two thirds.

use crate::frame::I420;

/// Between the places that are looked at, down and across, pixels.
const STEP: usize = 16;
/// What is looked at of each place is the mean of so many pixels beside one another: grain is no change.
const RUN: usize = 8;
/// From this difference on a place has changed, of 255.
const CHANGED: u16 = 8;
/// Not again before this, ms: a hand before the camera must not make every picture a keyframe.
const PAUSE_MS: u64 = 1000;

/// Remembers the picture before.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    before: Vec<u16>,
    now: Vec<u16>,
    last_ms: Option<u64>,
}

impl Cuts {
    /// Whether there is a cut before `image`, which is shown at `pts_ms`.
    pub(super) fn is_before(&mut self, image: &I420, pts_ms: u64) -> bool {
        let width = image.width() as usize;
        let lines = image.y().chunks_exact(width).skip(STEP / 2).step_by(STEP);
        self.now.clear();
        self.now.extend(lines.flat_map(|line| line.chunks_exact(RUN).step_by(STEP / RUN)).map(sum));
        std::mem::swap(&mut self.before, &mut self.now);
        let places = self.before.iter().zip(&self.now);
        let changed = places.filter(|(one, other)| one.abs_diff(**other) >= CHANGED * RUN as u16).count();
        let rested = self.last_ms.is_none_or(|last| pts_ms.saturating_sub(last) >= PAUSE_MS);
        let cut = rested && changed * 2 > self.before.len();
        if cut {
            self.last_ms = Some(pts_ms);
        }
        cut
    }
}

fn sum(run: &[u8]) -> u16 {
    run.iter().copied().map(u16::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(level: u8) -> I420 {
        let mut image = I420::new(320, 180);
        image.planes_mut().0.fill(level);
        image
    }

    #[test]
    fn the_first_picture_and_the_same_again_are_no_cut() {
        let mut cuts = Cuts::default();
        assert!((0..100).all(|n| !cuts.is_before(&grey(100), n * 33)));
    }

    #[test]
    fn grain_and_a_moving_hand_are_no_cut_and_the_light_is() {
        let mut cuts = Cuts::default();
        let mut image = grey(60);
        cuts.is_before(&image, 0);
        for (at, luma) in image.planes_mut().0.iter_mut().enumerate() {
            *luma += (at % 13) as u8;
        }
        assert!(!cuts.is_before(&image, 33), "grain");
        let hand = image.planes_mut().0.len() * 2 / 5;
        image.planes_mut().0[..hand].fill(200);
        assert!(!cuts.is_before(&image, 66), "a hand");
        assert!(cuts.is_before(&grey(180), 100), "light");
    }

    #[test]
    fn where_all_pictures_differ_there_is_a_cut_a_second() {
        let mut cuts = Cuts::default();
        let at: Vec<u64> = (0..90).map(|n| n * 33).collect();
        let found: Vec<u64> = at
            .into_iter()
            .filter(|ms| cuts.is_before(&grey(if ms % 2 == 0 { 30 } else { 200 }), *ms))
            .collect();
        assert_eq!(found, [33, 1056, 2079]);
    }
}
