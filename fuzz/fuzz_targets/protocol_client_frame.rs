//! Frames that a client sends to the server.

#![no_main]

use bedside_protocol::socket::parse_client_frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(frame) = parse_client_frame(text) {
        let again = serde_json::to_string(&frame).expect("it can be written");
        assert_eq!(parse_client_frame(&again).expect("it can be read again"), frame);
    }
});
