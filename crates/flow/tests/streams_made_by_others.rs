//! A real H.264 RTP capture and real H.264 streams, where they are at hand (`BEDSIDE_VECTORS`, or
//! `../shared/vectors` beside the workspace); skipped with a word where they are not.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bedside_flow::nack::Generator;
use bedside_flow::rtp::RtpMeta;
use bedside_flow::video::{Assembler, Packetizer, h264};

const RTT: Duration = Duration::from_millis(40);

fn vector(name: &str) -> Option<Vec<u8>> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("BEDSIDE_VECTORS").map_or_else(beside, PathBuf::from);
    let bytes = std::fs::read(folder.join(name)).ok();
    if bytes.is_none() {
        println!("skipped: no {name} here; set BEDSIDE_VECTORS to the folder that has it");
    }
    bytes
}

/// The RTP packets of a little-endian pcap file of Ethernet, IPv4 and UDP.
fn rtp_packets(pcap: &[u8]) -> Vec<(RtpMeta, Vec<u8>)> {
    let mut packets = Vec::new();
    let mut rest = &pcap[24..];
    while rest.len() >= 16 {
        let length = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
        let (frame, after) = rest[16..].split_at(length);
        rest = after;
        let ip = &frame[14..];
        let rtp = &ip[usize::from(ip[0] & 15) * 4 + 8..];
        let mut header = 12 + usize::from(rtp[0] & 15) * 4;
        if rtp[0] & 0x10 != 0 {
            header += 4 + 4 * usize::from(u16::from_be_bytes([rtp[header + 2], rtp[header + 3]]));
        }
        let meta = RtpMeta {
            seq: u16::from_be_bytes([rtp[2], rtp[3]]),
            timestamp: u32::from_be_bytes([rtp[4], rtp[5], rtp[6], rtp[7]]),
            marker: rtp[1] & 0x80 != 0,
        };
        packets.push((meta, rtp[header..].to_vec()));
    }
    packets
}

/// In this capture all keyframes, and they alone, begin with an aggregate. (One of them promises more bytes than
/// its packet has.)
fn is_keyframe_start(payload: &[u8]) -> bool {
    h264::type_of(payload[0]) == h264::nal_type::STAP_A
        && h264::aggregated(&payload[1..]).all(|nal| nal.is_ok())
}

/// What may be shown, found the slow way: all pictures without a hole whose predecessors back to a keyframe have
/// none either.
fn decodable(packets: &[(RtpMeta, Vec<u8>)]) -> Vec<u32> {
    let mut shown = Vec::new();
    let (mut intact, mut expected) = (false, None);
    for picture in packets.chunk_by(|(a, _), (b, _)| a.timestamp == b.timestamp) {
        let first = picture[0].0.seq;
        let last = picture[picture.len() - 1].0;
        let whole = last.marker && usize::from(last.seq - first) + 1 == picture.len();
        let follows = h264::type_of(picture[0].1[0]) != h264::nal_type::STAP_A && expected == Some(first);
        intact = whole && (is_keyframe_start(&picture[0].1) || intact && follows);
        expected = Some(last.seq + 1);
        if intact {
            shown.push(last.timestamp);
        }
    }
    shown
}

#[test]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; the test only adds to it")]
fn a_captured_call_with_losses_gives_exactly_its_decodable_pictures() {
    let Some(pcap) = vector("rtp/h264.pcap") else { return };
    let packets = rtp_packets(&pcap);
    let (mut assembler, mut generator) = (Assembler::new(), Generator::new());
    let origin = Instant::now();
    let (mut shown, mut requests) = (Vec::new(), 0);
    for (meta, payload) in &packets {
        let ticks = meta.timestamp.wrapping_sub(packets[0].0.timestamp);
        let now = origin + Duration::from_secs_f64(f64::from(ticks) / 90_000.0);
        generator.on_packet(now, meta.seq);
        assembler.insert(now, *meta, payload);
        generator.poll(now, RTT);
        generator.take_given_up().into_iter().for_each(|seq| assembler.abandon(seq));
        requests += u32::from(assembler.poll_keyframe(now, RTT));
        while let Some(frame) = assembler.next_frame() {
            let kinds: Vec<u8> = h264::nal_units(&frame.data).map(|nal| h264::type_of(nal[0])).collect();
            assert_eq!(frame.keyframe, kinds.starts_with(&[7, 8, 5]), "{kinds:?}");
            shown.push(frame.timestamp);
        }
    }
    println!("{} packets, {} pictures, {requests} keyframe requests", packets.len(), shown.len());
    let expected = decodable(&packets);
    assert!(expected.len() > 100);
    // A hole is waited for; what was behind it leaves late or not at all, but never out of order.
    assert_eq!(shown, expected);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; the test only adds to it")]
fn real_streams_survive_being_packets() {
    let now = Instant::now();
    for name in ["h264/BA_MW_D.264", "h264/Error_I_P.264"] {
        let Some(stream) = vector(name) else { return };
        let (mut packetizer, mut assembler) = (Packetizer::new(), Assembler::new());
        let (mut seq, mut units, mut unit) = (65_500u16, Vec::new(), Vec::new());
        for nal in h264::nal_units(&stream) {
            unit.extend_from_slice(&h264::START_CODE);
            unit.extend_from_slice(nal);
            if h264::is_slice(nal) {
                units.push(std::mem::take(&mut unit));
            }
        }
        let (mut shown, mut keyframe_seen) = (Vec::new(), false);
        for (number, unit) in units.iter().enumerate() {
            let payloads = packetizer.packetize(unit, 150);
            let last = payloads.len() - 1;
            for (at, payload) in payloads.iter().enumerate() {
                let meta = RtpMeta { seq, timestamp: number as u32 * 3000, marker: at == last };
                assembler.insert(now, meta, payload);
                seq = seq.wrapping_add(1);
            }
            shown.extend(std::iter::from_fn(|| assembler.next_frame()));
            keyframe_seen |= shown.iter().any(|frame| frame.keyframe);
        }
        println!("{name}: {} of {} pictures", shown.len(), units.len());
        assert!(keyframe_seen);
        assert!(
            shown.iter().all(|frame| units[frame.timestamp as usize / 3000] == frame.data || frame.keyframe)
        );
        if name.contains("BA_MW_D") {
            assert_eq!(shown.len(), units.len());
        }
    }
}
