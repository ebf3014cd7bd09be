//! From I420 to what the toolkit paints, in memory that is used again.

use std::sync::{Arc, Mutex, PoisonError};

use bedside_media::{frame::I420, pixels::i420_to_bgra};

/// One shown, one ready, one being written.
const SPARE: usize = 3;

type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// Converts pictures; their memory comes back when they have been painted.
#[derive(Default)]
pub(super) struct Pixels {
    spare: Spare,
}

/// A picture in the toolkit's order: blue, green, red and an unused byte.
pub(super) struct Converted {
    pub(super) width: i32,
    pub(super) height: i32,
    bytes: Vec<u8>,
    home: Spare,
}

impl Pixels {
    /// The same picture for the toolkit; `None` for one that is larger than it can take.
    pub(super) fn convert(&self, image: &I420) -> Option<Converted> {
        let (width, height) = (i32::try_from(image.width()).ok()?, i32::try_from(image.height()).ok()?);
        let wanted = image.width() as usize * image.height() as usize * 4;
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bytes = spare.unwrap_or_default();
        bytes.resize(wanted, u8::MAX);
        i420_to_bgra(image, &mut bytes).ok()?;
        Some(Converted { width, height, bytes, home: self.spare.clone() })
    }
}

impl AsMut<[u8]> for Converted {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Converted {
    fn drop(&mut self) {
        let mut spare = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_fits_the_next_picture() {
        let pixels = Pixels::default();
        let mut white = I420::new(64, 32);
        white.fill(235, 128, 128);
        let converted = pixels.convert(&white).unwrap();
        assert_eq!((converted.width, converted.height), (64, 32));
        assert_eq!(converted.bytes, [255; 64 * 32 * 4]);
        drop(converted);
        assert_eq!(pixels.spare.lock().unwrap().len(), 1);
        let mut converted = pixels.convert(&I420::new(16, 16)).unwrap();
        assert!(pixels.spare.lock().unwrap().is_empty());
        assert_eq!(converted.as_mut(), [0, 0, 0, 255].repeat(256));
    }
}
