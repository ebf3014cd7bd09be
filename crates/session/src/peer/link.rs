//! What the media of one connection looks like on the wire: SSRCs, payload types, sequence numbers, transport-wide
//! numbers, packets kept for repetition, reports.
//!
//! Pure bookkeeping shared by the handle that sends ([`Peer`](super::Peer)) and the interceptor that sees every packet
//! ([`Tap`](super::tap::Tap)). It never waits and is told the time.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bedside_flow::nack::History;
use bytes::{BufMut, Bytes, BytesMut};
use rtc::interceptor::StreamInfo;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp;
use tokio::sync::{mpsc, watch};

use super::ASSUMED_RTT;
use super::event::{MediaKind, PacketFate, PeerEvent, TransportFeedback};

/// Extension URI of the transport-wide sequence number.
pub(super) const TRANSPORT_CC_URI: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Sent packets whose transport-wide feedback may still come.
const IN_FLIGHT: usize = 4096;
/// Streams of the other side's that are told apart: far more than the four that make sense.
const INCOMING_STREAMS: usize = 64;
/// Packets of media that may come before the certificate has been looked at: some of the first picture and sound.
const EARLY: usize = 256;
/// From 1900-01-01 to 1970-01-01, seconds (RFC 5905).
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;

/// A stream that we send.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: u32,
    next_seq: u16,
    next_rtx_seq: u16,
    wire: Option<Wire>,
    clock: Option<(u32, Instant)>,
    mapped: bool,
    packets: u32,
    octets: u32,
    history: History<rtp::Packet>,
}

/// What negotiation assigned to a stream that we send.
#[derive(Clone, Copy, Debug)]
struct Wire {
    payload_type: u8,
    rtx_payload_type: Option<u8>,
    transport_cc: Option<u8>,
}

/// A stream that we receive.
#[derive(Clone, Copy, Debug)]
struct Incoming {
    kind: MediaKind,
    repairs: Option<u32>,
}

#[derive(Debug)]
struct InFlight {
    transport_seq: u16,
    size: usize,
    sent: Instant,
}

/// Counters that the statistics of the stack do not give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkCounters {
    /// Packets repeated on request.
    pub(super) retransmitted_packets: u64,
    /// Media packets that the engine had no room for.
    pub(super) dropped_events: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    events: Option<mpsc::Sender<PeerEvent>>,
    open: watch::Sender<bool>,
    /// Media that came before the certificate was looked at; absent once it has been.
    early: Option<Vec<PeerEvent>>,
    outgoing: [Outgoing; 2],
    incoming: HashMap<u32, Incoming>,
    primary: [Option<u32>; 2],
    next_transport_seq: u16,
    in_flight: VecDeque<InFlight>,
    epoch: (Instant, SystemTime),
    pub(super) counters: LinkCounters,
    pub(super) rtt: Option<Duration>,
}

impl Link {
    pub(super) fn new(events: mpsc::Sender<PeerEvent>, now: Instant, wall: SystemTime) -> Self {
        Self {
            events: Some(events),
            open: watch::Sender::new(false),
            early: Some(Vec::new()),
            outgoing: [Outgoing::new(), Outgoing::new()],
            incoming: HashMap::new(),
            primary: [None; 2],
            next_transport_seq: 1,
            in_flight: VecDeque::new(),
            epoch: (now, wall),
            counters: LinkCounters::default(),
            rtt: None,
        }
    }

