//! The clear part of an MLS message (RFC 9420 §6): what everybody on its way can see of it, and so the only thing by which
//! the delivery service can tell an entry that belongs where it was sent from one that does not.
//!
//! Nothing here is decrypted or verified. Lengths are checked against what is there before anything is looked at, nothing is
//! copied, and a message has to end where its last field does.

use uuid::Uuid;

use crate::{DeviceId, UserId};

/// The longest group name that is looked at, bytes: a conversation's has sixteen.
const MAX_GROUP_ID_BYTES: usize = 64;

/// The version of [`Credential`] that is written.
const CREDENTIAL_VERSION: u8 = 1;

/// Whose device somebody says they are: the content of an MLS basic credential (RFC 9420 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Whose.
    pub user: UserId,
    /// Which of theirs.
    pub device: DeviceId,
}

impl Credential {
    /// Version, user, device.
    pub const BYTES: usize = 1 + 16 + 16;

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [CREDENTIAL_VERSION; Self::BYTES];
        bytes[1..17].copy_from_slice(self.user.0.as_bytes());
        bytes[17..].copy_from_slice(self.device.0.as_bytes());
        bytes
    }

    /// What [`Credential::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&CREDENTIAL_VERSION, ids) = bytes.split_first()? else { return None };
        let (user, device) = ids.split_at_checked(16)?;
        let (user, device) = (Uuid::from_slice(user).ok()?, Uuid::from_slice(device).ok()?);
        Some(Self { user: UserId(user), device: DeviceId(device) })
    }
}

/// What the clear part of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear<'a> {
    /// A private message: who says or changes what is sealed, its kind is not.
    Private(Framed<'a>),
    /// A public message: signed, not sealed.
    Public(Framed<'a>, Sender<'a>),
    /// A welcome. For which group is sealed.
    Welcome,
    /// What a device needs to join from outside.
    GroupInfo {
        /// The group.
        group: &'a [u8],
        /// The epoch it describes.
        epoch: u64,
    },
}

/// Where a message belongs, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// The group.
    pub group: &'a [u8],
    /// The epoch it was made in.
    pub epoch: u64,
    /// What it is for.
    pub content: ContentType,
}

/// What a message is for (RFC 9420 §6, `ContentType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// Something that is said.
    Application,
    /// A change that is proposed.
    Proposal,
    /// A change that is made: ends the epoch.
    Commit,
}

/// Who a public message says it is from (RFC 9420 §6, `SenderType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender<'a> {
    /// A member.
    Member,
    /// Somebody outside whom the group knows.
    External,
    /// Somebody who proposes to join.
    NewMemberProposal,
    /// Somebody who joins from outside by this commit.
    NewMemberCommit {
        /// Who they say they are: the content of the basic credential in the commit's leaf (RFC 9420 §5.3). `None` where
        /// there is none, or of another kind.
        credential: Option<&'a [u8]>,
    },
}

