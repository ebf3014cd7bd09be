//! The Opus decoder: a peer's packets, and the gaps between them.

#![no_main]

use bedside_media::codec::opus::{Decoder, FRAME};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new().expect("a decoder");
    let mut block = [0.0_f32; FRAME];
    let mut rest = bytes;
    // Packets, each after what is done with it and its length.
    while let [what, length, more @ ..] = rest {
        let length = usize::from(*length) + usize::from(what >> 4) * 256;
        let (packet, later) = more.split_at(length.min(more.len()));
        rest = later;
        let done = match what & 3 {
            0 | 1 => decoder.decode(packet, &mut block),
            2 => decoder.decode_fec(packet, &mut block),
            _ => decoder.conceal(&mut block),
        };
        if done.is_ok() {
            assert!(block.iter().all(|sample| sample.is_finite()), "sound that is none");
        }
    }
});
