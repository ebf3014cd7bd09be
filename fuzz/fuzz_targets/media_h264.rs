//! The H.264 decoder: what a peer's packets were put together to.

#![no_main]

use bedside_media::{codec::h264::Decoder, frame::MAX_SIDE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new().expect("a decoder");
    let mut rest = bytes;
    // Access units, each after its length.
    while let [high, low, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (unit, later) = more.split_at(length.min(more.len()));
        rest = later;
        match decoder.decode(unit) {
            Ok(Some(picture)) => {
                assert!(picture.width() <= MAX_SIDE && picture.height() <= MAX_SIDE);
                assert_eq!(
                    (picture.y().len() / 4, picture.u().len()),
                    (picture.u().len(), picture.v().len())
                );
            }
            Ok(None) => {}
            // As a call does.
            Err(_) => decoder = Decoder::new().expect("a decoder"),
        }
    }
});
