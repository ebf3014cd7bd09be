//! ICE candidates of the other side.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| bedside_session::peer::fuzzing::candidate(text));
