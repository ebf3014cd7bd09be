//! The decoder: whole access units in, pictures out at once (baseline has no reordering). Whatever arrives,
//! damaged or hostile, the answer is a picture, nothing, or an error.

use openh264::decoder::{DecodeOptions, Decoder as Library, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use super::library;
use crate::codec::CodecError;
use crate::frame::{FramePool, I420, MAX_SIDE};

/// Larger access units than this are not video of any size we decode.
const MAX_ACCESS_UNIT_BYTES: usize = 16 << 20;

/// An H.264 decoder for one stream.
pub struct Decoder {
    library: Library,
    pool: FramePool,
}

impl Decoder {
    /// A decoder. It shows no damaged pictures: the library's concealment stays off, since a smeared face is
    /// worse in a consultation than one that stands still until the keyframe that is asked for at once.
    ///
    /// # Errors
    /// [`CodecError::Setup`] when the library can't be loaded.
    pub fn new() -> Result<Self, CodecError> {
        // One thread (the wrapper's default): more crash the library.
        let settings = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let library = Library::with_api_config(library::load()?, settings)
            .map_err(|error| CodecError::Setup(error.to_string()))?;
        Ok(Self { library, pool: FramePool::new() })
    }

    /// Decodes one access unit in Annex B form. `None` when it holds no complete picture (parameter sets
    /// alone, say).
    ///
    /// # Errors
    /// [`CodecError::Decode`] when the data is damaged or refers to pictures that were lost. The decoder can
    /// be used on; it recovers at the next keyframe.
    pub fn decode(&mut self, annex_b: &[u8]) -> Result<Option<I420>, CodecError> {
        if annex_b.is_empty() || annex_b.len() > MAX_ACCESS_UNIT_BYTES {
            // An empty input would mean "end of stream" to the library.
            return Err(CodecError::Decode(format!("an access unit of {} bytes", annex_b.len())));
        }
        let options = DecodeOptions::new().flush_after_decode(Flush::NoFlush);
        let decoded = self
            .library
            .decode_with_options(annex_b, options)
            .map_err(|error| CodecError::Decode(format!("code {}", error.native_code())))?;
        decoded.map(|picture| copy(&picture, &self.pool)).transpose()
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

/// Takes the picture out of the library's padded buffers, which the next call reuses.
fn copy(picture: &impl YUVSource, pool: &FramePool) -> Result<I420, CodecError> {
    let (width, height) = picture.dimensions();
    let side = 2..=MAX_SIDE as usize;
    if !side.contains(&width) || !side.contains(&height) {
        return Err(CodecError::Decode(format!("a picture of {width}×{height}")));
    }
    let mut image = pool.take(width as u32, height as u32);
    let width = image.width() as usize;
    let strides = picture.strides();
    let (y, u, v) = image.planes_mut();
    copy_plane(picture.y(), strides.0, y, width);
    copy_plane(picture.u(), strides.1, u, width / 2);
    copy_plane(picture.v(), strides.2, v, width / 2);
    Ok(image)
}

fn copy_plane(from: &[u8], stride: usize, to: &mut [u8], width: usize) {
    for (line, target) in from.chunks(stride.max(1)).zip(to.chunks_exact_mut(width)) {
        if let Some(samples) = line.get(..width) {
            target.copy_from_slice(samples);
        }
    }
}
