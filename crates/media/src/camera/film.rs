//! A film as a camera: uncompressed 4:2:0 pictures in a YUV4MPEG2 file (`ffmpeg -pix_fmt yuv420p film.y4m`),
//! played at the file's own rate and for ever. The file is checked as a whole when opened and then read one
//! picture at a time: it may be far larger than the memory.

mod header;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use self::header::Header;
use super::pace::Pacer;
use super::source::{CameraSource, CameraSystem, Capture, Stop};
use super::{CameraTrouble, CaptureFormat};
use crate::frame::{FramePool, I420};
use crate::pixels;

/// Longest frame header read; none in use has more than the word `FRAME`.
const MAX_FRAME_HEADER: usize = 256;

/// Why a film can't be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilmError {
    /// The file can't be opened or read: check its name and rights.
    #[error("the film can't be read: {0}")]
    Io(#[from] io::Error),
    /// Not a YUV4MPEG2 file, or one of a kind that is not supported: convert it.
    #[error("not a film that can be played: {0}")]
    Format(&'static str),
    /// The file ends in the middle of a picture: copy it again.
    #[error("the film is cut short in picture {0}")]
    Truncated(usize),
}

/// An open film.
pub struct Film {
    file: File,
    header: Header,
    /// Where each picture's samples begin.
    pictures: Vec<u64>,
    pool: FramePool,
    line: Vec<u8>,
}

impl Film {
    /// Opens a film and checks that all its pictures are there.
    ///
    /// # Errors
    /// [`FilmError`] as its variants say.
    pub fn open(path: &Path) -> Result<Self, FilmError> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let (header, mut place) = Header::read(&mut file)?;
        let size = header.picture_bytes();
        let mut pictures = Vec::new();
        while place < length {
            let samples =
                place + frame_header(&mut file, place)?.ok_or(FilmError::Truncated(pictures.len()))?;
            if samples + size > length {
                return Err(FilmError::Truncated(pictures.len()));
            }
            pictures.push(samples);
            place = samples + size;
        }
        if pictures.is_empty() {
            return Err(FilmError::Format("it has no pictures"));
        }
        Ok(Self { file, header, pictures, pool: FramePool::new(), line: Vec::new() })
    }

    /// Width in pixels (of an odd one the last column is not shown).
    #[must_use]
    pub fn width(&self) -> u32 {
        self.header.width & !1
    }

    /// Height in pixels (of an odd one the last row is not shown).
    #[must_use]
    pub fn height(&self) -> u32 {
        self.header.height & !1
    }

    /// Frames per second as a fraction, numerator and denominator.
    #[must_use]
    pub fn frame_rate(&self) -> (u32, u32) {
        self.header.rate
    }

    /// How many pictures there are.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.pictures.len()
    }

    /// Picture number `n`, counting on from the start after the end.
    ///
    /// # Errors
    /// [`FilmError::Io`] when the file can no longer be read.
    pub fn frame(&mut self, n: u64) -> Result<I420, FilmError> {
        let index = n % self.pictures.len() as u64;
        self.file.seek(SeekFrom::Start(self.pictures[index as usize]))?;
        let mut image = self.pool.take(self.header.width, self.header.height);
        if image.as_bytes().len() as u64 == self.header.picture_bytes() {
            self.file.read_exact(image.as_bytes_mut())?;
        } else {
            self.read_cropped(&mut image)?;
        }
        if self.header.full_range {
            pixels::full_to_limited(&mut image);
        }
        Ok(image)
    }

    fn read_cropped(&mut self, image: &mut I420) -> Result<(), FilmError> {
        let width = image.width() as usize;
        let (wide, high) = (self.header.width as usize, self.header.height as usize);
        let (y, u, v) = image.planes_mut();
        for (plane, wide, high, kept) in [
            (y, wide, high, width),
            (u, wide.div_ceil(2), high.div_ceil(2), width / 2),
            (v, wide.div_ceil(2), high.div_ceil(2), width / 2),
        ] {
            self.line.resize(wide, 0);
            let mut rows = plane.chunks_exact_mut(kept);
            for _ in 0..high {
                self.file.read_exact(&mut self.line)?;
                if let Some(row) = rows.next() {
                    row.copy_from_slice(&self.line[..kept]);
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Film {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Film {}×{}, {} pictures", self.width(), self.height(), self.frames())
    }
}

/// Length of the frame header at `place`, `None` when the file ends in it.
fn frame_header(file: &mut File, place: u64) -> Result<Option<u64>, FilmError> {
    file.seek(SeekFrom::Start(place))?;
    let mut bytes = Vec::with_capacity(MAX_FRAME_HEADER);
    file.by_ref().take(MAX_FRAME_HEADER as u64).read_to_end(&mut bytes)?;
    if !bytes.starts_with(b"FRAME") {
        return if b"FRAME".starts_with(&bytes) {
            Ok(None)
        } else {
            Err(FilmError::Format("a picture is missing"))
        };
    }
    Ok(bytes.iter().position(|&byte| byte == b'\n').map(|end| end as u64 + 1))
}

/// A film as the only camera there is.
pub(super) struct FilmCamera {
    path: PathBuf,
}

impl FilmCamera {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl CameraSystem for FilmCamera {
    fn list(&self) -> Vec<String> {
        vec![self.path.display().to_string()]
    }

    fn open(&self, _name: &str, _wish: CaptureFormat) -> Result<Box<dyn CameraSource>, CameraTrouble> {
        let film = Film::open(&self.path).map_err(|error| {
            tracing::warn!(%error, "the film can't be used as a camera");
            CameraTrouble::Failed
        })?;
        let (numerator, denominator) = film.frame_rate();
        Ok(Box::new(FilmSource { film, pacer: Pacer::new(numerator, denominator) }))
    }

    fn may_come_back(&self) -> bool {
        false
    }
}

struct FilmSource {
    film: Film,
    pacer: Pacer,
}

impl CameraSource for FilmSource {
    fn next_frame(&mut self, stop: &Stop) -> Result<Option<Capture>, CameraTrouble> {
        let Some(beat) = self.pacer.wait(stop) else {
            return Ok(None);
        };
        let captured_at = Instant::now();
        let image = self.film.frame(beat).map_err(|error| {
            tracing::warn!(%error, "the film can't be read any more");
            CameraTrouble::Failed
        })?;
        Ok(Some(Capture { image, captured_at }))
    }
}

#[cfg(test)]
mod tests;
