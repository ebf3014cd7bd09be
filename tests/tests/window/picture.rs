//! The part of a screenshot where the other person is, as the engine's own picture type, to be compared with
//! what their camera made.

use std::path::{Path, PathBuf};

use bedside_media::{
    camera::{CaptureFormat, Pattern},
    frame::I420,
    scale,
    stamp::{self, Stamp},
};

use crate::driver::Window;

/// A remote picture as it stands on the screen.
pub(crate) struct Shown {
    image: I420,
    /// The frame counter burned into it.
    pub(crate) stamp: Stamp,
}

/// What the window shows of the other person now; `None` while there is no readable picture.
pub(crate) fn shown(window: &Window) -> Option<Shown> {
    let area = window.script(
        "const canvas = document.querySelector('canvas[data-stream=remote]');
         if (!canvas || !canvas.width) return null;
         const box = canvas.getBoundingClientRect();
         const scale = Math.min(box.width / canvas.width, box.height / canvas.height);
         const [width, height] = [canvas.width * scale, canvas.height * scale];
         return [box.left + (box.width - width) / 2, box.top + (box.height - height) / 2, width, height]
             .map((length) => Math.round(length * devicePixelRatio));",
    );
    let lengths: Vec<usize> =
        area.as_array()?.iter().filter_map(|length| usize::try_from(length.as_u64()?).ok()).collect();
    let &[left, top, width, height] = lengths.as_slice() else { return None };
    Shown::cut(&Pixels::of_png(&window.screenshot())?, left, top, width & !1, height & !1)
}

impl Shown {
    /// The picture in this part of the screen, if it can be read there.
    pub(crate) fn cut(screen: &Pixels, left: usize, top: usize, width: usize, height: usize) -> Option<Self> {
        let image = screen.crop(left, top, width, height)?;
        let stamp = stamp::read(&image)?;
        Some(Self { image, stamp })
    }

    /// How far it is from the pattern's frame of that number.
    pub(crate) fn differs_from_pattern(&self) -> f64 {
        let format = CaptureFormat { width: 1280, height: 720, fps: 30 };
        self.difference(Pattern::new(format).frame(u64::from(self.stamp.counter)))
    }

    /// How far it is from the [`film`].
    pub(crate) fn differs_from_film(&self) -> f64 {
        self.difference(film())
    }

    /// Mean difference of brightness of 256. The lower part, where controls lie over it, does not count.
    fn difference(&self, mut expected: I420) -> f64 {
        stamp::burn(&mut expected, self.stamp);
        let expected = scale::scale(&expected, self.image.width(), self.image.height());
        let (width, height) = (expected.width() as usize, expected.height() as usize);
        let pixels = width * height * 6 / 10;
        let pitch = self.image.width() as usize;
        let sum: u64 = (0..pixels)
            .map(|at| {
                let shown = self.image.y()[at / width * pitch + at % width];
                u64::from(shown.abs_diff(expected.y()[at]))
            })
            .sum();
        sum as f64 / pixels as f64
    }
}

/// The one picture of a film: dark at the left, bright at the right.
fn film() -> I420 {
    const WIDTH: usize = 1280;
    let mut picture = I420::new(1280, 720);
    let (luma, u, v) = picture.planes_mut();
    for (at, brightness) in luma.iter_mut().enumerate() {
        *brightness = u8::try_from(16 + at % WIDTH * 219 / WIDTH).unwrap_or(u8::MAX);
    }
    u.fill(128);
    v.fill(128);
    picture
}

/// Writes the [`film`] as YUV4MPEG2 and returns the file.
pub(crate) fn write_film(folder: &Path) -> PathBuf {
    let file = folder.join("ward.y4m");
    let mut bytes = b"YUV4MPEG2 W1280 H720 F30:1 Ip A1:1 C420mpeg2\n".to_vec();
    bytes.extend_from_slice(b"FRAME\n");
    bytes.extend_from_slice(film().as_bytes());
    std::fs::write(&file, bytes).expect("a film");
    file
}

/// A screen's points.
pub(crate) struct Pixels {
    bytes: Vec<u8>,
    width: usize,
    height: usize,
    /// Bytes of a line and of a point, and where in a point red, green and blue are.
    line: usize,
    point: usize,
    order: [usize; 3],
}

impl Pixels {
    fn of_png(file: &[u8]) -> Option<Self> {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().ok()?;
        let mut bytes = vec![0; reader.output_buffer_size()?];
        let info = reader.next_frame(&mut bytes).ok()?;
        let (width, height) = (info.width as usize, info.height as usize);
        let (line, point) = (info.line_size, info.color_type.samples());
        (point >= 3).then_some(Self { bytes, width, height, line, point, order: [0, 1, 2] })
    }

    /// Of an X window dump, version 7, of a display of 24 bits: a header of 32-bit numbers, a colour map, the points.
    pub(crate) fn of_dump(file: Vec<u8>) -> Option<Self> {
        let number = |at: usize| {
            let bytes = file.get(at * 4..at * 4 + 4)?;
            usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
        };
        let (width, height, line) = (number(4)?, number(5)?, number(12)?);
        let points = number(0)? + number(19)? * 12;
        let bytes = file.get(points..points + line * height)?.to_vec();
        Some(Self { bytes, width, height, line, point: 4, order: [2, 1, 0] })
    }

    /// Red, green and blue of a point.
    fn at(&self, column: usize, row: usize) -> [u8; 3] {
        let at = row * self.line + column * self.point;
        self.order.map(|part| self.bytes[at + part])
    }

    /// Where in a part of it (left, top, width, height) points of some colour are.
    pub(crate) fn points(&self, part: [usize; 4], is: impl Fn([u8; 3]) -> bool) -> Vec<(usize, usize)> {
        let [left, top, width, height] = part;
        let rows = top..(top + height).min(self.height);
        let columns = left..(left + width).min(self.width);
        let all = rows.flat_map(|row| columns.clone().map(move |column| (column, row)));
        all.filter(|(column, row)| is(self.at(*column, *row))).collect()
    }

    /// A rectangle of it, brightness only, in BT.601 limited range.
    fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Option<I420> {
        if left + width > self.width || top + height > self.height {
            return None;
        }
        let mut image = I420::new(u32::try_from(width).ok()?, u32::try_from(height).ok()?);
        let (luma, _, _) = image.planes_mut();
        for row in 0..height {
            for column in 0..width {
                let [red, green, blue] = self.at(left + column, top + row).map(u32::from);
                let y = 16 + (66 * red + 129 * green + 25 * blue + 128) / 256;
                luma[row * width + column] = u8::try_from(y).unwrap_or(u8::MAX);
            }
        }
        Some(image)
    }
}
