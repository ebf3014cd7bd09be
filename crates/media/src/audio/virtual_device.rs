//! Microphones and speakers that need no hardware; equal citizens, paced by the engine's tick.

use std::time::Instant;

use super::device::{AudioInput, AudioOutput};
use super::ticker::PERIOD;
use super::wav::{Loop, WavWriter};
use super::{BLOCK, Block, tone_sample};

/// The time of a block's first sample: a block is whole when its last one has been captured.
fn first_sample(tick: Instant) -> Instant {
    tick.checked_sub(PERIOD).unwrap_or(tick)
}

/// Plays [`tone_sample`].
#[derive(Default)]
pub(crate) struct Tone {
    at: u64,
}

impl AudioInput for Tone {
    fn pull(&mut self, block: &mut Block, tick: Instant) -> Instant {
        for (index, sample) in (self.at..).zip(block.iter_mut()) {
            *sample = tone_sample(index);
        }
        self.at += BLOCK as u64;
        first_sample(tick)
    }
}

/// Says nothing.
pub(crate) struct Silence;

impl AudioInput for Silence {
    fn pull(&mut self, block: &mut Block, tick: Instant) -> Instant {
        block.fill(0.0);
        first_sample(tick)
    }
}

impl AudioInput for Loop {
    fn pull(&mut self, block: &mut Block, tick: Instant) -> Instant {
        self.fill(block);
        first_sample(tick)
    }
}

/// Takes everything and keeps nothing.
pub(crate) struct Null;

impl AudioOutput for Null {
    fn push(&mut self, _: &Block) {}
}

impl AudioOutput for WavWriter {
    fn push(&mut self, block: &Block) {
        self.write(block);
    }
}
