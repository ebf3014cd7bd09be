//! The place in the transport stack where media enters and leaves.
//!
//! The stack's own queues towards the application overflow and its NACK and RTX paths ask again for what they already
//! have, so this interceptor takes every packet off the chain where it arrives, turns it into a [`PeerEvent`], and
//! answers requests for repetition itself. It sits closest to the application: the recorders of arrival times and
//! reception quality have seen a packet before it does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;

use super::event::PeerEvent;
use super::link::Link;

/// Between sender reports. Shorter than RFC 3550 asks for, as libwebrtc does, so that lip sync settles soon.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The first ones go out sooner: until one has arrived there is neither a round trip time nor lip sync.
const FIRST_REPORT: Duration = Duration::from_millis(200);
/// Packets answered per NACK message, against amplification.
const MOST_REPEATS: usize = 256;
/// A step of the reference time of transport-wide feedback, and of its deltas.
const REFERENCE_STEP: Duration = Duration::from_millis(64);

/// The link, shared between the handle and the interceptor; never held across an await.
pub(super) type SharedLink = Arc<Mutex<Link>>;

/// Locks the link. A panic elsewhere does not make its counters unsafe to use.
pub(super) fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module.
pub(super) struct Tap {
    link: SharedLink,
    outbound: VecDeque<TaggedPacket>,
    next_report: Option<Instant>,
}

impl Tap {
    pub(super) const fn new(link: SharedLink) -> Self {
        Self { link, outbound: VecDeque::new(), next_report: None }
    }

    fn send(&mut self, now: Instant, packet: Packet) {
        self.outbound.push_back(TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        });
    }

    fn on_rtp(&self, now: Instant, packet: rtp::Packet) {
        let mut link = lock(&self.link);
        let Some((kind, repairs)) = link.classify(packet.header.ssrc) else {
            return;
        };
        let rtp::Packet { header, mut payload } = packet;
        let seq = if repairs.is_some() {
            // RFC 4588 §4: the original sequence number leads the payload. Shorter ones are padding for probing.
            if payload.len() < 3 {
                return;
            }
            let original = payload.split_to(2);
            u16::from_be_bytes([original[0], original[1]])
        } else {
            header.sequence_number
        };
        if payload.is_empty() {
            return;
        }
        link.media(PeerEvent::Rtp {
            kind,
            seq,
            timestamp: header.timestamp,
            marker: header.marker,
            payload,
            arrived: now,
        });
    }

    fn on_rtcp(&mut self, now: Instant, packets: &[Box<dyn rtcp::Packet>]) {
        for packet in packets {
            let packet = packet.as_any();
            if let Some(report) = packet.downcast_ref::<SenderReport>() {
                self.on_sender_report(now, report);
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                self.on_reception(now, &report.reports);
            } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                self.on_nack(now, nack);
            } else if let Some(feedback) = packet.downcast_ref::<TransportLayerCc>() {
                let mut link = lock(&self.link);
                let feedback = link.on_feedback(&arrivals(feedback));
                if !feedback.packets.is_empty() {
                    link.tell(PeerEvent::TransportFeedback(feedback));
                }
            } else if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
                lock(&self.link).tell(PeerEvent::KeyframeRequest);
            }
        }
    }

    fn on_sender_report(&self, now: Instant, report: &SenderReport) {
        let mut link = lock(&self.link);
        if let Some(kind) = link.incoming_kind(report.ssrc) {
            link.tell(PeerEvent::SenderReport {
                kind,
                ntp: report.ntp_time,
                rtp: report.rtp_time,
                arrived: now,
            });
        }
        drop(link);
        self.on_reception(now, &report.reports);
    }

    fn on_reception(&self, now: Instant, reports: &[ReceptionReport]) {
        let mut link = lock(&self.link);
        for report in reports {
            let Some(kind) = link.outgoing_kind(report.ssrc) else {
                continue;
            };
            let rtt = link.round_trip(now, report.last_sender_report, report.delay);
            let jitter = Duration::from_secs_f64(f64::from(report.jitter) / f64::from(kind.clock_rate()));
            link.tell(PeerEvent::ReceiverReport {
                kind,
                loss_fraction: f32::from(report.fraction_lost) / 256.0,
                rtt,
                jitter,
            });
        }
    }

    fn on_nack(&mut self, now: Instant, nack: &TransportLayerNack) {
        let mut link = lock(&self.link);
        let Some(kind) = link.outgoing_kind(nack.media_ssrc) else {
            return;
        };
        let seqs = nack.nacks.iter().flat_map(|pair| pair.into_iter()).take(MOST_REPEATS);
        let repeats: Vec<rtp::Packet> = seqs.filter_map(|seq| link.repeat(now, kind, seq)).collect();
        if !repeats.is_empty() {
            let bytes = repeats.iter().map(|packet| packet.payload.len() as u64).sum();
            link.tell(PeerEvent::Repeated { bytes });
        }
        drop(link);
        for packet in repeats {
            self.send(now, Packet::Rtp(packet));
        }
    }
}

/// Every packet a transport-wide feedback message names, with its arrival by the other side's clock.
fn arrivals(feedback: &TransportLayerCc) -> Vec<(u16, Option<Duration>)> {
    let count = usize::from(feedback.packet_status_count);
    let mut symbols = Vec::with_capacity(count);
    for chunk in &feedback.packet_chunks {
        match chunk {
            PacketStatusChunk::RunLengthChunk(run) => {
                symbols.extend((0..run.run_length).map(|_| run.packet_status_symbol));
            }
            PacketStatusChunk::StatusVectorChunk(vector) => symbols.extend(&vector.symbol_list),
        }
    }
    symbols.truncate(count);
    let mut deltas = feedback.recv_deltas.iter();
    let mut at_us = i64::from(feedback.reference_time) * REFERENCE_STEP.as_micros() as i64;
    symbols
        .into_iter()
        .zip(0_u16..)
        .map(|(symbol, offset)| {
            let seq = feedback.base_sequence_number.wrapping_add(offset);
            let received = matches!(
                symbol,
                SymbolTypeTcc::PacketReceivedSmallDelta | SymbolTypeTcc::PacketReceivedLargeDelta
            );
            let arrived = received.then(|| deltas.next()).flatten().map(|delta| {
                at_us += delta.delta;
                Duration::from_micros(u64::try_from(at_us).unwrap_or_default())
            });
            (seq, arrived)
        })
        .collect()
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        match msg.message.packet {
            Packet::Rtp(packet) => self.on_rtp(msg.now, packet),
            Packet::Rtcp(packets) => self.on_rtcp(msg.now, &packets),
            _ => {}
        }
        Ok(())
    }

    /// Nothing passes on: the stack's own queues towards the application are not used.
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut msg.message.packet {
            lock(&self.link).on_departure(msg.now, packet);
            if self.next_report.is_none() {
                self.next_report = Some(msg.now + FIRST_REPORT);
            }
        }
        self.outbound.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.next_report.is_some_and(|due| now >= due) {
            self.next_report = Some(now + REPORT_INTERVAL);
            let reports = lock(&self.link).sender_reports(now);
            for report in reports {
                self.send(now, Packet::Rtcp(vec![Box::new(report)]));
            }
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.next_report
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        lock(&self.link).bind_outgoing(info);
    }

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        lock(&self.link).bind_incoming(info);
    }

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
