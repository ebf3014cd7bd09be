//! From what cameras give (YUYV, NV12, JPEG) to I420, limited range, and from there to what toolkits paint. Every function checks the length of its
//! input: what a driver hands over is not to be trusted.

use std::borrow::Cow;

use yuv::{
    BufferStoreMut, YuvPackedImage, YuvPlanarImage, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    yuv420_to_bgra, yuyv422_to_yuv420,
};
use zune_jpeg::JpegDecoder as Library;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::frame::I420;

/// Why a picture could not be converted; the next one may be fine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PixelError {
    /// Fewer bytes than the size asks for.
    #[error("{got} bytes, where {needed} are needed")]
    Short {
        /// Bytes there.
        got: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// The target is not of the source's size.
    #[error("the picture is of another size than announced")]
    Size,
    /// Not a JPEG that can be decoded.
    #[error("not a usable JPEG: {0}")]
    Jpeg(String),
}

/// Packed 4:2:2 (Y0 U Y1 V), `width × height`, rows without gaps. The target's size is the source's, made even.
///
/// # Errors
/// [`PixelError::Short`] or [`PixelError::Size`].
pub fn yuyv_to_i420(yuyv: &[u8], width: u32, height: u32, image: &mut I420) -> Result<(), PixelError> {
    check(yuyv, width as usize * height as usize * 2, (width, height), image)?;
    let (wide, high) = (image.width(), image.height());
    let (y, u, v) = image.planes_mut();
    let mut planes = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: wide,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: wide / 2,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: wide / 2,
        width: wide,
        height: high,
    };
    let packed = YuvPackedImage { yuy: yuyv, yuy_stride: width * 2, width: wide, height: high };
    yuyv422_to_yuv420(&mut planes, &packed).map_err(|_| PixelError::Size)
}

/// Two planes (Y, then U and V interleaved), `width × height`, rows without gaps. The target's size is the
/// source's, made even.
///
/// # Errors
/// [`PixelError::Short`] or [`PixelError::Size`].
pub fn nv12_to_i420(nv12: &[u8], width: u32, height: u32, image: &mut I420) -> Result<(), PixelError> {
    let (wide, high) = (width as usize, height as usize);
    check(nv12, wide * high + wide.next_multiple_of(2) * (high / 2), (width, height), image)?;
    let kept = image.width() as usize;
    let (luma, chroma) = nv12.split_at(wide * high);
    let (y, u, v) = image.planes_mut();
    for (target, row) in y.chunks_exact_mut(kept).zip(luma.chunks_exact(wide)) {
        target.copy_from_slice(&row[..kept]);
    }
    let rows = chroma.chunks_exact(wide.next_multiple_of(2));
    for ((blue, red), row) in u.chunks_exact_mut(kept / 2).zip(v.chunks_exact_mut(kept / 2)).zip(rows) {
        for ((blue, red), pair) in blue.iter_mut().zip(red).zip(row.chunks_exact(2)) {
            (*blue, *red) = (pair[0], pair[1]);
        }
    }
    Ok(())
}

/// Four bytes a pixel: blue, green, red and 255, rows without gaps.
///
/// # Errors
/// [`PixelError::Size`] when `bgra` is not four bytes for each pixel.
pub fn i420_to_bgra(image: &I420, bgra: &mut [u8]) -> Result<(), PixelError> {
    let (wide, high) = (image.width(), image.height());
    let planes = YuvPlanarImage {
        y_plane: image.y(),
        y_stride: wide,
        u_plane: image.u(),
        u_stride: wide / 2,
        v_plane: image.v(),
        v_stride: wide / 2,
        width: wide,
        height: high,
    };
    if bgra.len() != wide as usize * high as usize * 4 {
        return Err(PixelError::Size);
    }
    yuv420_to_bgra(&planes, bgra, wide * 4, YuvRange::Limited, YuvStandardMatrix::Bt601)
        .map_err(|_| PixelError::Size)
}

/// Brings full-range samples (0–255) to limited range (luma 16–235, chroma 16–240), in place.
pub fn full_to_limited(image: &mut I420) {
    let (y, u, v) = image.planes_mut();
    y.iter_mut().for_each(|sample| *sample = LUMA[usize::from(*sample)]);
    u.iter_mut().chain(v).for_each(|sample| *sample = CHROMA[usize::from(*sample)]);
}

/// Decodes JPEG pictures, keeping its memory from one to the next.
#[derive(Debug, Default)]
pub struct JpegDecoder {
    samples: Vec<u8>,
}

