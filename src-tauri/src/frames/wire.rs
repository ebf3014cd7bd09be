//! What travels on a frame stream. The same layout as `ui/src/lib/frames/protocol.ts`; all little-endian.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 4 | `BSF1` |
//! | 4 | 4 | sequence, grows by one per frame sent |
//! | 8 | 8 | capture time, microseconds since the stream was opened |
//! | 16 | 2 | width, even |
//! | 18 | 2 | height, even |
//! | 20 | 1 | colour: 1 = BT.601, limited range |
//! | 21 | 3 | zero |
//! | 24 | … | planes Y, U, V, tightly packed |

use super::Picture;

/// Bytes before the planes.
pub const HEADER_BYTES: usize = 24;
const MAGIC: &[u8; 4] = b"BSF1";
const BT601_LIMITED: u8 = 1;

/// What the web view says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// This frame was drawn, or skipped for a newer one: it is no longer under way.
    Drawn(u32),
    /// The picture is shown at this many device pixels.
    Shown {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
}

impl Feedback {
    /// Reads a message; `None` when it is none of ours.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let (kind, body) = message.split_first()?;
        let [a, b, c, d] = *<&[u8; 4]>::try_from(body).ok()?;
        match kind {
            1 => Some(Feedback::Drawn(u32::from_le_bytes([a, b, c, d]))),
            2 => Some(Feedback::Shown {
                width: u16::from_le_bytes([a, b]).into(),
                height: u16::from_le_bytes([c, d]).into(),
            }),
            _ => None,
        }
    }
}

/// Lays a picture out as a message.
pub(crate) fn message(picture: &Picture) -> Vec<u8> {
    let Picture { sequence, captured_us, image } = picture;
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX).to_le_bytes();
    let planes = image.as_bytes();
    let mut message = Vec::with_capacity(HEADER_BYTES + planes.len());
    message.extend_from_slice(MAGIC);
    message.extend_from_slice(&sequence.to_le_bytes());
    message.extend_from_slice(&captured_us.to_le_bytes());
    message.extend_from_slice(&side(image.width()));
    message.extend_from_slice(&side(image.height()));
    message.extend_from_slice(&[BT601_LIMITED, 0, 0, 0]);
    message.extend_from_slice(planes);
    message
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bedside_media::frame::I420;

    use super::*;

    #[test]
    fn a_message_is_a_header_and_three_planes() {
        let message =
            message(&Picture { sequence: 7, captured_us: 1_000_000, image: Arc::new(I420::new(64, 32)) });
        assert_eq!(message.len(), HEADER_BYTES + 64 * 32 * 3 / 2);
        assert_eq!(&message[..4], b"BSF1");
        assert_eq!(message[4..8], 7_u32.to_le_bytes());
        assert_eq!(message[8..16], 1_000_000_u64.to_le_bytes());
        assert_eq!((message[16..18].to_vec(), message[18..20].to_vec()), (vec![64, 0], vec![32, 0]));
        assert_eq!(message[20..24], [1, 0, 0, 0]);
    }

    #[test]
    fn feedback_is_read_and_anything_else_ignored() {
        assert_eq!(Feedback::parse(&[1, 4, 3, 0, 0]), Some(Feedback::Drawn(0x304)));
        assert_eq!(
            Feedback::parse(&[2, 0x80, 2, 0x68, 1]),
            Some(Feedback::Shown { width: 640, height: 360 })
        );
        for strange in [&[][..], &[1], &[1, 2, 3, 4], &[1, 2, 3, 4, 5, 6], &[9, 0, 0, 0, 0]] {
            assert_eq!(Feedback::parse(strange), None, "{strange:?}");
        }
    }
}
