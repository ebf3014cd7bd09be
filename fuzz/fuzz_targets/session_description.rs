//! Session descriptions (SDP) of the other side, before the transport stack sees them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| bedside_session::peer::fuzzing::description(text, b"a certificate"));
