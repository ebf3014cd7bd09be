//! The two small traits every microphone and speaker is used through, real or virtual.

use std::time::Instant;

use super::Block;

/// A source of blocks: a native device, a file, a tone, silence.
pub(crate) trait AudioInput: Send {
    /// Fills the next 10 ms and says when its first sample was captured.
    ///
    /// `tick` is the engine's schedule for this block. Never blocks: where nothing has
    /// come in yet, it fills silence.
    fn pull(&mut self, block: &mut Block, tick: Instant) -> Instant;
}

/// A sink of blocks: a native device, a file, nothing.
pub(crate) trait AudioOutput: Send {
    /// Takes the next 10 ms. Never blocks: what does not fit is dropped.
    fn push(&mut self, block: &Block);
}

/// One end that the engine's thread takes over.
pub(crate) enum Endpoint {
    /// A microphone.
    Input(Box<dyn AudioInput>),
    /// A speaker.
    Output(Box<dyn AudioOutput>),
}
