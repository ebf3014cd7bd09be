//! Sealed frames of sound and picture: any bytes, or a genuine one with changes.

#![no_main]

use bedside_e2ee::sframe::{BASE_KEY_BYTES, EpochSecret, FrameOpener, FrameSealer};
use bedside_fuzz::Room;
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

fuzz_target!(|bytes: &[u8]| {
    let secret = EpochSecret::new(3, Zeroizing::new(vec![9; BASE_KEY_BYTES])).expect("a secret");
    let mut opener = FrameOpener::default();
    opener.enter(secret.clone()).expect("an epoch");
    let mut sealed = Vec::new();
    FrameSealer::new(&secret, 1, 0)
        .and_then(|mut sealer| sealer.seal(b"a frame", b"meta", &mut sealed))
        .expect("it is sealed");
    let (changed, _) = Room::change(bytes, &sealed);
    let mut frame = Vec::new();
    for bytes in [bytes, &changed] {
        let opened = opener.open(bytes, b"meta", &mut frame);
        // The fuzzer finds out the genuine one by itself: the key is the same each time.
        assert!(bytes == sealed || opened.is_err(), "bytes that nobody sealed were opened");
    }
});
