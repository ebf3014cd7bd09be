//! Access units into RTP payloads, packetization mode 1 (RFC 6184 §6.3).
//!
//! Parameter sets travel together (STAP-A), a NAL unit that fits travels alone, a larger one in fragments of
//! equal size (FU-A): equal, because the last packet of a picture is the one whose loss is noticed last, and a
//! tiny one gains nothing. It numbers nothing and marks nothing: the marker belongs on the last payload.

use super::h264::{self, nal_type};

/// Room for the FU indicator and the FU header.
const FU_HEADERS: usize = 2;
/// The least payload that is ever used, whatever is asked for.
const MIN_PAYLOAD: usize = 64;
/// The longest parameter sets that are remembered; a real pair is under 64 bytes.
const MAX_PARAMETER_SET: usize = 512;

/// Splits access units; remembers the parameter sets, so that no keyframe leaves without them.
#[derive(Debug, Default)]
pub struct Packetizer {
    sps: Vec<u8>,
    pps: Vec<u8>,
}

impl Packetizer {
    /// A packetizer that has seen no parameter sets yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The payloads of one Annex B access unit in sending order, none longer than `max_payload` bytes (64 at the
    /// least; 1,200 suits the Internet). The last one gets the RTP marker. Delimiters and filler are left out.
    pub fn packetize(&mut self, annex_b: &[u8], max_payload: usize) -> Vec<Vec<u8>> {
        let limit = max_payload.max(MIN_PAYLOAD);
        let nals: Vec<&[u8]> = h264::nal_units(annex_b)
            .filter(|nal| match h264::type_of(nal[0]) {
                nal_type::AUD | nal_type::FILLER => false,
                kind => (1..=23).contains(&kind),
            })
            .collect();
        self.remember(&nals);
        let mut payloads = Vec::with_capacity(annex_b.len() / limit + 2);
        let mut group: Vec<&[u8]> = self.missing_parameter_sets(&nals);
        for nal in nals {
            if matches!(h264::type_of(nal[0]), nal_type::SEI | nal_type::SPS | nal_type::PPS) {
                if 1 + aggregate_length(&group) + 2 + nal.len() > limit {
                    flush(&mut group, limit, &mut payloads);
                }
                group.push(nal);
            } else {
                flush(&mut group, limit, &mut payloads);
                whole_or_fragments(nal, limit, &mut payloads);
            }
        }
        flush(&mut group, limit, &mut payloads);
        payloads
    }

    fn remember(&mut self, nals: &[&[u8]]) {
        for nal in nals.iter().filter(|nal| nal.len() <= MAX_PARAMETER_SET) {
            match h264::type_of(nal[0]) {
                nal_type::SPS => self.sps = nal.to_vec(),
                nal_type::PPS => self.pps = nal.to_vec(),
                _ => {}
            }
        }
    }

    /// What an IDR picture that comes without its own parameter sets has to be preceded by.
    fn missing_parameter_sets(&self, nals: &[&[u8]]) -> Vec<&[u8]> {
        let has = |kind| nals.iter().any(|nal| h264::type_of(nal[0]) == kind);
        if !has(nal_type::IDR) || has(nal_type::SPS) || self.sps.is_empty() {
            return Vec::new();
        }
        let mut sets = vec![self.sps.as_slice()];
        if !has(nal_type::PPS) && !self.pps.is_empty() {
            sets.push(&self.pps);
        }
        sets
    }
}

fn aggregate_length(group: &[&[u8]]) -> usize {
    group.iter().map(|nal| 2 + nal.len()).sum()
}

/// Sends what was gathered: alone if it is one, together if they are several.
fn flush(group: &mut Vec<&[u8]>, limit: usize, payloads: &mut Vec<Vec<u8>>) {
    let fits = aggregate_length(group) < limit;
    match group.as_slice() {
        [] => {}
        nals if nals.len() > 1 && fits => {
            // NRI of an aggregate is the highest inside (RFC 6184 §5.7).
            let importance = nals.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
            let mut payload = Vec::with_capacity(1 + aggregate_length(nals));
            payload.push(importance | nal_type::STAP_A);
            for nal in nals {
                payload.extend_from_slice(&(nal.len() as u16).to_be_bytes());
                payload.extend_from_slice(nal);
            }
            payloads.push(payload);
        }
        nals => nals.iter().for_each(|nal| whole_or_fragments(nal, limit, payloads)),
    }
    group.clear();
}

