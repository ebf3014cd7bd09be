//! The first line of a YUV4MPEG2 file: size, rate, chroma layout, range.

use std::io::Read;

use super::FilmError;
use crate::frame::MAX_SIDE;

/// Longest first line read.
const MAX_HEADER: u64 = 1024;

/// What the first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Frames per second, numerator and denominator.
    pub(super) rate: (u32, u32),
    pub(super) full_range: bool,
}

impl Header {
    /// Reads the line; answers it and its length in bytes.
    pub(super) fn read(file: &mut impl Read) -> Result<(Self, u64), FilmError> {
        let mut bytes = Vec::new();
        file.take(MAX_HEADER).read_to_end(&mut bytes)?;
        let end =
            bytes.iter().position(|&byte| byte == b'\n').ok_or(FilmError::Format("it has no header"))?;
        let line =
            std::str::from_utf8(&bytes[..end]).map_err(|_| FilmError::Format("its header is not text"))?;
        Ok((Self::parse(line)?, end as u64 + 1))
    }

    /// Bytes of one picture.
    pub(super) fn picture_bytes(&self) -> u64 {
        let (width, height) = (u64::from(self.width), u64::from(self.height));
        width * height + 2 * width.div_ceil(2) * height.div_ceil(2)
    }

    fn parse(line: &str) -> Result<Self, FilmError> {
        let mut words = line.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err(FilmError::Format("it is not YUV4MPEG2"));
        }
        let mut header = Self { width: 0, height: 0, rate: (0, 0), full_range: false };
        for word in words {
            let Some((tag, value)) = word.split_at_checked(1) else {
                continue;
            };
            match tag {
                "W" => header.width = side(value)?,
                "H" => header.height = side(value)?,
                "F" => header.rate = rate(value)?,
                "C" if !matches!(value, "420" | "420jpeg" | "420mpeg2" | "420paldv") => {
                    return Err(FilmError::Format("its pictures are not 8-bit 4:2:0"));
                }
                "I" if !matches!(value, "p" | "?") => return Err(FilmError::Format("it is interlaced")),
                "X" => header.full_range |= value == "COLORRANGE=FULL",
                // Pixel aspect and comments change nothing here.
                _ => {}
            }
        }
        if header.width == 0 || header.height == 0 || header.rate.0 == 0 {
            return Err(FilmError::Format("its header gives no size or no rate"));
        }
        Ok(header)
    }
}

fn side(value: &str) -> Result<u32, FilmError> {
    let side: u32 = value.parse().map_err(|_| FilmError::Format("its size is no number"))?;
    if (2..=MAX_SIDE).contains(&side) { Ok(side) } else { Err(FilmError::Format("its size is out of range")) }
}

fn rate(value: &str) -> Result<(u32, u32), FilmError> {
    let parsed =
        value.split_once(':').and_then(|(n, d)| Some((n.parse::<u32>().ok()?, d.parse::<u32>().ok()?)));
    let (numerator, denominator) = parsed.ok_or(FilmError::Format("its rate is no fraction"))?;
    let plausible =
        denominator > 0 && numerator >= denominator && u64::from(numerator) <= 240 * u64::from(denominator);
    if plausible { Ok((numerator, denominator)) } else { Err(FilmError::Format("its rate is out of range")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Header, FilmError> {
        Header::read(&mut format!("{line}\n").as_bytes()).map(|(header, _)| header)
    }

    #[test]
    fn headers_as_tools_write_them_are_understood() {
        let ffmpeg =
            parse("YUV4MPEG2 W1280 H720 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=LIMITED");
        let expected = Header { width: 1280, height: 720, rate: (30_000, 1001), full_range: false };
        assert_eq!(ffmpeg.unwrap(), expected);
        assert!(parse("YUV4MPEG2 W2 H2 F25:1 XCOLORRANGE=FULL").unwrap().full_range);
        assert_eq!(parse("YUV4MPEG2 W5 H3 F25:1").unwrap().picture_bytes(), 15 + 2 * 6);
    }

    #[test]
    fn headers_that_we_cannot_play_are_refused() {
        for line in [
            "",
            "RIFF",
            "YUV4MPEG2",
            "YUV4MPEG2 W16 H16",
            "YUV4MPEG2 W16 H16 F0:1",
            "YUV4MPEG2 W16 H16 F25:0",
            "YUV4MPEG2 W16 H16 F1:25",
            "YUV4MPEG2 W16 H99999 F25:1",
            "YUV4MPEG2 W-16 H16 F25:1",
            "YUV4MPEG2 W16 H16 F25:1 C444",
            "YUV4MPEG2 W16 H16 F25:1 C420p10",
            "YUV4MPEG2 W16 H16 F25:1 It",
        ] {
            assert!(parse(line).is_err(), "{line:?}");
        }
        assert!(Header::read(&mut [0xff_u8; 4096].as_slice()).is_err());
    }
}
