//! Chunks of sealed files and exported keys.

#![no_main]

use bedside_e2ee::file::{FileKey, SEALED_CHUNK_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = FileKey::import(bytes) {
        assert_eq!(key.export().as_slice(), bytes);
    }
    let key = FileKey::import(&[[1].as_slice(), &[7; 51]].concat()).expect("a key");
    let at = bytes.first().map_or(0, |byte| u32::from(*byte));
    for last in [false, true] {
        let forged = key.open_chunk(at, last, &mut bytes.to_vec());
        assert!(forged.is_err(), "bytes that nobody sealed were opened");
        let mut sealed = bytes.to_vec();
        if key.seal_chunk(at, last, &mut sealed).is_err() {
            continue;
        }
        assert!(sealed.len() <= SEALED_CHUNK_BYTES);
        let genuine = sealed.clone();
        for (position, other) in [(at + 1, last), (at, !last)] {
            assert!(key.open_chunk(position, other, &mut sealed.clone()).is_err(), "in another place");
        }
        let place = (at as usize * 257) % sealed.len();
        sealed[place] ^= 1;
        assert!(key.open_chunk(at, last, &mut sealed).is_err(), "a changed chunk was opened");
        let mut sealed = genuine;
        key.open_chunk(at, last, &mut sealed).expect("it is genuine");
        assert_eq!(sealed, bytes);
    }
});
