//! Packets into whole pictures, in decoding order.
//!
//! Each picture refers to the one before, so a picture leaves only when everything since the last keyframe has
//! left before it. A hole is waited for; when it is given up, or a newer keyframe is whole, the pictures in
//! between are skipped. A torn keyframe never leaves. Memory is bounded whatever arrives.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::access_unit::{self, AccessUnit, Damaged, ParameterSets};
use super::sealed;
use crate::keyframe::KeyframeRequester;
use crate::rtp::{MAX_DROPOUT, RtpMeta, SequenceUnwrapper};

/// Packets held at most: six seconds at 2 Mbit/s.
const MAX_PACKETS: usize = 2048;
/// Packets of one picture at most, as far as looking for a keyframe goes: 600 KB.
const MAX_PICTURE: usize = 512;
/// Payload bytes held at most.
const MAX_BYTES: usize = 4 << 20;
/// Whole pictures held at most for a reader that does not come.
const MAX_READY: usize = 64;
/// A hole is not waited for longer than this plus two round trips, even if nobody gives it up.
const MAX_WAIT: Duration = Duration::from_millis(1500);
/// A keyframe under way may take this plus a round trip before another is asked for.
const KEYFRAME_PATIENCE: Duration = Duration::from_millis(250);

/// One access unit, whole and ready to decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembledFrame {
    /// RTP time stamp, 90 kHz.
    pub timestamp: u32,
    /// The access unit in Annex B form; a keyframe always carries its parameter sets.
    pub data: Vec<u8>,
    /// Whether decoding can begin here.
    pub keyframe: bool,
    /// When its last missing packet arrived.
    pub complete_at: Instant,
}

/// What became of the packets and pictures so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssemblerStats {
    /// Pictures handed out or ready.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Times that decoding had to jump to a keyframe after a hole.
    pub skips: u64,
    /// Packets that came twice, or after their picture had left or had been skipped.
    pub late_packets: u64,
    /// Pictures thrown away because their payloads contradicted themselves.
    pub damaged: u64,
}

#[derive(Debug)]
struct Packet {
    timestamp: u32,
    marker: bool,
    /// Certainly the first packet of its access unit.
    opens_unit: bool,
    payload: Box<[u8]>,
}

/// Puts one stream's packets together. After each [`insert`](Self::insert) drain
/// [`next_frame`](Self::next_frame), then ask [`poll_keyframe`](Self::poll_keyframe).
#[derive(Debug, Default)]
pub struct Assembler {
    unwrapper: SequenceUnwrapper,
    packets: BTreeMap<i64, Packet>,
    bytes: usize,
    /// Where the next picture begins; `None` while a keyframe is awaited.
    next: Option<i64>,
    /// Everything in `next..scanned` is there, and holds no end of a picture.
    scanned: i64,
    /// Since when the picture at `next` has had a hole.
    blocked_since: Option<Instant>,
    /// Since when, and from which packet on, a keyframe has been coming in.
    coming: Option<(Instant, i64)>,
    parameter_sets: ParameterSets,
    ready: VecDeque<AssembledFrame>,
    requester: KeyframeRequester,
    stats: AssemblerStats,
    /// Pictures are sealed: one NAL unit each.
    sealed: bool,
}

impl Assembler {
    /// An assembler that waits for its first keyframe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether pictures come sealed ([`super::sealed`]), from now on.
    pub fn set_sealed(&mut self, sealed: bool) {
        self.sealed = sealed;
    }

    /// Takes a packet, in any order, retransmitted or doubled.
    pub fn insert(&mut self, now: Instant, meta: RtpMeta, payload: &[u8]) {
        let newest = self.unwrapper.highest();
        let Some(seq) = self.unwrapper.unwrap(meta.seq) else { return };
        if newest.is_some_and(|newest| seq > newest + MAX_DROPOUT) {
            self.restart();
        }
        if self.next.is_some_and(|next| seq < next) || self.packets.contains_key(&seq) {
            self.stats.late_packets += 1;
            return;
        }
        self.bytes += payload.len();
        let RtpMeta { timestamp, marker, .. } = meta;
        let opens_unit =
            if self.sealed { sealed::opens_unit(payload) } else { access_unit::opens_unit(payload) };
        self.packets.insert(seq, Packet { timestamp, marker, opens_unit, payload: payload.into() });
        if self.next.is_none() {
            self.note_keyframe_coming(now, seq, payload);
        }
        self.deliver_in_order(now);
        if !self.packets.is_empty() {
            // One more packet can complete its own picture, or prove the end of the one before.
            self.try_keyframe_around(now, seq);
            self.try_keyframe_around(now, seq - 1);
        }
        self.note_hole(now);
        self.bound();
    }

