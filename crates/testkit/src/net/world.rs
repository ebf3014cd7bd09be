//! Who is where, what is on its way, and which links it passes. Told the time; owns no thread.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    net::SocketAddr,
    task::Waker,
    time::{Duration, Instant},
};

use bedside_netem::{Arrival, Link, Shape};

/// Datagrams that wait in a socket to be read; more are dropped, as a kernel does.
const INBOX: usize = 2048;
/// IPv4 and UDP headers, bytes.
const HEADERS: usize = 28;

/// A host by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HostId(usize);

/// One direction between two hosts.
pub(super) struct Line {
    pub(super) link: Link,
    /// Counts the cuts: what was sent before the last one does not arrive.
    cuts: u64,
    cut: bool,
}

/// A socket's side of things.
struct Inbox {
    host: HostId,
    /// Its address no longer exists.
    stranded: bool,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

/// A datagram on its way.
struct Parcel {
    from: SocketAddr,
    to: SocketAddr,
    line: (HostId, HostId),
    cuts: u64,
    data: Vec<u8>,
}

/// Ordered by time, then by the order in which they were sent.
type Due = Reverse<(Instant, u64)>;

/// See the module.
pub(super) struct World {
    seed: u64,
    start: Instant,
    hosts: usize,
    lines: HashMap<(HostId, HostId), Line>,
    inboxes: HashMap<SocketAddr, Inbox>,
    due: BinaryHeap<Due>,
    parcels: HashMap<u64, Parcel>,
    serial: u64,
    pub(super) closed: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            start: Instant::now(),
            hosts: 0,
            lines: HashMap::new(),
            inboxes: HashMap::new(),
            due: BinaryHeap::new(),
            parcels: HashMap::new(),
            serial: 0,
            closed: false,
        }
    }

    pub(super) fn add_host(&mut self) -> HostId {
        self.hosts += 1;
        HostId(self.hosts)
    }

    pub(super) fn line(&mut self, from: HostId, to: HostId) -> &mut Line {
        let seed = self.seed.wrapping_mul(1_000).wrapping_add((from.0 * 10 + to.0) as u64);
        let fresh = || Line { link: Link::new(Shape::PERFECT, seed), cuts: 0, cut: false };
        self.lines.entry((from, to)).or_insert_with(fresh)
    }

    pub(super) fn set_cut(&mut self, from: HostId, to: HostId, cut: bool) {
        let line = self.line(from, to);
        line.cut = cut;
        line.cuts += u64::from(cut);
    }

    /// Opens a socket; false when the address is taken.
    pub(super) fn bind(&mut self, host: HostId, address: SocketAddr) -> bool {
        let free = !self.inboxes.contains_key(&address);
        if free {
            let inbox = Inbox { host, stranded: false, datagrams: VecDeque::new(), reader: None };
            self.inboxes.insert(address, inbox);
        }
        free
    }

    pub(super) fn unbind(&mut self, address: SocketAddr) {
        self.inboxes.remove(&address);
    }

    /// Every socket of a host loses its address.
    pub(super) fn strand(&mut self, host: HostId) {
        for inbox in self.inboxes.values_mut().filter(|inbox| inbox.host == host) {
            inbox.stranded = true;
            inbox.datagrams.clear();
        }
    }

    /// Sends a datagram; true when something is due earlier than before.
    pub(super) fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, data: &[u8]) -> bool {
        let host =
            |address| self.inboxes.get(address).filter(|inbox| !inbox.stranded).map(|inbox| inbox.host);
        let (Some(sender), Some(receiver)) = (host(&from), host(&to)) else { return false };
        let earliest = self.next_due();
        let now_ms = now.saturating_duration_since(self.start).as_secs_f64() * 1e3;
        let line = self.line(sender, receiver);
        let arrival = if line.cut { None } else { line.link.send(now_ms, data.len() + HEADERS) };
        let cuts = line.cuts;
        let Some(Arrival { at_ms, again_ms, flipped_bit }) = arrival else { return false };
        let mut data = data.to_vec();
        if let Some(bit) = flipped_bit
            && !data.is_empty()
        {
            let bit = bit % (data.len() as u64 * 8);
            data[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        for at_ms in [Some(at_ms), again_ms].into_iter().flatten() {
            let due = self.start + Duration::from_secs_f64(at_ms / 1e3);
            self.serial += 1;
            self.due.push(Reverse((due, self.serial)));
            let parcel = Parcel { from, to, line: (sender, receiver), cuts, data: data.clone() };
            self.parcels.insert(self.serial, parcel);
        }
        self.next_due() < earliest || earliest.is_none()
    }

    /// When the next datagram arrives.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    /// Puts what has arrived into the sockets; gives the readers to be woken.
    pub(super) fn deliver(&mut self, now: Instant) -> Vec<Waker> {
        let mut readers = Vec::new();
        while let Some(Reverse((due, serial))) = self.due.peek().copied()
            && due <= now
        {
            self.due.pop();
            if let Some(parcel) = self.parcels.remove(&serial)
                && self.lines.get(&parcel.line).is_some_and(|line| line.cuts == parcel.cuts)
                && let Some(inbox) = self.inboxes.get_mut(&parcel.to)
                && !inbox.stranded
                && inbox.datagrams.len() < INBOX
            {
                inbox.datagrams.push_back((parcel.from, parcel.data));
                readers.extend(inbox.reader.take());
            }
        }
        readers
    }

    /// The next datagram of a socket; leaves `reader` to be woken when there is none.
    pub(super) fn receive(&mut self, address: SocketAddr, reader: &Waker) -> Option<(SocketAddr, Vec<u8>)> {
        let inbox = self.inboxes.get_mut(&address)?;
        let datagram = inbox.datagrams.pop_front();
        if datagram.is_none() {
            inbox.reader = Some(reader.clone());
        }
        datagram
    }
}