    /// Lets media through once the other side's certificate has been checked, also what came before, or stops it.
    pub(super) fn set_open(&mut self, open: bool) {
        self.open.send_replace(open);
        for event in self.early.take().into_iter().flatten().filter(|_| open) {
            self.tell(event);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Whether media and messages may pass, now and at every change.
    pub(super) fn opens(&self) -> watch::Receiver<bool> {
        self.open.subscribe()
    }

    /// Ends the stream of events.
    pub(super) fn hang_up(&mut self) {
        self.set_open(false);
        self.events = None;
    }

    /// A packet of the other side's media. The first ones overtake the look at the certificate: without them the first
    /// picture would be incomplete, and another be asked for.
    pub(super) fn media(&mut self, event: PeerEvent) {
        if self.is_open() {
            self.tell(event);
        } else if let Some(early) = self.early.as_mut().filter(|early| early.len() < EARLY) {
            early.push(event);
        }
    }

    /// Hands an event over without ever waiting. Media that finds no room is dropped and counted.
    pub(super) fn tell(&mut self, event: PeerEvent) {
        if let Some(events) = &self.events
            && events.try_send(event).is_err()
        {
            self.counters.dropped_events += 1;
        }
    }

    pub(super) fn outgoing(&self, kind: MediaKind) -> &Outgoing {
        &self.outgoing[kind.index()]
    }

    pub(super) fn map_clock(&mut self, kind: MediaKind, timestamp: u32, at: Instant) {
        let stream = &mut self.outgoing[kind.index()];
        stream.clock = Some((timestamp, at));
        stream.mapped = true;
    }

    /// Learns what negotiation assigned to one of our streams.
    pub(super) fn bind_outgoing(&mut self, info: &StreamInfo) {
        if let Some(stream) = self.outgoing.iter_mut().find(|stream| stream.ssrc == info.ssrc) {
            stream.wire = Some(Wire {
                payload_type: info.payload_type,
                rtx_payload_type: info.payload_type_rtx.filter(|_| info.ssrc_rtx == Some(stream.rtx_ssrc)),
                transport_cc: transport_cc_id(info),
            });
        }
    }

    /// Learns of a stream of the other side's.
    pub(super) fn bind_incoming(&mut self, info: &StreamInfo) {
        if self.incoming.len() >= INCOMING_STREAMS {
            return;
        }
        let kind = if info.mime_type.to_ascii_lowercase().starts_with("audio/") {
            MediaKind::Audio
        } else {
            MediaKind::Video
        };
        // A repair stream is announced twice: as the partner of its primary and in its own right.
        self.incoming.entry(info.ssrc).or_insert(Incoming { kind, repairs: None });
        if let Some(rtx) = info.ssrc_rtx {
            self.incoming.insert(rtx, Incoming { kind, repairs: Some(info.ssrc) });
            self.primary[kind.index()] = Some(info.ssrc);
        } else if self.incoming.get(&info.ssrc).is_some_and(|stream| stream.repairs.is_none()) {
            self.primary[kind.index()] = Some(info.ssrc);
        }
    }

    /// The SSRC of the other side's stream, once a packet of it has come.
    pub(super) const fn incoming_ssrc(&self, kind: MediaKind) -> Option<u32> {
        self.primary[kind.index()]
    }

    /// Gives a packet its number and addressing; `None` until the stream is negotiated.
    pub(super) fn number(
        &mut self,
        kind: MediaKind,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
    ) -> Option<rtp::Packet> {
        let stream = &mut self.outgoing[kind.index()];
        let wire = stream.wire?;
        let seq = stream.next_seq;
        stream.next_seq = seq.wrapping_add(1);
        Some(rtp::Packet {
            header: rtp::Header {
                version: 2,
                marker,
                payload_type: wire.payload_type,
                sequence_number: seq,
                timestamp,
                ssrc: stream.ssrc,
                ..rtp::Header::default()
            },
            payload,
        })
    }

    /// A media packet on its way out: stamped, remembered, counted.
    pub(super) fn on_departure(&mut self, now: Instant, packet: &mut rtp::Packet) {
        let Some(index) = self.outgoing.iter().position(|stream| stream.ssrc == packet.header.ssrc) else {
            return;
        };
        self.stamp(now, index, packet);
        let stream = &mut self.outgoing[index];
        if !stream.mapped && stream.clock.is_none_or(|(timestamp, _)| timestamp != packet.header.timestamp) {
            stream.clock = Some((packet.header.timestamp, now));
        }
        stream.count(packet.payload.len());
        stream.history.remember(packet.header.sequence_number, packet.clone(), now);
    }

    /// The packet that repeats `seq`, if it is still known and was not repeated a moment ago: on the repair stream (RFC 4588)
    /// when that was negotiated, otherwise the identical packet, since a sequence number must never be encrypted twice with
    /// different content.
    pub(super) fn repeat(&mut self, now: Instant, kind: MediaKind, seq: u16) -> Option<rtp::Packet> {
        let index = kind.index();
        let stream = &mut self.outgoing[index];
        let rtt = self.rtt.unwrap_or(ASSUMED_RTT);
        let original = stream.history.lookup(seq, now, rtt)?.clone();
        self.counters.retransmitted_packets += 1;
        let Some(rtx_payload_type) = stream.wire.and_then(|wire| wire.rtx_payload_type) else {
            stream.count(original.payload.len());
            return Some(original);
        };
        let mut payload = BytesMut::with_capacity(original.payload.len() + 2);
        payload.put_u16(seq);
        payload.extend_from_slice(&original.payload);
        let mut repair = rtp::Packet {
            header: rtp::Header {
                version: 2,
                marker: original.header.marker,
                payload_type: rtx_payload_type,
                sequence_number: stream.next_rtx_seq,
                timestamp: original.header.timestamp,
                ssrc: stream.rtx_ssrc,
                ..rtp::Header::default()
            },
            payload: payload.freeze(),
        };
        stream.next_rtx_seq = stream.next_rtx_seq.wrapping_add(1);
        self.stamp(now, index, &mut repair);
        Some(repair)
    }

    fn stamp(&mut self, now: Instant, index: usize, packet: &mut rtp::Packet) {
        let Some(id) = self.outgoing[index].wire.and_then(|wire| wire.transport_cc) else {
            return;
        };
        let transport_seq = self.next_transport_seq;
        let value = Bytes::copy_from_slice(&transport_seq.to_be_bytes());
        if packet.header.set_extension(id, value).is_err() {
            return;
        }
        self.next_transport_seq = transport_seq.wrapping_add(1);
        if self.in_flight.len() == IN_FLIGHT {
            self.in_flight.pop_front();
        }
        // Fixed header 12, extension block 4 + one element padded to 4 (RFC 8285 §4.2).
        self.in_flight.push_back(InFlight { transport_seq, size: packet.payload.len() + 20, sent: now });
    }

    /// Joins arrival times with what was sent. `arrivals` names every packet of the report.
    pub(super) fn on_feedback(&mut self, arrivals: &[(u16, Option<Duration>)]) -> TransportFeedback {
        let mut packets = Vec::with_capacity(arrivals.len());
        for &(transport_seq, arrived) in arrivals {
            let Some(oldest) = self.in_flight.front().map(|packet| packet.transport_seq) else {
                break;
            };
            let position = usize::from(transport_seq.wrapping_sub(oldest));
            if let Some(packet) =
                self.in_flight.get(position).filter(|packet| packet.transport_seq == transport_seq)
            {
                packets.push(PacketFate { transport_seq, size: packet.size, sent: packet.sent, arrived });
            }
        }
        TransportFeedback { packets }
    }

    /// Which medium an arriving packet belongs to, and the stream it repairs if it is a repetition.
    pub(super) fn classify(&self, ssrc: u32) -> Option<(MediaKind, Option<u32>)> {
        self.incoming.get(&ssrc).map(|stream| (stream.kind, stream.repairs))
    }

    /// Which of our streams a report is about.
    pub(super) fn outgoing_kind(&self, ssrc: u32) -> Option<MediaKind> {
        MediaKind::ALL.into_iter().find(|kind| self.outgoing[kind.index()].ssrc == ssrc)
    }

    /// Which of the other side's streams a sender report is about.
    pub(super) fn incoming_kind(&self, ssrc: u32) -> Option<MediaKind> {
        self.classify(ssrc).filter(|(_, repairs)| repairs.is_none()).map(|(kind, _)| kind)
    }

    /// Sender reports for every stream that has sent something.
    pub(super) fn sender_reports(&self, now: Instant) -> Vec<SenderReport> {
        MediaKind::ALL
            .into_iter()
            .filter_map(|kind| {
                let stream = &self.outgoing[kind.index()];
                let (timestamp, at) = stream.clock.filter(|_| stream.packets > 0)?;
                let elapsed = now.saturating_duration_since(at).as_secs_f64() * f64::from(kind.clock_rate());
                Some(SenderReport {
                    ssrc: stream.ssrc,
                    ntp_time: self.ntp(now),
                    rtp_time: timestamp.wrapping_add(elapsed as u32),
                    packet_count: stream.packets,
                    octet_count: stream.octets,
                    ..SenderReport::default()
                })
            })
            .collect()
    }

    /// Round trip from the echo of a sender report (RFC 3550 §6.4.1), if there was one to echo.
    pub(super) fn round_trip(&mut self, now: Instant, last_report: u32, delay: u32) -> Option<Duration> {
        if last_report == 0 {
            return None;
        }
        let middle = (self.ntp(now) >> 16) as u32;
        let units = middle.wrapping_sub(last_report).wrapping_sub(delay);
        // A negative result (clock granularity) shows as a huge one.
        let rtt = if units > u32::MAX / 2 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(f64::from(units) / 65_536.0)
        };
        self.rtt = Some(rtt);
        self.rtt
    }

    fn ntp(&self, now: Instant) -> u64 {
        let (start, wall) = self.epoch;
        let unix = wall.duration_since(UNIX_EPOCH).unwrap_or_default() + now.saturating_duration_since(start);
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        ((unix.as_secs() + NTP_UNIX_OFFSET_S) << 32) | fraction
    }
}

impl Outgoing {
    fn new() -> Self {
        Self {
            // Zero means "none" in some stacks' reports.
            ssrc: rand::random::<u32>() | 1,
            rtx_ssrc: rand::random::<u32>() & !1 | 2,
            // The first half, so that an early wrap does not confuse SRTP's roll-over guess (RFC 3711 §3.3.1).
            next_seq: rand::random::<u16>() >> 1,
            next_rtx_seq: rand::random::<u16>() >> 1,
            wire: None,
            clock: None,
            mapped: false,
            packets: 0,
            octets: 0,
            history: History::new(),
        }
    }

