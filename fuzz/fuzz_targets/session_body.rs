//! What members of a conversation tell each other, once unsealed.

#![no_main]

use bedside_session::chat::body::Body;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(body) = Body::read(bytes) {
        let again = serde_json::to_vec(&body).expect("it can be written");
        assert!(Body::read(&again).is_some() || again.len() > bytes.len(), "it can't be read again");
    }
});
