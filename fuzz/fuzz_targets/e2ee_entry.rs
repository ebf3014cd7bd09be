//! Entries of a group's log: any bytes, or a genuine message or commit with changes.

#![no_main]

use bedside_fuzz::Room;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    Room::with(|room| {
        let (entry, genuine) = room.entry(bytes);
        let mut device = room.bob();
        let event = device.receive(&room.group, room.position, &entry, None);
        assert!(genuine || !Room::is_accepted(&event), "a changed entry was accepted");
        // Whatever came, the group goes on.
        let after = device.position(&room.group).expect("the group is there");
        assert!(matches!(device.receive(&room.group, after, &room.message, None), Ok(_)));
    });
});