    fn count(&mut self, payload: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload as u32);
    }
}

fn transport_cc_id(info: &StreamInfo) -> Option<u8> {
    info.rtp_header_extensions
        .iter()
        .find(|extension| extension.uri == TRANSPORT_CC_URI)
        .and_then(|extension| u8::try_from(extension.id).ok())
        .filter(|id| *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(seq: u16) -> PeerEvent {
        let (payload, arrived) = (Bytes::from_static(b"picture"), Instant::now());
        PeerEvent::Rtp { kind: MediaKind::Video, seq, timestamp: 0, marker: false, payload, arrived }
    }

    /// What the engine gets of two packets before the certificate was looked at and one after.
    fn passed(genuine: bool) -> Vec<u16> {
        let (sender, mut events) = mpsc::channel(8);
        let mut link = Link::new(sender, Instant::now(), SystemTime::now());
        link.media(packet(1));
        link.media(packet(2));
        assert!(events.try_recv().is_err(), "media passed before anybody knew whose it is");
        link.set_open(genuine);
        link.media(packet(3));
        let all = std::iter::from_fn(|| events.try_recv().ok());
        all.filter_map(|event| if let PeerEvent::Rtp { seq, .. } = event { Some(seq) } else { None })
            .collect()
    }

    #[test]
    fn media_that_overtakes_the_look_at_the_certificate_is_kept_until_then() {
        assert_eq!(passed(true), [1, 2, 3]);
    }

    #[test]
    fn requests_that_cross_a_repeat_are_not_answered_twice() {
        let (sender, _events) = mpsc::channel(8);
        let start = Instant::now();
        let mut link = Link::new(sender, start, SystemTime::now());
        let ssrc = link.outgoing(MediaKind::Video).ssrc;
        link.bind_outgoing(&StreamInfo { ssrc, payload_type: 96, ..StreamInfo::default() });
        let mut sent = link.number(MediaKind::Video, 0, true, Bytes::from_static(b"picture")).unwrap();
        link.on_departure(start, &mut sent);
        let mut repeated = |ms| {
            link.repeat(start + Duration::from_millis(ms), MediaKind::Video, sent.header.sequence_number)
        };
        assert!(repeated(60).is_some());
        assert!(repeated(80).is_none(), "the first repeat is still on its way");
        assert!(repeated(110).is_some());
        assert!(repeated(2_001).is_none(), "too late for any use");
        assert_eq!(link.counters.retransmitted_packets, 2);
    }

    #[test]
    fn media_of_a_forger_never_passes() {
        assert!(passed(false).is_empty());
    }

    #[test]
    fn a_forger_can_not_fill_the_memory() {
        let (sender, _events) = mpsc::channel(8);
        let mut link = Link::new(sender, Instant::now(), SystemTime::now());
        for seq in 0..2 * EARLY as u16 {
            link.media(packet(seq));
        }
        assert_eq!(link.early.as_ref().map(Vec::len), Some(EARLY));
    }
}
