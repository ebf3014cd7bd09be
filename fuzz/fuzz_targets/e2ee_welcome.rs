//! Welcomes: any bytes, or a genuine one with changes.

#![no_main]

use bedside_fuzz::Room;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    Room::with(|room| {
        let (welcome, genuine) = Room::change(bytes, &room.welcome);
        let mut device = room.carol();
        let joined = device.join(&welcome, room.position);
        assert!(genuine || joined.is_err(), "a changed welcome was accepted");
    });
});
