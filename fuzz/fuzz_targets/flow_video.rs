//! Video packets: what H.264 payloads hold, and frames put together from them.

#![no_main]

use std::time::{Duration, Instant};

use bedside_flow::{
    rtp::RtpMeta,
    video::{Assembler, h264},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = h264::parse(bytes);
    for unit in h264::aggregated(bytes) {
        if unit.is_err() {
            break;
        }
    }
    let _ = h264::nal_units(bytes).count();
    let (mut assembler, start, mut rest) = (Assembler::new(), Instant::now(), bytes);
    let mut at = 0;
    // Length, jump of the sequence number, of the time stamp and the marker, payload.
    let (mut seq, mut timestamp) = (u16::MAX - 2, u32::MAX - 3_000);
    while let [length, jump, flags, more @ ..] = rest {
        let (payload, later) = more.split_at(usize::from(*length).min(more.len()));
        rest = later;
        at += 1;
        seq = seq.wrapping_add(u16::from(jump % 4)).wrapping_add(u16::from(*jump > 250) * 5_000);
        timestamp = timestamp.wrapping_add(u32::from(flags >> 1) * 1_500);
        let now = start + Duration::from_millis(at * 5);
        let meta = RtpMeta { seq, timestamp, marker: flags & 1 == 1 };
        assembler.insert(now, meta, payload);
        while assembler.next_frame().is_some() {}
        if *jump == 99 {
            assembler.abandon(seq.wrapping_sub(1));
        }
        let _ = assembler.poll_keyframe(now, Duration::from_millis(50));
        let _ = assembler.needed_from();
    }
});
