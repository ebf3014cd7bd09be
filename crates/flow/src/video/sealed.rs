//! Access units that are sealed end to end (RFC 9605), on the way through RTP.
//!
//! What lies between the two engines may see where a picture ends and whether decoding can begin with it, and nothing
//! else. A sealed picture is therefore one NAL unit: two bytes in the clear, which say that it is an IDR picture or not,
//! and the sealed access unit, start codes, parameter sets and all. It is cut like any large NAL unit (RFC 6184 §5.8).

use super::{
    access_unit::{AccessUnit, Damaged},
    h264::{self, Payload, nal_type},
    packetizer,
};

/// The bytes in the clear before a sealed picture: a NAL unit header, and the beginning of a first slice.
pub const CLEAR_BYTES: usize = 2;

/// What stands in the clear; to be authenticated with the picture.
#[must_use]
pub const fn clear(keyframe: bool) -> [u8; CLEAR_BYTES] {
    // nal_ref_idc 3; type 5 (IDR) or 1. `first_mb_in_slice` is 0.
    if keyframe { [0x65, 0x80] } else { [0x61, 0x80] }
}

/// The payloads of one sealed picture in sending order, none longer than `max_payload` bytes.
#[must_use]
pub fn packetize(keyframe: bool, sealed: &[u8], max_payload: usize) -> Vec<Vec<u8>> {
    let nal = [&clear(keyframe)[..], sealed].concat();
    packetizer::split(&nal, max_payload)
}

/// Whether a sealed picture begins with this packet.
pub(super) fn opens_unit(payload: &[u8]) -> bool {
    match h264::parse(payload) {
        Ok(Payload::Single(_)) => true,
        Ok(Payload::Fragment { start, .. }) => start,
        Ok(Payload::Aggregate(_)) | Err(_) => false,
    }
}

/// Puts the payloads of one sealed picture together, the clear bytes included.
pub(super) fn build<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Result<Option<AccessUnit>, Damaged> {
    let mut depacketizer = h264::Depacketizer::default();
    for payload in payloads {
        depacketizer.push(payload).map_err(|_| Damaged)?;
    }
    let mut nals = depacketizer.finish().map_err(|_| Damaged)?;
    match (nals.pop(), nals.is_empty()) {
        (Some(data), true) if data.len() > CLEAR_BYTES => {
            let keyframe = h264::type_of(data[0]) == nal_type::IDR;
            Ok(Some(AccessUnit { data, keyframe }))
        }
        (None, _) => Ok(None),
        _ => Err(Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rtp::RtpMeta, testing::start, video::Assembler};

    fn send(assembler: &mut Assembler, first: u16, timestamp: u32, payloads: &[Vec<u8>]) {
        let last = payloads.len() - 1;
        for (index, payload) in payloads.iter().enumerate() {
            let seq = first.wrapping_add(index as u16);
            assembler.insert(start(), RtpMeta { seq, timestamp, marker: index == last }, payload);
        }
    }

    #[test]
    fn any_bytes_pass_start_codes_and_all() {
        let sealed: Vec<u8> = [0, 0, 0, 1, 0x67].into_iter().cycle().take(5_000).collect();
        let mut assembler = Assembler::new();
        assembler.set_sealed(true);
        let keyframe = packetize(true, &sealed, 1_150);
        assert!(keyframe.len() > 1 && keyframe.iter().all(|payload| payload.len() <= 1_150));
        send(&mut assembler, 7, 90_000, &keyframe);
        let small = packetize(false, &sealed[..20], 1_150);
        send(&mut assembler, 7 + keyframe.len() as u16, 93_000, &small);
        let first = assembler.next_frame().unwrap();
        assert!(first.keyframe);
        assert_eq!(first.data[CLEAR_BYTES..], sealed);
        assert_eq!(first.data[..CLEAR_BYTES], clear(true));
        let second = assembler.next_frame().unwrap();
        assert!(!second.keyframe);
        assert_eq!(second.data[CLEAR_BYTES..], sealed[..20]);
    }

    #[test]
    fn after_a_loss_the_next_keyframe_is_the_next_picture() {
        let mut assembler = Assembler::new();
        assembler.set_sealed(true);
        let sealed = vec![7; 4_000];
        let keyframe = packetize(true, &sealed, 1_150);
        send(&mut assembler, 0, 0, &keyframe[..1]);
        send(&mut assembler, 2, 0, &keyframe[2..]);
        assert!(assembler.next_frame().is_none());
        send(&mut assembler, 4, 3_000, &packetize(false, &sealed, 1_150));
        send(&mut assembler, 8, 6_000, &keyframe);
        assert_eq!(assembler.next_frame().unwrap().timestamp, 6_000);
    }
}
