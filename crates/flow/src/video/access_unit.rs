//! One access unit: the NAL units of a picture, from its packets' payloads, fit to be decoded.

use super::h264::{self, Payload, nal_type};

/// Parameter sets kept for keyframes that come without, bytes.
const MAX_PARAMETER_SETS: usize = 4096;

/// A picture whose packets are all there and yet do not make one.
#[derive(Debug)]
pub(super) struct Damaged;

/// A picture in Annex B form.
#[derive(Debug)]
pub(super) struct AccessUnit {
    pub(super) data: Vec<u8>,
    /// Decoding can begin here; the parameter sets are inside.
    pub(super) keyframe: bool,
}

/// The latest sequence parameter set and what belongs to it.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    sets: Vec<Vec<u8>>,
}

impl ParameterSets {
    /// Keeps what a payload holds of them. True if that begins a new sequence.
    pub(super) fn learn(&mut self, payload: &[u8]) -> bool {
        let nals: Vec<Vec<u8>> = match h264::parse(payload) {
            Ok(Payload::Single(nal)) => vec![nal.to_vec()],
            Ok(Payload::Aggregate(units)) => h264::aggregated(units).flatten().map(<[u8]>::to_vec).collect(),
            Ok(Payload::Fragment { .. }) | Err(_) => return false,
        };
        self.remember(&nals);
        holds(&nals, nal_type::SPS)
    }

    fn remember(&mut self, nals: &[Vec<u8>]) {
        if holds(nals, nal_type::SPS) {
            self.sets.clear();
        }
        for nal in nals.iter().filter(|nal| is_parameter_set(nal)) {
            let held: usize = self.sets.iter().map(Vec::len).sum();
            if held + nal.len() <= MAX_PARAMETER_SETS && !self.sets.contains(nal) {
                self.sets.push(nal.clone());
            }
        }
    }

    fn are_complete(&self) -> bool {
        holds(&self.sets, nal_type::SPS) && holds(&self.sets, nal_type::PPS)
    }
}

/// Puts the payloads of one access unit together; nothing where they hold no picture (parameter sets alone).
pub(super) fn build<'a>(
    payloads: impl Iterator<Item = &'a [u8]>,
    parameter_sets: &mut ParameterSets,
) -> Result<Option<AccessUnit>, Damaged> {
    let mut depacketizer = h264::Depacketizer::default();
    for payload in payloads {
        depacketizer.push(payload).map_err(|_| Damaged)?;
    }
    let nals = depacketizer.finish().map_err(|_| Damaged)?;
    parameter_sets.remember(&nals);
    let Some(slice) = nals.iter().find(|nal| h264::is_slice(nal)) else { return Ok(None) };
    if !h264::is_first_slice(slice) {
        return Err(Damaged);
    }
    let keyframe = holds(&nals, nal_type::IDR);
    let mut data = Vec::with_capacity(nals.iter().map(|nal| nal.len() + 4).sum());
    if keyframe && !(holds(&nals, nal_type::SPS) && holds(&nals, nal_type::PPS)) {
        if !parameter_sets.are_complete() {
            return Err(Damaged);
        }
        append(&mut data, &parameter_sets.sets);
        append(&mut data, nals.iter().filter(|nal| !is_parameter_set(nal)));
    } else {
        append(&mut data, &nals);
    }
    Ok(Some(AccessUnit { data, keyframe }))
}

/// Whether an access unit certainly begins with this packet: nothing comes before a delimiter or a sequence
/// parameter set. (A bare IDR slice may have lost its parameter sets on the way.)
pub(super) fn opens_unit(payload: &[u8]) -> bool {
    first_nal(payload).is_some_and(|nal| matches!(h264::type_of(nal[0]), nal_type::SPS | nal_type::AUD))
}

/// Whether a payload holds an IDR slice or a part of one.
pub(super) fn holds_idr(payload: &[u8]) -> bool {
    let is_idr = |nal: &[u8]| h264::type_of(nal[0]) == nal_type::IDR;
    match h264::parse(payload) {
        Ok(Payload::Single(nal)) => is_idr(nal),
        Ok(Payload::Aggregate(units)) => h264::aggregated(units).any(|nal| nal.is_ok_and(is_idr)),
        Ok(Payload::Fragment { header, .. }) => h264::type_of(header) == nal_type::IDR,
        Err(_) => false,
    }
}

fn first_nal(payload: &[u8]) -> Option<&[u8]> {
    match h264::parse(payload).ok()? {
        Payload::Single(nal) => Some(nal),
        Payload::Aggregate(units) => h264::aggregated(units).next()?.ok(),
        Payload::Fragment { .. } => None,
    }
}

fn holds(nals: &[Vec<u8>], kind: u8) -> bool {
    nals.iter().any(|nal| h264::type_of(nal[0]) == kind)
}

fn is_parameter_set(nal: &[u8]) -> bool {
    matches!(h264::type_of(nal[0]), nal_type::SPS | nal_type::PPS)
}

fn append<'a>(data: &mut Vec<u8>, nals: impl IntoIterator<Item = &'a Vec<u8>>) {
    for nal in nals {
        data.extend_from_slice(&h264::START_CODE);
        data.extend_from_slice(nal);
    }
}
