//! Scaling of pictures: down to what the encoder or the screen needs, plane by plane, antialiased. Never
//! enlarges and never distorts.

use std::sync::Arc;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::frame::{FramePool, I420, even_size};

/// The largest even size of a picture's proportions that fits into `max_width × max_height` and is not larger
/// than the picture.
#[must_use]
pub fn fit(width: u32, height: u32, max_width: u32, max_height: u32) -> (u32, u32) {
    let (width, height) = (width.max(1), height.max(1));
    if width <= max_width && height <= max_height {
        return even_size(width, height);
    }
    let (wide, high) = (u64::from(width), u64::from(height));
    let (max_wide, max_high) = (u64::from(max_width), u64::from(max_height));
    let (fit_wide, fit_high) = if wide * max_high > high * max_wide {
        (max_wide, nearest_even(high * max_wide, wide).min(max_high))
    } else {
        (nearest_even(wide * max_high, high).min(max_wide), max_high)
    };
    even_size(u32::try_from(fit_wide).unwrap_or(u32::MAX), u32::try_from(fit_high).unwrap_or(u32::MAX))
}

/// Scales with memory and tables kept from picture to picture.
pub struct Scaler {
    resizer: Resizer,
    options: ResizeOptions,
    pool: FramePool,
    /// A plane at a half, a quarter, … of its size, where it shrinks by much, and room for the next.
    halved: [Vec<u8>; 2],
}

impl Scaler {
    /// A scaler; one per stream saves setting up its tables anew.
    #[must_use]
    pub fn new() -> Self {
        // Bilinear with a support as wide as the reduction: no aliasing, half the cost of Lanczos.
        let algorithm = ResizeAlg::Convolution(FilterType::Bilinear);
        Self {
            resizer: Resizer::new(),
            options: ResizeOptions::new().resize_alg(algorithm).use_alpha(false),
            pool: FramePool::new(),
            halved: Default::default(),
        }
    }

    /// Fits a picture into `max_width × max_height` (see [`fit`]).
    #[must_use]
    pub fn scale(&mut self, image: &I420, max_width: u32, max_height: u32) -> I420 {
        let (width, height) = fit(image.width(), image.height(), max_width, max_height);
        let mut scaled = self.pool.take(width, height);
        if (width, height) == (image.width(), image.height()) {
            scaled.as_bytes_mut().copy_from_slice(image.as_bytes());
            return scaled;
        }
        let from = (image.width(), image.height());
        let (y, u, v) = scaled.planes_mut();
        self.plane(image.y(), from, y, (width, height));
        let (from, to) = ((from.0 / 2, from.1 / 2), (width / 2, height / 2));
        self.plane(image.u(), from, u, to);
        self.plane(image.v(), from, v, to);
        scaled
    }

    /// As [`Scaler::scale`], but a picture that fits already is shared, not copied.
    #[must_use]
    pub fn scale_shared(&mut self, image: &Arc<I420>, max_width: u32, max_height: u32) -> Arc<I420> {
        if fit(image.width(), image.height(), max_width, max_height) == (image.width(), image.height()) {
            return Arc::clone(image);
        }
        Arc::new(self.scale(image, max_width, max_height))
    }

    fn plane(&mut self, from: &[u8], from_size: (u32, u32), to: &mut [u8], to_size: (u32, u32)) {
        let [halved, spare] = &mut self.halved;
        let mut size = from_size;
        while shrinks_much(size, to_size) {
            let larger = if size == from_size { from } else { &*halved };
            size = halve(larger, size, spare);
            std::mem::swap(halved, spare);
        }
        let from = if size == from_size { from } else { &*halved };
        let source = ImageRef::new(size.0, size.1, from, PixelType::U8);
        let target = Image::from_slice_u8(to_size.0, to_size.1, to, PixelType::U8);
        // The planes of an I420 have the lengths that their sizes ask for, and both are single bytes: neither
        // step can fail.
        if let (Ok(source), Ok(mut target)) = (source, target)
            && let Err(error) = self.resizer.resize(&source, &mut target, &self.options)
        {
            tracing::error!(%error, "a plane could not be scaled");
        }
    }
}