    /// The next picture in decoding order, if one is whole.
    pub fn next_frame(&mut self) -> Option<AssembledFrame> {
        self.ready.pop_front()
    }

    /// Says that packet `seq` will not come any more: if its picture has not left yet, everything up to the next
    /// keyframe is skipped.
    pub fn abandon(&mut self, seq: u16) {
        let Some(highest) = self.unwrapper.highest() else { return };
        let index = highest + i64::from(seq.wrapping_sub(highest as u16) as i16);
        if self.next.is_some_and(|next| index >= next) {
            self.skip_to_keyframe();
        } else if self.next.is_none() && self.coming.is_some_and(|(_, first)| index >= first) {
            self.coming = None;
        }
    }

    /// Says that decoding failed: nothing leaves before the next keyframe.
    pub fn require_keyframe(&mut self) {
        let stale = self.ready.iter().position(|frame| frame.keyframe).unwrap_or(self.ready.len());
        self.ready.drain(..stale);
        if self.ready.is_empty() && self.next.is_some() {
            self.skip_to_keyframe();
        }
    }

    /// Whether nothing can leave before a keyframe arrives.
    #[cfg(test)]
    fn needs_keyframe(&self) -> bool {
        self.next.is_none()
    }

    /// True when a keyframe has to be asked for now: at once when the need arises, then with growing patience,
    /// and not while one is on its way in. Also gives up holes that nobody else gives up.
    pub fn poll_keyframe(&mut self, now: Instant, rtt: Duration) -> bool {
        if self.blocked_since.is_some_and(|since| now >= since + MAX_WAIT + rtt * 2) {
            self.skip_to_keyframe();
        }
        let coming = self.coming.is_some_and(|(since, _)| now < since + KEYFRAME_PATIENCE + rtt);
        if self.next.is_some() || coming || self.unwrapper.highest().is_none() {
            return false;
        }
        self.requester.want();
        self.requester.poll(now, rtt)
    }

    /// When [`poll_keyframe`](Self::poll_keyframe) has to be asked again, if no packet comes before.
    pub fn poll_timeout(&self, rtt: Duration) -> Option<Instant> {
        let coming = self.coming.map(|(since, _)| since + KEYFRAME_PATIENCE + rtt);
        let blocked = self.blocked_since.map(|since| since + MAX_WAIT + rtt * 2);
        blocked.or_else(|| coming.max(self.requester.poll_timeout()))
    }

    /// The first packet that is still needed; what lies before it need not be repaired any more. `None` when
    /// that is not known, because a keyframe is awaited and has not begun.
    pub fn needed_from(&self) -> Option<u16> {
        self.next.or(self.coming.map(|(_, first)| first)).map(|index| index as u16)
    }

    /// Counters since the beginning.
    pub fn stats(&self) -> AssemblerStats {
        self.stats
    }

    fn deliver_in_order(&mut self, now: Instant) {
        while let Some(first) = self.next {
            let Some(end) = self.scan(first) else { return };
            let frame = self.take(first, end);
            self.next = Some(end);
            self.scanned = end;
            self.blocked_since = None;
            match self.build(&frame) {
                Ok(Some(unit)) => self.push(now, frame[0].timestamp, unit),
                Ok(None) => {}
                Err(Damaged) => self.skip_damaged(),
            }
        }
    }

    /// The end (exclusive) of the picture that begins at `first`, if all of it is there.
    fn scan(&mut self, first: i64) -> Option<i64> {
        let timestamp = self.packets.get(&first)?.timestamp;
        loop {
            match self.packets.get(&self.scanned) {
                None => return None,
                Some(packet) if packet.timestamp != timestamp => return Some(self.scanned),
                Some(packet) => {
                    self.scanned += 1;
                    if packet.marker {
                        return Some(self.scanned);
                    }
                }
            }
        }
    }

