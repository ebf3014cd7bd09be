//! How much sound waits between two clocks: as little as keeps it unbroken.
//!
//! One side writes in bursts (a device's callbacks, the engine's blocks), the
//! other reads on its own clock. What matters is the *lowest* fill seen after
//! a read: everything above that is delay for nothing, and zero is a gap. The
//! cushion aims that low-water mark at a margin, learns a larger margin from
//! each gap, and forgets it slowly. Small errors are left to the resampler
//! ([`Cushion::error`]); an excess beyond 10 ms is cut out at once.
//!
//! Pure arithmetic on sample counts: no ring, no clock, no allocation, so it
//! can run inside a device callback.

/// What to do for one read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing to play yet, or no longer: take nothing.
    Wait {
        /// This is the moment the sound broke off.
        broke: bool,
    },
    /// Throw `discard` samples away, then take what was asked for.
    Take {
        /// Samples of delay to remove.
        discard: usize,
        /// The sound was already playing: hide the cut.
        playing: bool,
    },
}

/// The fill controller of one ring.
pub(crate) struct Cushion {
    millisecond: usize,
    margin: usize,
    priming: bool,
    low: usize,
    window: usize,
    calm_seconds: u32,
    error: i32,
}

const START_MARGIN_MS: usize = 5;
const LEAST_MARGIN_MS: usize = 3;
const MOST_MARGIN_MS: usize = 60;
const GAP_LESSON_MS: usize = 5;
const CUT_ABOVE_MS: usize = 10;
/// Seconds without a gap after which a millisecond of margin is given back.
const CALM_SECONDS: u32 = 20;

impl Cushion {
    /// For samples at `rate` Hz.
    pub(crate) fn new(rate: u32) -> Self {
        let millisecond = (rate as usize / 1000).max(1);
        Self {
            millisecond,
            margin: START_MARGIN_MS * millisecond,
            priming: true,
            low: usize::MAX,
            window: 0,
            calm_seconds: 0,
            error: 0,
        }
    }

    /// Decides a read of `need` samples while `available` wait and the writer
    /// brings up to `burst` at a time.
    pub(crate) fn plan(&mut self, available: usize, need: usize, burst: usize) -> Plan {
        if self.priming {
            let goal = need + burst.saturating_sub(common(need, burst)) + self.margin;
            if available < goal {
                return Plan::Wait { broke: false };
            }
            self.priming = false;
            self.restart_window();
            return Plan::Take { discard: available - goal, playing: false };
        }
        if available < need {
            self.priming = true;
            self.calm_seconds = 0;
            self.margin =
                (self.margin + GAP_LESSON_MS * self.millisecond).min(MOST_MARGIN_MS * self.millisecond);
            return Plan::Wait { broke: true };
        }
        self.low = self.low.min(available - need);
        self.window += need;
        let discard = if self.window >= 1000 * self.millisecond { self.close_window() } else { 0 };
        Plan::Take { discard, playing: true }
    }

    /// The low-water mark of the last second above (+) or below (-) the margin, in samples.
    pub(crate) fn error(&self) -> i32 {
        self.error
    }

    fn close_window(&mut self) -> usize {
        let excess = self.low.saturating_sub(self.margin);
        self.error =
            i32::try_from(self.low).unwrap_or(i32::MAX) - i32::try_from(self.margin).unwrap_or(i32::MAX);
        self.calm_seconds += 1;
        if self.calm_seconds >= CALM_SECONDS {
            self.calm_seconds = 0;
            self.margin = (self.margin - self.millisecond).max(LEAST_MARGIN_MS * self.millisecond);
        }
        self.restart_window();
        if excess > CUT_ABOVE_MS * self.millisecond {
            self.error = 0;
            excess
        } else {
            0
        }
    }

    fn restart_window(&mut self) {
        self.low = usize::MAX;
        self.window = 0;
    }
}

/// The greatest common divisor: the deepest that reads and bursts of these sizes can drift apart is
/// their sum without it.
fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: usize = 48;

    /// Reads 10 ms at a time from a writer that brings `burst` samples at once.
    fn run(cushion: &mut Cushion, fill: &mut usize, burst: usize, seconds: usize) -> usize {
        let mut gaps = 0;
        let mut owed = 0;
        for _ in 0..seconds * 100 {
            owed += 480;
            while owed >= burst {
                owed -= burst;
                *fill += burst;
            }
            match cushion.plan(*fill, 480, burst) {
                Plan::Take { discard, .. } => *fill -= discard + 480,
                Plan::Wait { broke } => gaps += usize::from(broke),
            }
        }
        gaps
    }

    #[test]
    fn bursts_larger_than_a_read_never_break_the_sound() {
        for burst in [64, 441, 480, 960, 1024, 2048, 4410] {
            let mut fill = 0;
            let gaps = run(&mut Cushion::new(48_000), &mut fill, burst, 20);
            assert_eq!(gaps, 0, "bursts of {burst}");
            assert!(fill <= burst + 16 * MS, "bursts of {burst} leave {fill}");
        }
    }

    #[test]
    fn a_backlog_is_cut_to_the_margin_within_two_seconds() {
        let mut cushion = Cushion::new(48_000);
        let mut fill = 0;
        run(&mut cushion, &mut fill, 480, 1);
        fill += 200 * MS;
        let gaps = run(&mut cushion, &mut fill, 480, 2);
        assert_eq!(gaps, 0);
        assert!(fill <= 16 * MS, "{fill}");
    }

    #[test]
    fn a_gap_teaches_a_larger_margin_and_calm_gives_it_back() {
        let mut cushion = Cushion::new(48_000);
        let mut fill = 0;
        run(&mut cushion, &mut fill, 480, 1);
        fill = 0;
        assert_eq!(cushion.plan(fill, 480, 480), Plan::Wait { broke: true });
        assert_eq!(cushion.margin, 10 * MS);
        run(&mut cushion, &mut fill, 480, 300);
        assert_eq!(cushion.margin, 3 * MS);
    }

    #[test]
    fn the_error_says_which_way_to_steer() {
        let mut cushion = Cushion::new(48_000);
        let mut fill = 0;
        run(&mut cushion, &mut fill, 480, 2);
        assert_eq!(cushion.error(), 0);
        fill += 4 * MS;
        run(&mut cushion, &mut fill, 480, 2);
        assert_eq!(cushion.error(), 4 * 48);
    }
}
