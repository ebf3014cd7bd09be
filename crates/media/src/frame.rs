//! Uncompressed pictures and a pool for their memory, so that 30 frames a second do not mean 30 allocations
//! of a megabyte each. Knows nothing of where pictures come from.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

/// Largest side accepted, in pixels: more than any webcam, small enough for size arithmetic in `u32`.
pub const MAX_SIDE: u32 = 8192;

/// How many spare buffers a pool keeps: one being filled, one encoded, one shown, one scaled, and slack.
const SPARE_BUFFERS: usize = 6;

/// A picture and the moment it was taken.
#[derive(Clone, Debug)]
pub struct VideoFrame {
    /// The picture, shared between encoder, self-view and whoever else looks at it.
    pub image: Arc<I420>,
    /// When the source took it (for a received frame: when it was decoded).
    pub captured_at: Instant,
}

/// A planar 4:2:0 picture: `width × height` luma samples, then two planes of half the width and height, all
/// tightly packed in one buffer (Y, U, V). BT.601 matrix, limited range (Y 16–235, chroma 16–240).
pub struct I420 {
    width: u32,
    height: u32,
    bytes: Vec<u8>,
    home: Weak<Pool>,
}

impl I420 {
    /// A black picture. Sides are brought to even numbers from 2 to [`MAX_SIDE`], odd ones by cutting the
    /// last column or row.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let (width, height) = even_size(width, height);
        let mut image = Self { width, height, bytes: vec![0; byte_len(width, height)], home: Weak::new() };
        image.fill(16, 128, 128);
        image
    }

    /// Width in pixels, always even.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, always even.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Luma: `width × height` samples, row by row.
    #[must_use]
    pub fn y(&self) -> &[u8] {
        &self.bytes[..self.luma_len()]
    }

    /// Blue difference: `width/2 × height/2` samples.
    #[must_use]
    pub fn u(&self) -> &[u8] {
        let luma = self.luma_len();
        &self.bytes[luma..luma + luma / 4]
    }

    /// Red difference: `width/2 × height/2` samples.
    #[must_use]
    pub fn v(&self) -> &[u8] {
        let luma = self.luma_len();
        &self.bytes[luma + luma / 4..]
    }

    /// The planes Y, U and V, writable.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let luma = self.luma_len();
        let (y, chroma) = self.bytes.split_at_mut(luma);
        let (u, v) = chroma.split_at_mut(luma / 4);
        (y, u, v)
    }

    /// All samples: Y, then U, then V.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All samples, writable: Y, then U, then V.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Makes the whole picture one colour.
    pub fn fill(&mut self, y: u8, u: u8, v: u8) {
        let (luma, blue, red) = self.planes_mut();
        luma.fill(y);
        blue.fill(u);
        red.fill(v);
    }

    fn luma_len(&self) -> usize {
        self.width as usize * self.height as usize
    }
}

impl Clone for I420 {
    fn clone(&self) -> Self {
        Self { width: self.width, height: self.height, bytes: self.bytes.clone(), home: Weak::new() }
    }
}

impl PartialEq for I420 {
    fn eq(&self, other: &Self) -> bool {
        self.width == other.width && self.height == other.height && self.bytes == other.bytes
    }
}

impl fmt::Debug for I420 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I420 {}×{}", self.width, self.height)
    }
}

impl Drop for I420 {
    fn drop(&mut self) {
        if let Some(pool) = self.home.upgrade() {
            pool.put_back(std::mem::take(&mut self.bytes));
        }
    }
}

/// Lends picture buffers; a picture's buffer comes back when the picture is dropped, wherever that happens.
/// Buffers of another size than the last one asked for are let go.
#[derive(Clone, Default)]
pub struct FramePool {
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    spare: Mutex<Vec<Vec<u8>>>,
}

impl FramePool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A picture of the given size (made even as in [`I420::new`]) with **arbitrary content**: the caller
    /// writes every sample.
    #[must_use]
    pub fn take(&self, width: u32, height: u32) -> I420 {
        let (width, height) = even_size(width, height);
        let wanted = byte_len(width, height);
        let bytes = self.pool.reuse(wanted).unwrap_or_else(|| vec![0; wanted]);
        I420 { width, height, bytes, home: Arc::downgrade(&self.pool) }
    }

    /// A copy of a picture in a pooled buffer.
    #[must_use]
    pub fn copy(&self, image: &I420) -> I420 {
        let mut copy = self.take(image.width, image.height);
        copy.bytes.copy_from_slice(&image.bytes);
        copy
    }
}

impl fmt::Debug for FramePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FramePool")
    }
}

impl Pool {
    fn reuse(&self, wanted: usize) -> Option<Vec<u8>> {
        let mut spare = self.spare.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        spare.retain(|bytes| bytes.len() == wanted);
        spare.pop()
    }

    fn put_back(&self, bytes: Vec<u8>) {
        let mut spare = self.spare.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS {
            spare.push(bytes);
        }
    }
}

/// The nearest size a picture can have: even sides, at least 2, at most [`MAX_SIDE`].
#[must_use]
pub fn even_size(width: u32, height: u32) -> (u32, u32) {
    (width.clamp(2, MAX_SIDE) & !1, height.clamp(2, MAX_SIDE) & !1)
}

fn byte_len(width: u32, height: u32) -> usize {
    width as usize * height as usize * 3 / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_have_the_sizes_of_420_and_fill_the_buffer() {
        let mut image = I420::new(1280, 720);
        assert_eq!((image.y().len(), image.u().len(), image.v().len()), (921_600, 230_400, 230_400));
        assert_eq!(image.as_bytes().len(), 1_382_400);
        let (y, u, v) = image.planes_mut();
        y[0] = 1;
        u[0] = 2;
        v[0] = 3;
        assert_eq!((image.as_bytes()[0], image.as_bytes()[921_600], image.as_bytes()[1_152_000]), (1, 2, 3));
    }

    #[test]
    fn odd_and_absurd_sizes_become_even_and_bounded() {
        let image = I420::new(641, 1);
        assert_eq!((image.width(), image.height()), (640, 2));
        assert_eq!(even_size(0, u32::MAX), (2, MAX_SIDE));
    }

    #[test]
    fn a_dropped_picture_gives_its_buffer_to_the_next() {
        let pool = FramePool::new();
        let first = pool.take(640, 360);
        let address = first.as_bytes().as_ptr();
        drop(Arc::new(first));
        assert_eq!(pool.take(640, 360).as_bytes().as_ptr(), address, "the buffer was allocated anew");
    }

    #[test]
    fn buffers_of_a_former_size_are_let_go() {
        let pool = FramePool::new();
        drop(pool.take(1280, 720));
        drop(pool.take(640, 360));
        assert_eq!(pool.pool.spare.lock().unwrap().len(), 1);
        assert_eq!(pool.take(1280, 720).as_bytes().len(), 1_382_400);
    }

    #[test]
    fn pictures_outlive_their_pool() {
        let pool = FramePool::new();
        let image = pool.take(16, 16);
        drop(pool);
        assert_eq!(image.as_bytes().len(), 384);
    }
}
