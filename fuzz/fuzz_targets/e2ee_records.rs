//! Sealed records, passphrase files, exported identities, credentials.

#![no_main]

use bedside_e2ee::{
    DeviceIdentity, PublicIdentity,
    at_rest::{RecordKey, open_with_passphrase},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let key = RecordKey::from_bytes([5; 32]);
    assert!(key.open(b"name", bytes).is_err(), "bytes that nobody sealed were opened");
    // A file may ask for a lot of work, within limits that are tested elsewhere; here that would only take time.
    let cheap = bytes.len() < 13 || bytes[1..3] == [0, 0] && bytes[5..9] <= [0, 0, 0, 1];
    if cheap {
        assert!(open_with_passphrase("a passphrase of words", bytes).is_err());
    }
    if let Ok(identity) = DeviceIdentity::import(bytes) {
        assert_eq!(identity.export().as_slice(), bytes);
    }
    let (credential, key) = bytes.split_at(bytes.len().saturating_sub(32));
    if let Ok(identity) = PublicIdentity::from_parts(credential, key) {
        assert_eq!(identity.credential(), credential);
        let _ = identity.fingerprint();
    }
});
