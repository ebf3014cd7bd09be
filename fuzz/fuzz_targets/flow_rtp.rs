//! Sequence numbers and time stamps of packets in any order.

#![no_main]

use bedside_flow::rtp::{SequenceUnwrapper, TimestampUnwrapper};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packets: Vec<(u16, u32)>| {
    let (mut sequence, mut timestamps) = (SequenceUnwrapper::new(), TimestampUnwrapper::new());
    for (seq, timestamp) in packets {
        if let Some(number) = sequence.unwrap(seq) {
            assert_eq!(number as u16, seq);
        }
        assert_eq!(timestamps.unwrap(timestamp) as u32, timestamp);
    }
});
