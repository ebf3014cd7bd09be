//! Small pictures of pictures: made by who sends a file, made anew by who shows one.
//!
//! Decoding is where hostile bytes do harm, so it is bounded beforehand (bytes, dimensions, memory) and contained: a
//! decoder that panics gives no preview, and nothing else happens. What a sender made is never shown as it came: it is
//! decoded under narrow limits and encoded again, so that only pixels pass.

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Seek},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{
    DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder,
    imageops::FilterType, metadata::Orientation,
};

/// The longer side of a preview, pixels.
pub const MAX_SIDE: u32 = 160;
/// The most bytes a preview has.
pub const MAX_PREVIEW_BYTES: usize = 10 * 1024;

/// Longer files get no preview, bytes: a decoder may hold all of it.
const MAX_SOURCE_BYTES: u64 = 12 * 1024 * 1024;
/// Larger pictures get no preview, pixels: 4096 × 3072, which is more than a photo of twelve megapixels has.
const MAX_SOURCE_PIXELS: u64 = 12 * 1024 * 1024;
const MAX_SOURCE_SIDE: u32 = 16_384;
/// What decoding one's own picture may allocate, bytes: with the file itself below 64 MiB.
const MAX_SOURCE_ALLOC: u64 = 4 * MAX_SOURCE_PIXELS;
/// What decoding somebody's preview may allocate, bytes.
const MAX_PREVIEW_ALLOC: u64 = 2 * 1024 * 1024;

/// Smaller and coarser until it fits.
const ATTEMPTS: [(u32, u8); 5] = [(MAX_SIDE, 80), (MAX_SIDE, 60), (MAX_SIDE, 35), (112, 50), (80, 40)];

/// How much decoding is allowed to take.
struct Bounds {
    side: u32,
    pixels: u64,
    alloc: u64,
}

const SOURCE: Bounds = Bounds { side: MAX_SOURCE_SIDE, pixels: MAX_SOURCE_PIXELS, alloc: MAX_SOURCE_ALLOC };
const RECEIVED: Bounds =
    Bounds { side: MAX_SIDE, pixels: (MAX_SIDE * MAX_SIDE) as u64, alloc: MAX_PREVIEW_ALLOC };

/// A preview of the picture in a file: PNG or JPEG, at most [`MAX_SIDE`] pixels wide and high and
/// [`MAX_PREVIEW_BYTES`] long. `None` for what is no picture that can be read within bounds. Blocking.
#[must_use]
pub fn of_file(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() > MAX_SOURCE_BYTES {
        return None;
    }
    of(BufReader::new(file))
}

/// As [`of_file`], of bytes.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() as u64 > MAX_SOURCE_BYTES {
        return None;
    }
    of(Cursor::new(bytes))
}

fn of(source: impl BufRead + Seek) -> Option<Vec<u8>> {
    contained(|| encode(&decode(source, &SOURCE)?))
}

/// What may be shown of a preview that somebody sent, as a `data:` address of a picture encoded here. `None` when it
/// is not what an honest sender makes. Blocking, well below a millisecond.
#[must_use]
pub fn shown(received: &[u8]) -> Option<String> {
    if received.len() > MAX_PREVIEW_BYTES {
        return None;
    }
    let bytes = contained(|| encode(&decode(Cursor::new(received), &RECEIVED)?))?;
    let kind = if bytes.starts_with(b"\x89PNG") { "png" } else { "jpeg" };
    Some(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}

/// Runs what may panic at hostile bytes.
fn contained<T>(work: impl FnOnce() -> Option<T>) -> Option<T> {
    // Nothing outlives the call that a panic could leave half done.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        tracing::warn!("a picture could not be decoded: the decoder panicked");
        None
    })
}

fn decode(source: impl BufRead + Seek, bounds: &Bounds) -> Option<DynamicImage> {
    let mut reader = ImageReader::new(source).with_guessed_format().ok()?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return None;
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(bounds.side);
    limits.max_image_height = Some(bounds.side);
    limits.max_alloc = Some(bounds.alloc);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let fits = u64::from(width) * u64::from(height) <= bounds.pixels && width > 0 && height > 0;
    if !fits || decoder.total_bytes() > bounds.alloc {
        return None;
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).ok()?;
    if width > MAX_SIDE || height > MAX_SIDE {
        image = image.thumbnail(MAX_SIDE, MAX_SIDE);
    }
    image.apply_orientation(orientation);
    Some(image)
}

