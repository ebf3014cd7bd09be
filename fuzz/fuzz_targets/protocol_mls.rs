//! The clear part of MLS messages: what the delivery service sees of them. Whatever `openmls` takes as a message of a kind
//! that has a place in a conversation has a clear part here.

#![no_main]

use bedside_fuzz::Room;
use bedside_protocol::mls::Clear;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    Room::with(|room| {
        let (genuine, rest) = match input.split_first() {
            Some((b'c', rest)) => (&room.commit, rest),
            Some((b'w', rest)) => (&room.welcome, rest),
            Some((b'i', rest)) => (&room.group_info, rest),
            Some((b'm', rest)) => (&room.message, rest),
            _ => (&room.message, input),
        };
        let (bytes, same) = Room::change(rest, genuine);
        let clear = Clear::read(&bytes);
        assert!(clear.is_some() || !same, "genuine bytes have a clear part");
        if let Some(Clear::Private(framed) | Clear::Public(framed, _)) = clear {
            assert!(framed.group.len() <= 64);
        }
    });
});
