//! Messages of MLS (RFC 9420 §6) whose clear part is right and whose rest is whatever a test likes: the server sees no
//! more than that.

use bedside_protocol::{ConversationId, Sealed, mls::Credential};

/// What is around the content of a private message of at least 16 KiB, bytes.
pub(crate) const FRAME_BYTES: usize = 36;
/// What is around the content of a welcome of at least 16 KiB, bytes.
pub(crate) const WELCOME_FRAME_BYTES: usize = 11;
/// What is around the signature of group information of at least 16 KiB, bytes.
pub(crate) const GROUP_INFO_FRAME_BYTES: usize = 46;

/// What a message is for.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    Application = 1,
    Commit = 3,
}

/// A private message.
pub(crate) fn private(log: ConversationId, epoch: u64, content: Content, body: &[u8]) -> Sealed {
    Sealed([&begun(2, log, epoch)[..], &[content as u8, 0, 0], &vector(body)].concat())
}

/// A commit from outside, by a device that says it is `who`.
pub(crate) fn from_outside(log: ConversationId, epoch: u64, who: Credential, body: &[u8]) -> Sealed {
    // Sender, authenticated data, content; no proposals, a path whose leaf begins with two keys and the credential's kind.
    let head = [4, 0, Content::Commit as u8, 0, 1, 0, 0, 0, 1];
    Sealed([&begun(1, log, epoch)[..], &head, &vector(&who.to_bytes()), body].concat())
}

/// A welcome.
pub(crate) fn welcome(body: &[u8]) -> Sealed {
    Sealed([&[0, 1, 0, 3, 0, 1, 0][..], &vector(body)].concat())
}

/// Group information.
pub(crate) fn group_info(log: ConversationId, epoch: u64, signature: &[u8]) -> Sealed {
    let (context, rest) = (begun(4, log, epoch), vector(signature));
    let (head, group) = context.split_at(4);
    Sealed([head, &[0, 1, 0, 1], group, &[0; 5], &[0; 4], &rest].concat())
}

/// What every message of a group begins with.
fn begun(wire_format: u8, log: ConversationId, epoch: u64) -> Vec<u8> {
    [&[0, 1, 0, wire_format, 16][..], log.0.as_bytes(), &epoch.to_be_bytes()].concat()
}

fn vector(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let prefix = match length {
        0..64 => vec![length.to_be_bytes()[3]],
        64..16384 => u16::try_from(length | 0x4000).unwrap().to_be_bytes().to_vec(),
        _ => (length | 0x8000_0000).to_be_bytes().to_vec(),
    };
    [&prefix, body].concat()
}