impl JpegDecoder {
    /// A decoder; one per camera.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one JPEG (as in motion JPEG: the Huffman tables may be left out) of the target's size.
    ///
    /// # Errors
    /// [`PixelError::Jpeg`] when it is damaged, [`PixelError::Size`] when it is of another size.
    pub fn decode(&mut self, jpeg: &[u8], image: &mut I420) -> Result<(), PixelError> {
        let options = DecoderOptions::default()
            .jpeg_set_out_colorspace(ColorSpace::YCbCr)
            .set_max_width(image.width() as usize + 1)
            .set_max_height(image.height() as usize + 1);
        let jpeg = with_tables(jpeg);
        let mut library = Library::new_with_options(ZCursor::new(jpeg.as_ref()), options);
        library.decode_headers().map_err(|error| PixelError::Jpeg(error.to_string()))?;
        let info = library.info().ok_or(PixelError::Size)?;
        let (width, height) = (usize::from(info.width), usize::from(info.height));
        if (width & !1, height & !1) != (image.width() as usize, image.height() as usize) {
            return Err(PixelError::Size);
        }
        // Greyscale pictures come with one byte a pixel, all others with three.
        let length = library.output_buffer_size().ok_or(PixelError::Size)?;
        self.samples.resize(length, 0);
        library.decode_into(&mut self.samples).map_err(|error| PixelError::Jpeg(error.to_string()))?;
        match length / (width * height) {
            3 => subsample(&self.samples, width, image),
            1 => grey(&self.samples, width, image),
            _ => return Err(PixelError::Size),
        }
        Ok(())
    }
}

/// Some webcams leave the Huffman tables out and do not say so: adds the note that makes the library use the
/// standard ones.
fn with_tables(jpeg: &[u8]) -> Cow<'_, [u8]> {
    const NOTE: &[u8] = b"\xff\xe0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0";
    let mut rest = jpeg.get(2..).unwrap_or_default();
    while let [0xff, marker, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        match marker {
            // Tables, the note, or something that is not a header.
            0xc4 => return Cow::Borrowed(jpeg),
            0xe0 if rest.get(4..8) == Some(b"AVI1") => return Cow::Borrowed(jpeg),
            0xda => return Cow::Owned([&jpeg[..2], NOTE, &jpeg[2..]].concat()),
            _ => rest = rest.get(2 + length..).unwrap_or_default(),
        }
    }
    Cow::Borrowed(jpeg)
}

/// Full-range, interleaved 4:4:4 to limited-range 4:2:0.
fn subsample(samples: &[u8], width: usize, image: &mut I420) {
    let kept = image.width() as usize;
    let (y, u, v) = image.planes_mut();
    let rows = samples.chunks_exact(2 * 3 * width);
    let targets =
        y.chunks_exact_mut(2 * kept).zip(u.chunks_exact_mut(kept / 2)).zip(v.chunks_exact_mut(kept / 2));
    for (((luma, blue), red), pair) in targets.zip(rows) {
        let (upper, lower) = pair.split_at(3 * width);
        let (luma_upper, luma_lower) = luma.split_at_mut(kept);
        let luma = luma_upper.chunks_exact_mut(2).zip(luma_lower.chunks_exact_mut(2));
        let pixels = upper.chunks_exact(6).zip(lower.chunks_exact(6));
        for (((high, low), (blue, red)), (above, below)) in luma.zip(blue.iter_mut().zip(red)).zip(pixels) {
            high[0] = LUMA[usize::from(above[0])];
            high[1] = LUMA[usize::from(above[3])];
            low[0] = LUMA[usize::from(below[0])];
            low[1] = LUMA[usize::from(below[3])];
            let mean = |at: usize| {
                let sum = [above[at], above[at + 3], below[at], below[at + 3]].map(usize::from);
                (sum.iter().sum::<usize>() + 2) / 4
            };
            *blue = CHROMA[mean(1)];
            *red = CHROMA[mean(2)];
        }
    }
}

fn grey(samples: &[u8], width: usize, image: &mut I420) {
    let kept = image.width() as usize;
    let (y, u, v) = image.planes_mut();
    for (target, row) in y.chunks_exact_mut(kept).zip(samples.chunks_exact(width)) {
        target.iter_mut().zip(row).for_each(|(target, &sample)| *target = LUMA[usize::from(sample)]);
    }
    u.fill(128);
    v.fill(128);
}

fn check(bytes: &[u8], needed: usize, size: (u32, u32), image: &I420) -> Result<(), PixelError> {
    if (size.0 & !1, size.1 & !1) != (image.width(), image.height()) {
        return Err(PixelError::Size);
    }
    if bytes.len() < needed { Err(PixelError::Short { got: bytes.len(), needed }) } else { Ok(()) }
}

const LUMA: [u8; 256] = table(219, 0, 16);
const CHROMA: [u8; 256] = table(224, 128, 128);

const fn table(span: i32, zero: i32, onto: i32) -> [u8; 256] {
    let mut table = [0; 256];
    let mut sample = 0;
    while sample < 256 {
        let scaled = (sample as i32 - zero) * span;
        let rounded = if scaled < 0 { (scaled - 127) / 255 } else { (scaled + 127) / 255 };
        table[sample] = (rounded + onto) as u8;
        sample += 1;
    }
    table
}

#[cfg(test)]
mod tests;
