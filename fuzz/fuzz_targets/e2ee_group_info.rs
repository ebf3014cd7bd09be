//! Group information for joining from outside: any bytes, or genuine ones with changes.

#![no_main]

use bedside_fuzz::Room;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    Room::with(|room| {
        let (info, genuine) = Room::change(bytes, &room.group_info);
        let joined = room.carol().rejoin(&info, room.position);
        assert!(genuine || joined.is_err(), "changed group information was accepted");
    });
});
