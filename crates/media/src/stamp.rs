//! A frame counter and a time stamp drawn into the picture itself, so that whoever sees the picture at the
//! far end can say which frame it is and how long it took: the measure that no layer between can flatter.
//!
//! The stamp is a grid of 16 × 7 black and white cells in the upper left corner: 32 bits of counter, 64 of
//! time, 16 of checksum. A cell is 1/80 of the width and 1/45 of the height (16 × 16 pixels at 720p), so that
//! scaling keeps the grid where it is, and coarse quantisation leaves each cell on its side of grey.
//! It is for tests and demonstrations, never burned into a patient's picture unasked.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::frame::I420;

const COLUMNS: usize = 16;
const ROWS: usize = 7;
const BITS: usize = COLUMNS * ROWS;
/// The picture is this many cells wide and high.
const CELLS_ACROSS: f64 = 80.0;
const CELLS_DOWN: f64 = 45.0;
const BLACK: u8 = 16;
const WHITE: u8 = 235;
/// A cell between these means is neither black nor white: there is no stamp here.
const UNCLEAR: std::ops::Range<u32> = 104..148;

/// What a stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the frame, counted by its source from 0.
    pub counter: u32,
    /// When it was taken: microseconds since the Unix epoch by the source's clock (see [`now_us`]).
    pub time_us: u64,
}

impl Stamp {
    /// How old the stamp is, in microseconds, by this machine's clock; 0 when it lies ahead of it.
    #[must_use]
    pub fn age_us(&self) -> u64 {
        now_us().saturating_sub(self.time_us)
    }
}

/// The time as stamps give it: microseconds since the Unix epoch.
#[must_use]
pub fn now_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

/// Draws a stamp into the upper left corner. Pictures narrower than 160 pixels or lower than 90 have no room
/// for cells that survive compression; they get one all the same.
pub fn burn(image: &mut I420, stamp: Stamp) {
    let bits = to_bits(stamp);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let xs: Vec<usize> = (0..=COLUMNS).map(|column| edge(column, width, CELLS_ACROSS)).collect();
    let ys: Vec<usize> = (0..=ROWS).map(|row| edge(row, height, CELLS_DOWN)).collect();
    let (luma, blue, red) = image.planes_mut();
    for row in 0..ROWS {
        let first_line = ys[row] * width;
        for column in 0..COLUMNS {
            let colour = if bits[row * COLUMNS + column] { WHITE } else { BLACK };
            luma[first_line + xs[column]..first_line + xs[column + 1]].fill(colour);
        }
        for line in ys[row] + 1..ys[row + 1] {
            luma.copy_within(first_line..first_line + xs[COLUMNS], line * width);
        }
    }
    for line in 0..ys[ROWS].div_ceil(2).min(height / 2) {
        let chroma = line * width / 2..line * width / 2 + xs[COLUMNS].div_ceil(2);
        blue[chroma.clone()].fill(128);
        red[chroma].fill(128);
    }
}

/// Reads the stamp of a picture, scaled or compressed as it may be. `None` when there is none, or when it
/// can't be trusted any more.
#[must_use]
pub fn read(image: &I420) -> Option<Stamp> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut bits = [false; BITS];
    for row in 0..ROWS {
        let lines = core(row, height, CELLS_DOWN);
        for column in 0..COLUMNS {
            let samples = core(column, width, CELLS_ACROSS);
            let count = u32::try_from(lines.len() * samples.len()).ok()?;
            let sum: u32 = lines
                .clone()
                .flat_map(|line| &image.y()[line * width + samples.start..line * width + samples.end])
                .map(|&sample| u32::from(sample))
                .sum();
            let mean = sum.checked_div(count)?;
            if UNCLEAR.contains(&mean) {
                return None;
            }
            bits[row * COLUMNS + column] = mean >= UNCLEAR.end;
        }
    }
    from_bits(&bits)
}

/// Where the cell number `index` starts, in pixels.
fn edge(index: usize, side: usize, cells: f64) -> usize {
    ((index as f64 * side as f64 / cells).round() as usize).min(side)
}

/// The pixels well inside a cell, away from its neighbours: the middle half, at least one.
fn core(index: usize, side: usize, cells: f64) -> std::ops::Range<usize> {
    let cell = side as f64 / cells;
    let start = ((index as f64 + 0.25) * cell).floor() as usize;
    let end = ((index as f64 + 0.75) * cell).ceil() as usize;
    let start = start.min(side - 1);
    start..end.clamp(start + 1, side)
}

fn to_bits(stamp: Stamp) -> [bool; BITS] {
    let payload = (u128::from(stamp.counter) << 80) | (u128::from(stamp.time_us) << 16);
    let word = payload | u128::from(checksum(stamp));
    std::array::from_fn(|index| word >> (BITS - 1 - index) & 1 == 1)
}

fn from_bits(bits: &[bool; BITS]) -> Option<Stamp> {
    let word = bits.iter().fold(0_u128, |word, &bit| word << 1 | u128::from(bit));
    let stamp = Stamp { counter: (word >> 80) as u32, time_us: (word >> 16) as u64 };
    (word as u16 == checksum(stamp)).then_some(stamp)
}

/// CRC-16/CCITT-FALSE over counter and time, big endian. A uniform corner does not pass it.
fn checksum(stamp: Stamp) -> u16 {
    let bytes = stamp.counter.to_be_bytes().into_iter().chain(stamp.time_us.to_be_bytes());
    bytes.fold(0xffff, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(byte) << 8,
            |crc: u16, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { counter: 4_000_000_123, time_us: 1_795_000_000_123_456 };

    #[test]
    fn a_stamp_is_read_back_at_every_size_of_the_ladder() {
        for (width, height) in [(1920, 1080), (1280, 720), (960, 540), (640, 360), (320, 180), (640, 480)] {
            let mut image = I420::new(width, height);
            burn(&mut image, STAMP);
            assert_eq!(read(&image), Some(STAMP), "at {width}×{height}");
        }
    }

    #[test]
    fn uniform_pictures_have_no_stamp() {
        for luma in [0, 16, 128, 235, 255] {
            let mut image = I420::new(640, 360);
            image.fill(luma, 128, 128);
            assert_eq!(read(&image), None, "luma {luma}");
        }
    }

    #[test]
    fn a_torn_stamp_is_refused() {
        let mut old = I420::new(640, 360);
        burn(&mut old, Stamp { counter: 6, time_us: 17 });
        let mut torn = I420::new(640, 360);
        burn(&mut torn, STAMP);
        let middle = 640 * 28;
        torn.as_bytes_mut()[..middle].copy_from_slice(&old.as_bytes()[..middle]);
        assert_eq!(read(&torn), None);
    }

    #[test]
    fn tiny_pictures_are_harmless() {
        let mut image = I420::new(2, 2);
        burn(&mut image, STAMP);
        assert_eq!(read(&image), None);
    }
}
