//! What two computers say to each other on the data channel for files. Binary, of fixed shape, integers in network
//! order: a kind, the transfer (16 bytes), and what the kind adds.
//!
//! | kind | adds | from | meaning |
//! | --- | --- | --- | --- |
//! | 1 want | round (4), first chunk (4) | receiver | send from there; an earlier round is over |
//! | 2 stop | | receiver | send no more for now |
//! | 3 piece | round (4), offset (8), bytes | sender | sealed bytes at that offset of the sealed file |
//! | 4 ack | round (4), offset (8) | receiver | everything up to there is taken |
//! | 5 gone | reason (1) | sender | it can't be had any more |
//! | 6 saved | | receiver | it is whole and checked |
//! | 7 decline | | receiver | it is not wanted |

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use crate::transfer::TransferId;

/// Bytes of a piece beside what it carries.
const PIECE_OVERHEAD: usize = 1 + 16 + 4 + 8;
/// The most bytes a piece carries: small, so that what shares the connection gets in between.
pub(in crate::transfer) const MAX_PIECE_BYTES: usize = 16 * 1024 - PIECE_OVERHEAD;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::transfer) enum Message {
    Want { transfer: TransferId, round: u32, from_chunk: u32 },
    Stop { transfer: TransferId },
    Piece { transfer: TransferId, round: u32, offset: u64, bytes: Bytes },
    Ack { transfer: TransferId, round: u32, offset: u64 },
    Gone { transfer: TransferId, why: Why },
    Saved { transfer: TransferId },
    Decline { transfer: TransferId },
}

/// Why a file can't be had any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transfer) enum Why {
    /// The sender stopped it, or never offered it.
    Stopped,
    /// It changed since it was offered.
    Changed,
}

impl Message {
    pub(in crate::transfer) fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(PIECE_OVERHEAD);
        match self {
            Self::Want { transfer, round, from_chunk } => {
                begin(&mut out, 1, *transfer);
                out.put_u32(*round);
                out.put_u32(*from_chunk);
            }
            Self::Stop { transfer } => begin(&mut out, 2, *transfer),
            Self::Piece { transfer, round, offset, bytes } => {
                out.reserve(PIECE_OVERHEAD + bytes.len());
                begin(&mut out, 3, *transfer);
                out.put_u32(*round);
                out.put_u64(*offset);
                out.put_slice(bytes);
            }
            Self::Ack { transfer, round, offset } => {
                begin(&mut out, 4, *transfer);
                out.put_u32(*round);
                out.put_u64(*offset);
            }
            Self::Gone { transfer, why } => {
                begin(&mut out, 5, *transfer);
                out.put_u8(match why {
                    Why::Stopped => 0,
                    Why::Changed => 1,
                });
            }
            Self::Saved { transfer } => begin(&mut out, 6, *transfer),
            Self::Decline { transfer } => begin(&mut out, 7, *transfer),
        }
        out.freeze()
    }

    /// What the bytes say; `None` for what no sender of this version says.
    pub(in crate::transfer) fn read(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < 17 || bytes.len() > MAX_PIECE_BYTES + PIECE_OVERHEAD {
            return None;
        }
        let kind = bytes.get_u8();
        let transfer = TransferId(Uuid::from_u128(bytes.get_u128()));
        let message = match (kind, bytes.len()) {
            (1, 8) => Self::Want { transfer, round: bytes.get_u32(), from_chunk: bytes.get_u32() },
            (2, 0) => Self::Stop { transfer },
            (3, 13..) => Self::Piece { transfer, round: bytes.get_u32(), offset: bytes.get_u64(), bytes },
            (4, 12) => Self::Ack { transfer, round: bytes.get_u32(), offset: bytes.get_u64() },
            (5, 1) => {
                let why = if bytes.get_u8() == 1 { Why::Changed } else { Why::Stopped };
                Self::Gone { transfer, why }
            }
            (6, 0) => Self::Saved { transfer },
            (7, 0) => Self::Decline { transfer },
            _ => return None,
        };
        Some(message)
    }
}

fn begin(out: &mut BytesMut, kind: u8, transfer: TransferId) {
    out.put_u8(kind);
    out.put_u128(transfer.0.as_u128());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_message_reads_as_it_was_written() {
        let transfer = TransferId::random();
        for message in [
            Message::Want { transfer, round: 7, from_chunk: u32::MAX },
            Message::Stop { transfer },
            Message::Piece { transfer, round: 7, offset: u64::MAX, bytes: vec![1; MAX_PIECE_BYTES].into() },
            Message::Ack { transfer, round: 7, offset: 9 },
            Message::Gone { transfer, why: Why::Changed },
            Message::Gone { transfer, why: Why::Stopped },
            Message::Saved { transfer },
            Message::Decline { transfer },
        ] {
            let bytes = message.to_bytes();
            assert!(bytes.len() <= 16 * 1024);
            assert_eq!(Message::read(bytes.clone()), Some(message));
            assert_eq!(Message::read(bytes.slice(..bytes.len().min(17) - 1)), None);
        }
    }

    proptest! {
        #[test]
        fn anything_reads_as_a_message_or_as_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(message) = Message::read(bytes.clone().into())
                && !matches!(message, Message::Gone { .. })
            {
                prop_assert_eq!(message.to_bytes(), bytes);
            }
        }
    }
}
