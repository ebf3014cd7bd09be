//! Frames that the server sends to a client.

#![no_main]

use bedside_protocol::socket::{EventFrame, ServerFrame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(ServerFrame::Event(frame)) = serde_json::from_slice(bytes) {
        let _ = frame.event.log_entry();
        let again = serde_json::to_vec(&frame).expect("it can be written");
        let read: EventFrame = serde_json::from_slice(&again).expect("it can be read again");
        assert_eq!(read, frame);
    }
});
