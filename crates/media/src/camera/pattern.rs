//! The Bedside test pattern: colour bars, a title, the running frame number, a ball and a strip of moving
//! stripes. Deterministic: frame `n` of a size looks the same everywhere and always (the stamp apart, which
//! is burned in later).

mod glyphs;

use std::time::Instant;

use super::pace::Pacer;
use super::source::{CameraSource, CameraSystem, Capture, Stop};
use super::{CameraTrouble, CaptureFormat};
use crate::frame::{FramePool, I420, even_size};

/// Y, U, V of a colour (BT.601, limited range).
type Colour = (u8, u8, u8);

const INK: Colour = (235, 128, 128);
const PAPER: Colour = (44, 138, 120);
const BALL: Colour = (160, 80, 190);
/// 75 % colour bars: white, yellow, cyan, green, magenta, red, blue.
const BARS: [Colour; 7] = [
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
];

/// Draws the pattern's frames.
#[derive(Debug)]
pub struct Pattern {
    background: I420,
    fps: u32,
    pool: FramePool,
}

impl Pattern {
    /// A pattern of the given size (made even) for the given rate.
    #[must_use]
    pub fn new(format: CaptureFormat) -> Self {
        let (width, height) = even_size(format.width, format.height);
        let fps = format.fps.clamp(1, 120);
        Self { background: background(width, height, fps), fps, pool: FramePool::new() }
    }

    /// Frame number `n`.
    #[must_use]
    pub fn frame(&self, n: u64) -> I420 {
        let mut image = self.pool.copy(&self.background);
        let (width, height) = (image.width() as usize, image.height() as usize);
        stripes(&mut image, n, self.fps);
        let radius = height / 10;
        let (x, y) = (
            bounce(n * width as u64 / (u64::from(self.fps) * 3), width.saturating_sub(2 * radius)),
            bounce(n * height as u64 / (u64::from(self.fps) * 2), (height / 3).saturating_sub(2 * radius)),
        );
        disc(&mut image, (x + radius, height / 3 + y + radius), radius, BALL);
        let unit = (height / 90).max(1);
        let seconds = n / u64::from(self.fps);
        let text = format!("{:02}:{:02} {:06}", seconds / 60 % 60, seconds % 60, n % 1_000_000);
        write(&mut image, (width * 3 / 10, unit * 15), unit, &text, INK);
        image
    }
}

/// The pattern as the only camera there is.
pub(super) struct PatternCamera;

impl CameraSystem for PatternCamera {
    fn list(&self) -> Vec<String> {
        vec!["Test pattern".to_owned()]
    }

    fn open(&self, _name: &str, wish: CaptureFormat) -> Result<Box<dyn CameraSource>, CameraTrouble> {
        let pattern = Pattern::new(wish);
        let pacer = Pacer::new(pattern.fps, 1);
        Ok(Box::new(PatternSource { pattern, pacer }))
    }

    fn may_come_back(&self) -> bool {
        false
    }
}

struct PatternSource {
    pattern: Pattern,
    pacer: Pacer,
}

impl CameraSource for PatternSource {
    fn next_frame(&mut self, stop: &Stop) -> Result<Option<Capture>, CameraTrouble> {
        let Some(beat) = self.pacer.wait(stop) else {
            return Ok(None);
        };
        let captured_at = Instant::now();
        Ok(Some(Capture { image: self.pattern.frame(beat), captured_at }))
    }
}

fn background(width: u32, height: u32, fps: u32) -> I420 {
    let mut image = I420::new(width, height);
    let (wide, high) = (width as usize, height as usize);
    fill(&mut image, (0, 0), (wide, high), PAPER);
    // A soft slope, as walls have: flat areas would flatter the codec.
    let (luma, _, _) = image.planes_mut();
    for (row, line) in luma.chunks_exact_mut(wide).enumerate() {
        for (column, sample) in line.iter_mut().enumerate() {
            *sample = sample.saturating_add((40 * (row + column) / (high + wide)) as u8);
        }
    }
    let bar = wide.div_ceil(BARS.len());
    for (index, &colour) in BARS.iter().enumerate() {
        fill(&mut image, (index * bar, high - high / 6), (bar, high / 6), colour);
    }
    let unit = (high / 90).max(1);
    write(&mut image, (wide * 3 / 10, unit * 4), unit, "BEDSIDE TEST PATTERN", INK);
    write(&mut image, (wide * 3 / 10, unit * 26), unit, &format!("{width}X{height} {fps}"), INK);
    image
}

