//! Packets that wait to be played, in playing order.

use std::collections::BTreeMap;

/// Packets held at most: two seconds.
const MAX_PACKETS: usize = 100;
/// The longest payload that is believed; an Opus frame has at most 1,275 bytes.
const MAX_PAYLOAD: usize = 2000;

/// One packet that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Sequence number, unwrapped.
    pub(super) seq: i64,
    pub(super) payload: Vec<u8>,
}

impl Waiting {
    /// Nothing but a header: the sender falls silent and will send no more until it has something to say.
    pub(super) fn is_pause(&self) -> bool {
        self.payload.len() <= 2
    }
}

/// How an insertion went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    Yes,
    Duplicate,
    /// The queue was full: the oldest packet had to go.
    Displaced,
    Refused,
}

/// Packets by extended time stamp.
#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: BTreeMap<i64, Waiting>,
}

impl Queue {
    pub(super) fn insert(&mut self, timestamp: i64, packet: Waiting) -> Inserted {
        if packet.payload.is_empty() || packet.payload.len() > MAX_PAYLOAD {
            return Inserted::Refused;
        }
        if self.packets.contains_key(&timestamp) {
            return Inserted::Duplicate;
        }
        self.packets.insert(timestamp, packet);
        if self.packets.len() > MAX_PACKETS {
            self.packets.pop_first();
            return Inserted::Displaced;
        }
        Inserted::Yes
    }

    pub(super) fn first(&self) -> Option<(i64, &Waiting)> {
        self.packets.first_key_value().map(|(timestamp, packet)| (*timestamp, packet))
    }

    pub(super) fn second_timestamp(&self) -> Option<i64> {
        self.packets.keys().nth(1).copied()
    }

    pub(super) fn pop(&mut self) -> Option<(i64, Waiting)> {
        self.packets.pop_first()
    }

    /// Drops what lies before `timestamp`; says how much.
    pub(super) fn drop_before(&mut self, timestamp: i64) -> usize {
        let keep = self.packets.split_off(&timestamp);
        std::mem::replace(&mut self.packets, keep).len()
    }

    pub(super) fn clear(&mut self) {
        self.packets.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }
}
