//! The little of H.264 that transport needs: NAL unit types, Annex B, RFC 6184 payloads.

use thiserror::Error;

/// NAL unit types (ITU-T H.264 table 7-1) and payload types (RFC 6184 table 1) that are told apart here.
pub mod nal_type {
    /// A slice of a picture that others may depend on.
    pub const SLICE: u8 = 1;
    /// A slice of an instantaneous decoder refresh picture.
    pub const IDR: u8 = 5;
    /// Supplemental information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
    /// Filler data.
    pub const FILLER: u8 = 12;
    /// Single-time aggregation packet.
    pub const STAP_A: u8 = 24;
    /// Fragmentation unit.
    pub const FU_A: u8 = 28;
}

/// The four-byte Annex B start code.
pub const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The type of the NAL unit that begins with `header`.
pub const fn type_of(header: u8) -> u8 {
    header & 0x1f
}

/// Whether a whole NAL unit begins a coded picture: a slice whose `first_mb_in_slice` is zero, which Exp-Golomb
/// codes as a single one bit (H.264 §7.3.3).
pub fn is_first_slice(nal: &[u8]) -> bool {
    is_slice(nal) && nal.get(1).is_some_and(|byte| byte & 0x80 != 0)
}

/// Whether a NAL unit is a slice of a picture.
pub fn is_slice(nal: &[u8]) -> bool {
    nal.first().is_some_and(|header| matches!(type_of(*header), nal_type::SLICE..=nal_type::IDR))
}

/// The NAL units of an Annex B stream, without start codes and trailing zeros; empty ones are passed over.
pub fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = skip_start_code(annex_b);
    std::iter::from_fn(move || {
        loop {
            let current = rest?;
            let (nal, next) = match find_start_code(current) {
                Some(at) => (&current[..at], Some(&current[at + 3..])),
                None => (current, None),
            };
            rest = next;
            let end = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if end > 0 {
                return Some(&nal[..end]);
            }
        }
    })
}

fn skip_start_code(annex_b: &[u8]) -> Option<&[u8]> {
    find_start_code(annex_b).map(|at| &annex_b[at + 3..])
}

/// Where the next `00 00 01` begins.
fn find_start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at + 2 < bytes.len() {
        match bytes[at + 2] {
            0 => at += 1,
            1 if bytes[at] == 0 && bytes[at + 1] == 0 => return Some(at),
            _ => at += 3,
        }
    }
    None
}

/// Why a run of RTP payloads is not one whole access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// An aggregate or a fragment ends before its own header says; drop the frame.
    #[error("the payload is cut short")]
    Truncated,
    /// A fragment begins without a start bit, or another NAL unit begins before the end bit; drop the frame.
    #[error("a fragmented NAL unit lacks its beginning or its end")]
    Torn,
    /// A packet type outside packetization mode 1 (RFC 6184 §6.3); drop the frame.
    #[error("the payload type is not part of packetization mode 1")]
    Unsupported,
}

/// The parts of one RTP payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// One whole NAL unit.
    Single(&'a [u8]),
    /// Several whole NAL units, each behind a 16-bit length.
    Aggregate(&'a [u8]),
    /// A piece of a NAL unit.
    Fragment {
        /// The header that the whole NAL unit has.
        header: u8,
        /// First piece.
        start: bool,
        /// Last piece.
        end: bool,
        /// The piece, without the NAL unit's header.
        data: &'a [u8],
    },
}

/// Reads an RTP payload; the content of an aggregate is checked by [`aggregated`].
pub fn parse(payload: &[u8]) -> Result<Payload<'_>, PayloadError> {
    match payload {
        [] => Err(PayloadError::Truncated),
        [header, ..] if (1..=23).contains(&type_of(*header)) => Ok(Payload::Single(payload)),
        [header, units @ ..] if type_of(*header) == nal_type::STAP_A => Ok(Payload::Aggregate(units)),
        [indicator, fu, data @ ..] if type_of(*indicator) == nal_type::FU_A => {
            let (start, end) = (fu & 0x80 != 0, fu & 0x40 != 0);
            if data.is_empty() {
                return Err(PayloadError::Truncated);
            }
            if start && end {
                return Err(PayloadError::Torn);
            }
            Ok(Payload::Fragment { header: (indicator & 0xe0) | type_of(*fu), start, end, data })
        }
        [header] if type_of(*header) == nal_type::FU_A => Err(PayloadError::Truncated),
        _ => Err(PayloadError::Unsupported),
    }
}