/// Diagonal stripes that run to the left, once their own width per eighth of a second.
fn stripes(image: &mut I420, n: u64, fps: u32) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let period = (width / 16).max(2);
    let shift = (n * period as u64 * 8 / u64::from(fps)) as usize % period;
    let (top, bottom) = (height * 7 / 10, height * 8 / 10);
    let (luma, _, _) = image.planes_mut();
    let row: Vec<u8> = (0..width + 2 * period)
        .map(|x| {
            let phase = x % period;
            (60 + 140 * phase.min(period - phase) / (period / 2)) as u8
        })
        .collect();
    for line in top..bottom {
        let start = (shift + line - top) % period;
        luma[line * width..(line + 1) * width].copy_from_slice(&row[start..start + width]);
    }
}

/// Where a ball is that runs to and fro over `span` pixels.
fn bounce(distance: u64, span: usize) -> usize {
    let span = span.max(1) as u64;
    let place = distance % (2 * span);
    place.min(2 * span - place) as usize
}

fn disc(image: &mut I420, centre: (usize, usize), radius: usize, colour: Colour) {
    for dy in 0..=2 * radius {
        let off = dy.abs_diff(radius);
        let half = ((radius * radius).saturating_sub(off * off) as f64).sqrt() as usize;
        let row = (centre.1 + dy).saturating_sub(radius);
        fill(image, (centre.0.saturating_sub(half), row), (2 * half, 1), colour);
    }
}

fn write(image: &mut I420, at: (usize, usize), unit: usize, text: &str, colour: Colour) {
    for (index, letter) in text.chars().enumerate() {
        for (row, line) in glyphs::rows(letter).into_iter().enumerate() {
            for column in (0..5).filter(|column| line >> (4 - column) & 1 == 1) {
                let place = (at.0 + (index * 6 + column) * unit, at.1 + row * unit);
                fill(image, place, (unit, unit), colour);
            }
        }
    }
}

/// Fills a rectangle, cut to the picture.
fn fill(image: &mut I420, at: (usize, usize), size: (usize, usize), colour: Colour) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (left, right) = (at.0.min(width), (at.0 + size.0).min(width));
    let (top, bottom) = (at.1.min(height), (at.1 + size.1).min(height));
    let (luma, blue, red) = image.planes_mut();
    for row in top..bottom {
        luma[row * width + left..row * width + right].fill(colour.0);
        if row % 2 == 0 {
            let chroma = row / 2 * (width / 2);
            blue[chroma + left / 2..chroma + right / 2].fill(colour.1);
            red[chroma + left / 2..chroma + right / 2].fill(colour.2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(width: u32, height: u32) -> Pattern {
        Pattern::new(CaptureFormat { width, height, fps: 30 })
    }

    #[test]
    fn the_same_frame_is_the_same_everywhere() {
        assert_eq!(pattern(640, 360).frame(1234), pattern(640, 360).frame(1234));
    }

    #[test]
    fn every_frame_differs_from_the_one_before() {
        let pattern = pattern(640, 360);
        for n in 0..120 {
            assert_ne!(pattern.frame(n), pattern.frame(n + 1), "frame {n}");
        }
    }

    #[test]
    fn it_moves_enough_to_be_video_and_not_so_much_as_to_be_noise() {
        let pattern = pattern(640, 360);
        let (before, after) = (pattern.frame(30), pattern.frame(31));
        let changed = before.y().iter().zip(after.y()).filter(|(a, b)| a.abs_diff(**b) > 8).count();
        let share = changed as f64 / before.y().len() as f64;
        assert!((0.02..0.5).contains(&share), "{share} of the pixels change");
    }

    #[test]
    fn all_sizes_can_be_drawn() {
        for (width, height) in [(2, 2), (16, 16), (33, 17), (320, 180), (1920, 1080), (720, 1280)] {
            let pattern = pattern(width, height);
            for n in [0, 1, 59, 1_000_000, u64::from(u32::MAX)] {
                assert!(pattern.frame(n).y().iter().all(|sample| (16..=235).contains(sample)));
            }
        }
    }
}