/// The payloads of one NAL unit.
pub(super) fn split(nal: &[u8], max_payload: usize) -> Vec<Vec<u8>> {
    let limit = max_payload.max(MIN_PAYLOAD);
    let mut payloads = Vec::with_capacity(nal.len() / limit + 1);
    whole_or_fragments(nal, limit, &mut payloads);
    payloads
}

fn whole_or_fragments(nal: &[u8], limit: usize, payloads: &mut Vec<Vec<u8>>) {
    if nal.len() <= limit {
        payloads.push(nal.to_vec());
        return;
    }
    let (header, body) = (nal[0], &nal[1..]);
    let count = body.len().div_ceil(limit - FU_HEADERS);
    let size = body.len().div_ceil(count);
    let last = body.len().div_ceil(size) - 1;
    for (index, piece) in body.chunks(size).enumerate() {
        let start = if index == 0 { 0x80 } else { 0 };
        let end = if index == last { 0x40 } else { 0 };
        let mut payload = Vec::with_capacity(FU_HEADERS + piece.len());
        payload.push((header & 0xe0) | nal_type::FU_A);
        payload.push(start | end | h264::type_of(header));
        payload.extend_from_slice(piece);
        payloads.push(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn annex_b(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| h264::START_CODE.into_iter().chain(nal.iter().copied())).collect()
    }

    fn reassemble(payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut depacketizer = h264::Depacketizer::default();
        for payload in payloads {
            depacketizer.push(payload).unwrap();
        }
        depacketizer.finish().unwrap()
    }

    #[test]
    fn parameter_sets_share_a_packet_and_the_picture_is_fragmented() {
        let idr = [vec![0x65], vec![0xab; 3000]].concat();
        let payloads = Packetizer::new().packetize(&annex_b(&[&[0x67, 1, 2], &[0x68, 3], &idr]), 1200);
        assert_eq!(payloads[0], [0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3]);
        assert_eq!(payloads.len(), 4);
        assert_eq!(payloads[1][..2], [0x7c, 0x85]);
        assert_eq!(payloads[2][..2], [0x7c, 0x05]);
        assert_eq!(payloads[3][..2], [0x7c, 0x45]);
        assert_eq!(reassemble(&payloads), [vec![0x67, 1, 2], vec![0x68, 3], idr]);
    }

    #[test]
    fn a_keyframe_without_parameter_sets_gets_the_last_ones() {
        let mut packetizer = Packetizer::new();
        packetizer.packetize(&annex_b(&[&[0x67, 1], &[0x68, 2], &[0x65, 0x88]]), 1200);
        let payloads = packetizer.packetize(&annex_b(&[&[0x65, 0x99]]), 1200);
        assert_eq!(reassemble(&payloads), [vec![0x67, 1], vec![0x68, 2], vec![0x65, 0x99]]);
        assert_eq!(packetizer.packetize(&annex_b(&[&[0x41, 0x99]]), 1200).len(), 1);
    }

    #[test]
    fn delimiters_stay_behind_and_nothing_gives_nothing() {
        let mut packetizer = Packetizer::new();
        assert_eq!(packetizer.packetize(&annex_b(&[&[9, 0xf0], &[0x41, 0x80]]), 1200), [vec![0x41, 0x80]]);
        assert!(packetizer.packetize(&[], 1200).is_empty());
        assert!(packetizer.packetize(&[1, 2, 3], 1200).is_empty());
    }

    proptest! {
        #[test]
        fn any_access_unit_comes_back_whole_and_no_payload_is_too_long(
            sizes in proptest::collection::vec(1usize..5000, 1..6), limit in 64usize..1400,
        ) {
            let nals: Vec<Vec<u8>> = sizes.iter().map(|size| {
                let mut nal = vec![0x41u8; *size];
                nal.push(0x80);
                nal
            }).collect();
            let borrowed: Vec<&[u8]> = nals.iter().map(Vec::as_slice).collect();
            let payloads = Packetizer::new().packetize(&annex_b(&borrowed), limit);
            prop_assert!(payloads.iter().all(|payload| payload.len() <= limit));
            prop_assert_eq!(reassemble(&payloads), nals);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(0u8..4, 0..300), limit in 0usize..200) {
            Packetizer::new().packetize(&bytes, limit);
        }
    }
}
