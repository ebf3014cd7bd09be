//! Codecs: H.264 for pictures, Opus for speech. Encoders and decoders only; when to send a keyframe or at which rate is
//! decided by their callers.

pub mod h264;
pub mod opus;

use bytes::Bytes;

use crate::frame::I420;

/// Why a codec refused its input or its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The codec library did not start, or refused a setting: report it, there is no other codec to try.
    #[error("the codec could not be set up: {0}")]
    Setup(String),
    /// An image or block of another size than the encoder was made for: make another encoder.
    #[error("the encoder was made for {expected_width}×{expected_height}, not {width}×{height}")]
    Size {
        /// Width the encoder was made for, in pixels.
        expected_width: u32,
        /// Height the encoder was made for, in pixels.
        expected_height: u32,
        /// Width of the image offered, in pixels.
        width: u32,
        /// Height of the image offered, in pixels.
        height: u32,
    },
    /// The encoder failed on this frame: make a new one.
    #[error("the frame could not be encoded: {0}")]
    Encode(String),
    /// The data is damaged, or refers to frames that were lost: ask for a keyframe and go on.
    #[error("the data could not be decoded: {0}")]
    Decode(String),
}

/// One compressed frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFrame {
    /// An H.264 access unit in Annex B form (start codes included).
    pub data: Bytes,
    /// Whether decoding can start here: an IDR with its parameter sets.
    pub keyframe: bool,
}

/// A video encoder for one live stream. OpenH264 is the one in use; hardware encoders fit behind it.
pub trait VideoEncoder: Send {
    /// Compresses one image. `pts_ms` is its capture time in milliseconds on any clock that only goes
    /// forward. Answers `None` when the rate control dropped the frame.
    ///
    /// # Errors
    /// [`CodecError::Size`] when the image is not of the configured size, [`CodecError::Encode`] when the
    /// encoder failed.
    fn encode(
        &mut self,
        image: &I420,
        pts_ms: u64,
        force_keyframe: bool,
    ) -> Result<Option<EncodedFrame>, CodecError>;

    /// Changes the target bitrate, in bits per second, from the next frame on.
    ///
    /// # Errors
    /// [`CodecError::Setup`] when the encoder refuses it.
    fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), CodecError>;

    /// Changes the frame rate the bits are shared out for, in frames per second, from the next frame on.
    ///
    /// # Errors
    /// [`CodecError::Setup`] when the encoder refuses it.
    fn set_frame_rate(&mut self, fps: u32) -> Result<(), CodecError>;
}