impl<'a> Clear<'a> {
    /// Reads the clear part of `message`; `None` when it is no message of MLS 1.0 of a kind that has a place in a
    /// conversation.
    #[must_use]
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(message);
        let (1, wire_format) = (rest.u16()?, rest.u16()?) else { return None };
        match wire_format {
            1 => rest.public(),
            2 => rest.private(),
            3 => rest.welcome(),
            4 => rest.group_info(),
            _ => None,
        }
    }
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A vector with its length before it (RFC 9420 §2.1.2), which has to be in its shortest form.
    fn vector(&mut self) -> Option<&'a [u8]> {
        let first = self.u8()?;
        let (more, shortest_from) = match first >> 6 {
            0 => (0, 0),
            1 => (1, 1 << 6),
            2 => (3, 1 << 14),
            _ => return None,
        };
        let mut length = usize::from(first & 0x3f);
        for byte in self.take(more)? {
            length = length << 8 | usize::from(*byte);
        }
        self.take(length).filter(|_| length >= shortest_from)
    }

    fn group(&mut self) -> Option<&'a [u8]> {
        self.vector().filter(|group| group.len() <= MAX_GROUP_ID_BYTES)
    }

    fn content_type(&mut self) -> Option<ContentType> {
        match self.u8()? {
            1 => Some(ContentType::Application),
            2 => Some(ContentType::Proposal),
            3 => Some(ContentType::Commit),
            _ => None,
        }
    }

    fn sender(&mut self) -> Option<Sender<'a>> {
        match self.u8()? {
            1 => self.take(4).map(|_| Sender::Member),
            2 => self.take(4).map(|_| Sender::External),
            3 => Some(Sender::NewMemberProposal),
            4 => Some(Sender::NewMemberCommit { credential: None }),
            _ => None,
        }
    }

    /// Something is left.
    fn more<T>(&self, read: T) -> Option<T> {
        (!self.0.is_empty()).then_some(read)
    }

    /// Nothing is left.
    fn end<T>(&self, read: T) -> Option<T> {
        self.0.is_empty().then_some(read)
    }

    /// The credential in the update path of a `Commit` (RFC 9420 §12.4): proposals, the path's leaf with two keys before
    /// its credential.
    fn committer(mut self) -> Option<&'a [u8]> {
        self.vector()?;
        let 1 = self.u8()? else { return None };
        for _ in 0..2 {
            self.vector()?;
        }
        let 1 = self.u16()? else { return None };
        self.vector()
    }

    /// `PublicMessage`: what follows the kind of its content is signed, and looked at only for who comes in.
    fn public(mut self) -> Option<Clear<'a>> {
        let (group, epoch, mut sender) = (self.group()?, self.u64()?, self.sender()?);
        self.vector()?;
        let content = self.content_type()?;
        self.more(())?;
        if let (Sender::NewMemberCommit { credential }, ContentType::Commit) = (&mut sender, content) {
            *credential = Reader(self.0).committer();
        }
        Some(Clear::Public(Framed { group, epoch, content }, sender))
    }

    /// `PrivateMessage`: authenticated data, sealed sender data and ciphertext follow.
    fn private(mut self) -> Option<Clear<'a>> {
        let (group, epoch, content) = (self.group()?, self.u64()?, self.content_type()?);
        for _ in 0..3 {
            self.vector()?;
        }
        self.end(Clear::Private(Framed { group, epoch, content }))
    }

    /// `Welcome`: the cipher suite, secrets for each newcomer, and the sealed group information.
    fn welcome(mut self) -> Option<Clear<'a>> {
        self.u16()?;
        for _ in 0..2 {
            self.vector()?;
        }
        self.end(Clear::Welcome)
    }

    /// `GroupInfo`: the group's context, extensions, confirmation tag, signer and signature.
    fn group_info(mut self) -> Option<Clear<'a>> {
        let (1, _suite) = (self.u16()?, self.u16()?) else { return None };
        let (group, epoch) = (self.group()?, self.u64()?);
        // Tree hash, transcript hash, extensions of the context; extensions; confirmation tag.
        for _ in 0..5 {
            self.vector()?;
        }
        self.take(4)?;
        self.vector()?;
        self.end(Clear::GroupInfo { group, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &[u8] = b"sixteen bytes of";

    /// What every message of a group begins with.
    fn begun(wire_format: u8) -> Vec<u8> {
        [&[0, 1, 0, wire_format, 16], GROUP, &7u64.to_be_bytes()].concat()
    }

    fn private(content: u8) -> Vec<u8> {
        [&begun(2)[..], &[content, 0, 2, 8, 8, 0x40, 70], &[9; 70]].concat()
    }

    #[test]
    fn a_message_says_where_it_belongs_and_what_it_is_for() {
        for (byte, content) in
            [(1, ContentType::Application), (2, ContentType::Proposal), (3, ContentType::Commit)]
        {
            let framed = Framed { group: GROUP, epoch: 7, content };
            assert_eq!(Clear::read(&private(byte)), Some(Clear::Private(framed)));
            for (sender, named) in [
                (&[1, 0, 0, 0, 5][..], Sender::Member),
                (&[2, 0, 0, 0, 5], Sender::External),
                (&[3], Sender::NewMemberProposal),
                (&[4], Sender::NewMemberCommit { credential: None }),
            ] {
                let public = [&begun(1)[..], sender, &[0, byte, 1]].concat();
                assert_eq!(Clear::read(&public), Some(Clear::Public(framed, named)));
            }
        }
        assert_eq!(Clear::read(&[0, 1, 0, 3, 0, 1, 1, 7, 1, 8]), Some(Clear::Welcome));
        let context = [&[0, 1, 0, 4, 0, 1, 0, 1, 16], GROUP, &7u64.to_be_bytes(), &[0; 5], &[0; 4], &[1, 9]];
        assert_eq!(Clear::read(&context.concat()), Some(Clear::GroupInfo { group: GROUP, epoch: 7 }));
    }

    #[test]
    fn a_commit_from_outside_says_who_comes_in() {
        let who = Credential { user: UserId::random(), device: DeviceId::random() };
        assert_eq!(Credential::from_bytes(&who.to_bytes()), Some(who));
        let comes_in = |kind: u8, credential: &[u8]| {
            let length = u8::try_from(credential.len()).unwrap();
            // Sender, authenticated data, commit; two bytes of proposals; a path, whose leaf begins with two keys.
            let head = [4, 0, 3, 2, 8, 8, 1, 1, 5, 1, 6, 0, kind, length];
            [&begun(1)[..], &head, credential, &[9; 20]].concat()
        };
        let said = |message: &[u8]| match Clear::read(message) {
            Some(Clear::Public(_, Sender::NewMemberCommit { credential })) => {
                credential.and_then(Credential::from_bytes)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(said(&comes_in(1, &who.to_bytes())), Some(who));
        assert_eq!(said(&comes_in(2, &who.to_bytes())), None, "a certificate");
        assert_eq!(said(&comes_in(1, &who.to_bytes()[1..])), None, "another form");
        let cut = comes_in(1, &who.to_bytes());
        assert_eq!(said(&cut[..cut.len() - 30]), None, "cut in the credential");
    }

    #[test]
    fn what_is_cut_or_goes_on_is_no_message() {
        let whole = private(1);
        for end in 0..whole.len() {
            assert_eq!(Clear::read(&whole[..end]), None, "cut after {end} bytes");
        }
        assert_eq!(Clear::read(&[&whole[..], &[0]].concat()), None, "something follows");
    }

    #[test]
    fn other_versions_kinds_and_long_forms_of_lengths_are_no_messages() {
        let whole = private(1);
        // Version, wire format, kind of content.
        for (place, byte) in [(1, 2), (3, 0), (3, 5), (3, 6), (29, 0), (29, 4)] {
            let mut changed = whole.clone();
            changed[place] = byte;
            assert_eq!(Clear::read(&changed), None, "byte {place} is {byte}");
        }
        let long = [&[0, 1, 0, 2, 0x40, 16], GROUP, &7u64.to_be_bytes(), &[1, 0, 0, 0]].concat();
        assert_eq!(Clear::read(&long), None, "sixteen in two bytes");
        let endless = [&[0, 1, 0, 2, 0xbf, 0xff, 0xff, 0xff][..], GROUP].concat();
        assert_eq!(Clear::read(&endless), None);
    }
}