impl Default for Scaler {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Scaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scaler")
    }
}

/// Fits one picture into `max_width × max_height`; for streams keep a [`Scaler`].
#[must_use]
pub fn scale(image: &I420, max_width: u32, max_height: u32) -> I420 {
    Scaler::new().scale(image, max_width, max_height)
}

/// Whether averaging pairs of pixels first is cheaper than weighing all of them, and nobody sees the difference.
fn shrinks_much(from: (u32, u32), to: (u32, u32)) -> bool {
    from.0 >= 3 * to.0 && from.1 >= 3 * to.1
}

/// Writes a plane at half its size; gives that size.
fn halve(from: &[u8], (width, height): (u32, u32), to: &mut Vec<u8>) -> (u32, u32) {
    let (wide, half) = (width as usize, (width / 2, height / 2));
    to.resize(half.0 as usize * half.1 as usize, 0);
    for (target, rows) in to.chunks_exact_mut(half.0 as usize).zip(from.chunks_exact(2 * wide)) {
        let (upper, lower) = rows.split_at(wide);
        let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
        for (target, (upper, lower)) in target.iter_mut().zip(pairs) {
            let sum = u16::from(upper[0]) + u16::from(upper[1]) + u16::from(lower[0]) + u16::from(lower[1]);
            *target = ((sum + 2) / 4) as u8;
        }
    }
    half
}

fn nearest_even(numerator: u64, denominator: u64) -> u64 {
    (numerator + denominator) / (2 * denominator) * 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::{self, Stamp};

    #[test]
    fn the_ladder_of_a_720p_camera_keeps_its_proportions() {
        assert_eq!(fit(1280, 720, 960, 540), (960, 540));
        assert_eq!(fit(1280, 720, 640, 360), (640, 360));
        assert_eq!(fit(1280, 720, 320, 180), (320, 180));
        assert_eq!(fit(1280, 720, 1920, 1080), (1280, 720), "never enlarged");
        assert_eq!(fit(640, 480, 640, 360), (480, 360), "4:3 fits by its height");
        assert_eq!(fit(720, 1280, 1280, 720), (406, 720), "upright");
        assert_eq!(fit(1280, 720, 333, 5000), (332, 188), "odd limits");
        assert_eq!(fit(0, 0, 0, 0), (2, 2), "nonsense stays harmless");
    }

    #[test]
    fn a_uniform_picture_stays_uniform() {
        let mut image = I420::new(1280, 720);
        image.fill(90, 60, 200);
        let small = scale(&image, 426, 240);
        assert_eq!((small.width(), small.height()), (426, 240));
        assert!(small.y().iter().all(|&s| s == 90) && small.u().iter().all(|&s| s == 60));
        assert!(small.v().iter().all(|&s| s == 200));
    }

    #[test]
    fn stamps_survive_scaling_down_to_a_quarter() {
        let stamp = Stamp { counter: 77, time_us: 1_795_000_000_000_000 };
        let mut image = I420::new(1280, 720);
        image.fill(120, 90, 160);
        stamp::burn(&mut image, stamp);
        let mut scaler = Scaler::new();
        for (width, height) in [(1280, 720), (1100, 620), (960, 540), (854, 480), (640, 360), (320, 180)] {
            let small = scaler.scale(&image, width, height);
            assert_eq!(stamp::read(&small), Some(stamp), "at {width}×{height}");
        }
    }

    #[test]
    fn a_picture_that_fits_is_not_copied() {
        let image = Arc::new(I420::new(640, 360));
        assert!(Arc::ptr_eq(&image, &Scaler::new().scale_shared(&image, 1280, 720)));
    }
}
