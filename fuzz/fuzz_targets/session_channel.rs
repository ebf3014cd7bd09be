//! Messages on the two data channels.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bedside_session::consultation::fuzzing::control(bytes);
    bedside_session::transfer::fuzzing::message(bytes);
});
