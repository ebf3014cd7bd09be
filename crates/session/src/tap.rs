//! A look at media as it passes, for saving and measuring without a window.
//!
//! Called on media threads: an implementation must return quickly and never block.

use std::time::Instant;

use bedside_media::{
    audio::BLOCK,
    frame::{I420, VideoFrame},
};

/// Sees what is captured, what arrives and what is played. Every method does nothing unless overridden.
pub trait MediaTap: Send + Sync {
    /// A picture left the camera.
    fn captured_frame(&self, _frame: &VideoFrame) {}

    /// 10 ms of sound left the microphone, after processing.
    fn captured_audio(&self, _block: &[f32; BLOCK], _captured_at: Instant) {}

    /// An encoded picture arrived whole (an H.264 access unit, Annex B).
    fn received_access_unit(&self, _data: &[u8], _keyframe: bool) {}

    /// A picture was decoded.
    fn decoded_frame(&self, _image: &I420, _at: Instant) {}

    /// 10 ms of sound go to the speaker.
    fn played_audio(&self, _block: &[f32; BLOCK], _at: Instant) {}
}