/// The NAL units inside an aggregate; ends with an error if one is cut short or empty.
pub fn aggregated(mut units: &[u8]) -> impl Iterator<Item = Result<&[u8], PayloadError>> {
    std::iter::from_fn(move || {
        let (high, low, rest) = match units {
            [] => return None,
            [high, low, rest @ ..] => (*high, *low, rest),
            [_] => {
                units = &[];
                return Some(Err(PayloadError::Truncated));
            }
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 || length > rest.len() {
            units = &[];
            return Some(Err(PayloadError::Truncated));
        }
        let (nal, after) = rest.split_at(length);
        units = after;
        Some(Ok(nal))
    })
}

/// Puts the NAL units of one access unit together, in the order of its packets.
#[derive(Debug, Default)]
pub struct Depacketizer {
    nals: Vec<Vec<u8>>,
    open: bool,
}

impl Depacketizer {
    /// Takes the next packet's payload. An empty payload (padding) is passed over.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), PayloadError> {
        if payload.is_empty() {
            return Ok(());
        }
        match parse(payload)? {
            Payload::Fragment { header, start, end, data } => self.fragment(header, start, end, data),
            _ if self.open => Err(PayloadError::Torn),
            Payload::Single(nal) => {
                self.nals.push(nal.to_vec());
                Ok(())
            }
            Payload::Aggregate(units) => {
                for nal in aggregated(units) {
                    self.nals.push(nal?.to_vec());
                }
                Ok(())
            }
        }
    }

    fn fragment(&mut self, header: u8, start: bool, end: bool, data: &[u8]) -> Result<(), PayloadError> {
        if start == self.open {
            return Err(PayloadError::Torn);
        }
        if start {
            self.nals.push(vec![header]);
        }
        let nal = self.nals.last_mut().ok_or(PayloadError::Torn)?;
        if nal[0] != header {
            return Err(PayloadError::Torn);
        }
        nal.extend_from_slice(data);
        self.open = !end;
        Ok(())
    }

    /// The NAL units, if every fragmented one came to its end.
    pub fn finish(self) -> Result<Vec<Vec<u8>>, PayloadError> {
        if self.open { Err(PayloadError::Torn) } else { Ok(self.nals) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annex_b_is_split_at_both_kinds_of_start_code() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 0, 0, 3, 1];
        let nals: Vec<&[u8]> = nal_units(&stream).collect();
        assert_eq!(nals, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 0, 0, 3, 1]]);
    }

    #[test]
    fn bytes_without_a_start_code_hold_no_nal_unit() {
        assert_eq!(nal_units(&[1, 2, 3]).count(), 0);
        assert_eq!(nal_units(&[]).count(), 0);
        assert_eq!(nal_units(&[0, 0, 1]).count(), 0);
        assert_eq!(nal_units(&[0, 0, 1, 0, 0, 0, 0, 1]).count(), 0);
    }

    #[test]
    fn a_fragment_without_its_start_is_torn() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(depacketizer.push(&[0x7c, 0x05, 1]), Err(PayloadError::Torn));
    }

    #[test]
    fn a_fragment_without_its_end_is_torn() {
        let mut depacketizer = Depacketizer::default();
        depacketizer.push(&[0x7c, 0x85, 1]).unwrap();
        assert_eq!(depacketizer.finish(), Err(PayloadError::Torn));
    }

    #[test]
    fn a_fragment_that_starts_and_ends_at_once_is_refused() {
        assert_eq!(parse(&[0x7c, 0xc5, 1]), Err(PayloadError::Torn));
    }

    #[test]
    fn a_lying_aggregate_is_refused() {
        let mut depacketizer = Depacketizer::default();
        assert_eq!(depacketizer.push(&[24, 0, 9, 0x67]), Err(PayloadError::Truncated));
        assert_eq!(Depacketizer::default().push(&[24, 0, 0]), Err(PayloadError::Truncated));
        assert_eq!(Depacketizer::default().push(&[24, 0]), Err(PayloadError::Truncated));
    }

    #[test]
    fn modes_we_never_offered_are_refused() {
        for kind in [0, 25, 26, 27, 29, 30, 31] {
            assert_eq!(parse(&[kind, 0, 0]), Err(PayloadError::Unsupported));
        }
    }
}