/// PNG where that is small, as drawings are; else JPEG.
fn encode(image: &DynamicImage) -> Option<Vec<u8>> {
    let plain = DynamicImage::ImageRgba8(image.to_rgba8());
    let mut bytes = Vec::new();
    plain.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).ok()?;
    if bytes.len() <= MAX_PREVIEW_BYTES {
        return Some(bytes);
    }
    let opaque = on_white(&plain);
    ATTEMPTS.into_iter().find_map(|(side, quality)| {
        let fits = opaque.width() <= side && opaque.height() <= side;
        let small = if fits { opaque.clone() } else { opaque.resize(side, side, FilterType::Triangle) };
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&small).ok()?;
        (bytes.len() <= MAX_PREVIEW_BYTES).then_some(bytes)
    })
}

/// JPEG knows no transparency.
fn on_white(image: &DynamicImage) -> DynamicImage {
    let mut flat = image::RgbImage::new(image.width(), image.height());
    for (to, from) in flat.pixels_mut().zip(image.to_rgba8().pixels()) {
        let alpha = u16::from(from[3]);
        for channel in 0..3 {
            let mixed = (u16::from(from[channel]) * alpha + 255 * (255 - alpha)) / 255;
            to[channel] = u8::try_from(mixed).unwrap_or(u8::MAX);
        }
    }
    DynamicImage::ImageRgb8(flat)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(width: u32, height: u32) -> DynamicImage {
        let mut state = 1u32;
        DynamicImage::ImageRgba8(image::RgbaImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgba([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8, 255])
        }))
    }

    fn file_of(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn size_of(bytes: &[u8]) -> (u32, u32) {
        let image = image::load_from_memory(bytes).unwrap();
        (image.width(), image.height())
    }

    #[test]
    fn a_preview_is_small_and_keeps_the_shape() {
        let flat = DynamicImage::ImageRgb8(image::RgbImage::from_pixel(1_600, 400, image::Rgb([9, 90, 200])));
        for (file, size) in [
            (file_of(&flat, ImageFormat::Png), (160, 40)),
            (file_of(&flat, ImageFormat::Jpeg), (160, 40)),
            (file_of(&noise(300, 300), ImageFormat::Png), (160, 160)),
            (file_of(&noise(20, 10), ImageFormat::Png), (20, 10)),
        ] {
            let preview = of_bytes(&file).expect("a preview");
            assert!(preview.len() <= MAX_PREVIEW_BYTES, "{} bytes", preview.len());
            let made = size_of(&preview);
            assert_eq!(made.0 * size.1, made.1 * size.0, "{made:?} is not {size:?} in shape");
            assert!(made.0 <= size.0);
            assert!(shown(&preview).is_some_and(|shown| shown.starts_with("data:image/")));
        }
    }

    #[test]
    fn a_photo_taken_upright_is_upright() {
        let photo = file_of(&noise(40, 20).to_rgb8().into(), ImageFormat::Jpeg);
        // An EXIF segment that says: turned by 90 degrees.
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut turned = photo[..2].to_vec();
        turned.extend_from_slice(&[0xff, 0xe1, 0, (exif.len() + 2) as u8]);
        turned.extend_from_slice(exif);
        turned.extend_from_slice(&photo[2..]);
        assert_eq!(size_of(&of_bytes(&photo).unwrap()), (40, 20));
        assert_eq!(size_of(&of_bytes(&turned).unwrap()), (20, 40));
    }

    #[test]
    fn a_picture_that_claims_to_be_huge_is_not_decoded() {
        let mut bomb = file_of(&noise(8, 8), ImageFormat::Png);
        // Width and height in the header, and its checksum.
        bomb[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&60_000u32.to_be_bytes());
        let crc = crc(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(of_bytes(&bomb), None);
    }

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn a_preview_that_no_honest_sender_makes_is_not_shown() {
        assert_eq!(shown(&file_of(&noise(161, 10), ImageFormat::Png)), None, "too wide");
        assert_eq!(shown(&vec![0; MAX_PREVIEW_BYTES + 1]), None, "too long");
        assert_eq!(shown(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), None, "no bitmap");
        assert_eq!(shown(b"GIF89a\x01\0\x01\0\0\0\0"), None, "another format");
    }

    #[test]
    fn a_panic_of_the_decoder_ends_at_its_edge() {
        assert_eq!(contained(|| -> Option<()> { panic!("a hostile picture") }), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn damaged_pictures_do_no_harm(
            jpeg in any::<bool>(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        ) {
            let format = if jpeg { ImageFormat::Jpeg } else { ImageFormat::Png };
            let mut file = file_of(&noise(24, 24).to_rgb8().into(), format);
            for (place, byte) in changes {
                let place = place.index(file.len());
                file[place] = byte;
            }
            let _ = of_bytes(&file);
            let _ = shown(&file);
        }
    }
}
