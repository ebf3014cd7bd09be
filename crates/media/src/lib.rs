//! Devices, codecs and pixels: what turns a lens and a microphone into compressed frames and back.
//!
//! Everything here runs on named operating-system threads or on the caller's own; nothing here knows about
//! networks, calls or users. Frames are I420 (BT.601, limited range) from the camera to the codec and from
//! the codec to the screen; audio is mono `f32` at 48 kHz.
//!
//! This is the only crate of the workspace with `unsafe` code, and that only where a codec's C interface has
//! no safe wrapper.

pub mod audio;
pub mod camera;
pub mod codec;
pub mod frame;
pub mod pixels;
pub mod scale;
pub mod stamp;
