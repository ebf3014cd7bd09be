//! Files as messages announce them.

#![no_main]

use bedside_session::transfer::{MAX_FILE_BYTES, SharedFile, names};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = serde_json::from_slice::<SharedFile>(bytes) {
        assert!(file.bytes <= MAX_FILE_BYTES);
        assert_eq!(names::safe(&file.name), file.name);
        let again = serde_json::to_vec(&file).expect("it can be written");
        assert!(again.len() < 24 * 1024);
        assert!(serde_json::from_slice::<SharedFile>(&again).is_ok());
    }
});
