//! Pictures: a sender's own files, and previews that others sent.

#![no_main]

use bedside_session::transfer::preview::{MAX_PREVIEW_BYTES, of_bytes, shown};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(preview) = of_bytes(bytes) {
        assert!(preview.len() <= MAX_PREVIEW_BYTES);
        assert!(shown(&preview).is_some(), "what was made here is not shown there");
    }
    let _ = shown(bytes);
});
