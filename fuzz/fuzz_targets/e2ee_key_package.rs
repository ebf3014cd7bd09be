//! Key packages as the server hands them out: any bytes, or a genuine one with changes.

#![no_main]

use bedside_fuzz::Room;
use libfuzzer_sys::fuzz_target;

use bedside_e2ee::mls::Change;
use bedside_protocol::Sealed;

fuzz_target!(|bytes: &[u8]| {
    Room::with(|room| {
        let (package, genuine) = Room::change(bytes, &room.key_package);
        let added = room.bob().commit(&room.group, &Change::Add(vec![Sealed(package)]));
        assert!(genuine || added.is_err(), "a changed key package was accepted");
    });
});
