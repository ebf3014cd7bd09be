//! Names of files as other computers give them.

#![no_main]

use std::path::{Component, Path};

use bedside_session::transfer::names::{MAX_NAME_BYTES, numbered, safe};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let name = safe(text);
    assert_eq!(safe(&name), name, "it is not as safe as can be");
    for number in [1, 2, 9_999] {
        let name = numbered(&name, number);
        assert!(!name.is_empty() && name.len() <= MAX_NAME_BYTES);
        assert!(!name.contains(['/', '\\', ':', '\0']) && !name.ends_with(['.', ' ']));
        let components: Vec<_> = Path::new(&name).components().collect();
        assert!(matches!(components[..], [Component::Normal(_)]), "{name:?}");
    }
});