    /// Jumps to the picture that holds packet `seq` if it is a whole keyframe.
    fn try_keyframe_around(&mut self, now: Instant, seq: i64) {
        let Some((first, end)) = self.whole_keyframe_around(seq) else { return };
        let keep = self.packets.split_off(&first);
        self.bytes -= self.packets.values().map(|packet| packet.payload.len()).sum::<usize>();
        self.packets = keep;
        let packets = self.take(first, end);
        match self.build(&packets) {
            Ok(Some(unit)) if unit.keyframe => {
                self.next = Some(end);
                self.scanned = end;
                self.blocked_since = None;
                self.push(now, packets[0].timestamp, unit);
                self.deliver_in_order(now);
            }
            Ok(_) => self.skip_to_keyframe(),
            Err(Damaged) => self.skip_damaged(),
        }
    }

    fn build(&mut self, packets: &[Packet]) -> Result<Option<AccessUnit>, Damaged> {
        let payloads = packets.iter().map(|packet| &*packet.payload);
        if self.sealed {
            sealed::build(payloads)
        } else {
            access_unit::build(payloads, &mut self.parameter_sets)
        }
    }

    fn skip_damaged(&mut self) {
        self.stats.damaged += 1;
        self.skip_to_keyframe();
    }

    /// The bounds (first, end) of the picture around packet `seq`, if it is a whole IDR picture.
    fn whole_keyframe_around(&self, seq: i64) -> Option<(i64, i64)> {
        let timestamp = self.packets.get(&seq)?.timestamp;
        let mut first = seq + 1;
        let mut begins = false;
        for (index, packet) in self.packets.range(..=seq).rev().take(MAX_PICTURE) {
            if *index != first - 1 {
                break;
            }
            begins = index != &seq && (packet.marker || packet.timestamp != timestamp);
            if begins {
                break;
            }
            first = *index;
            begins = packet.opens_unit;
            if begins {
                break;
            }
        }
        if !begins {
            return None;
        }
        let mut end = first;
        let mut idr = false;
        for (index, packet) in self.packets.range(first..).take(MAX_PICTURE) {
            if *index != end {
                return None;
            }
            if packet.timestamp != timestamp {
                return idr.then_some((first, end));
            }
            end += 1;
            idr = idr || access_unit::holds_idr(&packet.payload);
            if packet.marker {
                return idr.then_some((first, end));
            }
        }
        None
    }

    fn take(&mut self, first: i64, end: i64) -> Vec<Packet> {
        let taken: Vec<Packet> = (first..end).filter_map(|seq| self.packets.remove(&seq)).collect();
        self.bytes -= taken.iter().map(|packet| packet.payload.len()).sum::<usize>();
        taken
    }

    fn push(&mut self, now: Instant, timestamp: u32, unit: AccessUnit) {
        let AccessUnit { data, keyframe } = unit;
        self.stats.frames += 1;
        if keyframe {
            self.stats.keyframes += 1;
            self.requester.satisfied();
            self.coming = None;
            // Whatever a slow reader has not fetched is older than this way to start afresh.
            if self.ready.len() >= MAX_READY {
                self.ready.clear();
            }
        }
        self.ready.push_back(AssembledFrame { timestamp, data, keyframe, complete_at: now });
        if self.ready.len() > MAX_READY {
            self.ready.clear();
            self.skip_to_keyframe();
        }
    }

    fn skip_to_keyframe(&mut self) {
        if self.next.take().is_some() {
            self.stats.skips += 1;
        }
        self.blocked_since = None;
        self.coming = None;
    }

    fn restart(&mut self) {
        self.packets.clear();
        self.bytes = 0;
        self.skip_to_keyframe();
    }

    fn note_keyframe_coming(&mut self, now: Instant, seq: i64, payload: &[u8]) {
        let begins = if self.sealed {
            sealed::opens_unit(payload) && access_unit::holds_idr(payload)
        } else {
            self.parameter_sets.learn(payload)
        };
        if begins {
            self.coming = Some((now, seq));
        }
    }

    fn note_hole(&mut self, now: Instant) {
        let hole = self.next.is_some() && !self.packets.is_empty();
        self.blocked_since = if hole { self.blocked_since.or(Some(now)) } else { None };
    }

    fn bound(&mut self) {
        if self.next.is_none() {
            while self.packets.len() > MAX_PACKETS / 2 || self.bytes > MAX_BYTES / 2 {
                let Some((_, oldest)) = self.packets.pop_first() else { return };
                self.bytes -= oldest.payload.len();
            }
        } else if self.packets.len() > MAX_PACKETS || self.bytes > MAX_BYTES {
            self.restart();
        }
    }
}

#[cfg(test)]
#[path = "assembler_tests.rs"]
mod tests;
