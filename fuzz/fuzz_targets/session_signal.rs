//! What two engines tell each other through the server, once unsealed.

#![no_main]

use bedside_session::signal::SignalBody;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(body) = serde_json::from_slice::<SignalBody>(bytes) {
        let again = serde_json::to_vec(&body).expect("it can be written");
        assert!(serde_json::from_slice::<SignalBody>(&again).is_ok_and(|read| read == body));
    }
});
