//! Chunks of sealed files and exported keys.

#![no_main]

use bedside_e2ee::file::{FileKey, FileOpener, FileSealer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = FileKey::import(bytes) {
        assert_eq!(key.export().as_slice(), bytes);
    }
    let key = FileKey::import(&[[1].as_slice(), &[7; 51]].concat()).expect("a key");
    let mut opener = FileOpener::new(key.clone(), Vec::new(), 0);
    let forged = opener.update(bytes).and_then(|()| opener.finish().map(drop));
    assert!(forged.is_err(), "bytes that nobody sealed were opened");
    // Sealed, and cut or changed where the input says.
    let mut sealed = Vec::new();
    let (mut sealer, mut chunk) = (FileSealer::new(key.clone(), bytes, 0), Vec::new());
    while sealer.next_chunk(&mut chunk).expect("it is sealed") {
        sealed.extend_from_slice(&chunk);
    }
    let place = bytes.first().map_or(0, |byte| usize::from(*byte)) % sealed.len();
    let mut opener = FileOpener::new(key.clone(), Vec::new(), 0);
    let cut = opener.update(&sealed[..place]).and_then(|()| opener.finish().map(drop));
    assert!(cut.is_err(), "a part of a file was taken for the whole");
    sealed[place] ^= 1;
    let mut opener = FileOpener::new(key.clone(), Vec::new(), 0);
    let changed = opener.update(&sealed).and_then(|()| opener.finish().map(drop));
    assert!(changed.is_err(), "a changed file was opened");
    sealed[place] ^= 1;
    let mut opener = FileOpener::new(key, Vec::new(), 0);
    opener.update(&sealed).expect("it is genuine");
    assert_eq!(opener.finish().expect("it is whole"), bytes);
});
