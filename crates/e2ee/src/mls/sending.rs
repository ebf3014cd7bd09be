//! What this device says: messages and changes, written ahead.

use bedside_protocol::{Plaintext, Sealed};
use openmls::prelude::{
    KeyPackage, LeafNodeIndex, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, ProtocolVersion,
    tls_codec::DeserializeBytes as _,
};
use openmls_traits::OpenMlsProvider as _;

use super::{
    Act, Change, Device, GroupId, MAX_BODY_BYTES, MAX_ENTRY_BYTES, Member, MessageId, MlsError, Outgoing,
    SUITE,
    device::Work,
    ledger::Kind,
    notes::{Beginning, Content, Notes, OwnCommit, OwnMessage, digest},
    rules,
};
use crate::{
    PublicIdentity,
    store::{Store, StoreError},
};

impl<S: Store> Device<S> {
    /// Seals a message of at most [`MAX_BODY_BYTES`] bytes for a group. It stays in [`Device::unsent`] until it is seen
    /// in the log. While it waits, the same id again does nothing: after a crash, just call again.
    ///
    /// # Errors
    /// [`MlsError::TooLarge`], or when this device is not a member.
    pub fn send(&mut self, id: &GroupId, message: MessageId, body: &[u8]) -> Result<Outgoing, MlsError> {
        if body.len() > MAX_BODY_BYTES {
            return Err(MlsError::TooLarge);
        }
        self.change(id, |work| {
            work.usable()?;
            if let Some(number) = work.provider.ledger.get::<u64>(Kind::NUMBER, &(id, message))? {
                let waiting: Option<OwnMessage> = work.provider.ledger.get(Kind::MESSAGE, &(id, number))?;
                return waiting.map(|waiting| waiting.outgoing).ok_or(StoreError::Damaged.into());
            }
            work.notes.written += 1;
            work.seal(work.notes.written, message, Plaintext::from(body))
        })
    }

    /// Whose device a key package would add.
    ///
    /// # Errors
    /// [`MlsError::BadKeyPackage`] when it could not be added at all.
    pub fn newcomer(&self, package: &Sealed) -> Result<PublicIdentity, MlsError> {
        key_package(&package.0, &self.provider()).map(|(_, newcomer)| newcomer)
    }

    /// Makes a change to a group. It takes effect when it is seen in the log ([`super::Event::Changed`]); until then no
    /// other can be made.
    ///
    /// # Errors
    /// One for each reason why there can be no such change.
    pub fn commit(&mut self, id: &GroupId, change: &Change) -> Result<Outgoing, MlsError> {
        self.change(id, |work| {
            work.usable()?;
            if work.notes.commit.is_some() {
                return Err(MlsError::CommitPending);
            }
            let outgoing = work.commit(change)?;
            work.notes.commit = Some(OwnCommit { change: change.clone(), outgoing: outgoing.clone() });
            Ok(outgoing)
        })
    }

    /// Everything that was to be sent to a group and was not yet seen in its log, in the order to send it in: what to
    /// offer the server after a restart or a reconnection, and whenever it answered that an epoch is over.
    ///
    /// The server may have some of it already; the same entry twice does no harm.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn unsent(&self, id: &GroupId) -> Result<Vec<Outgoing>, MlsError> {
        let ledger = self.provider().ledger;
        let notes: Notes = ledger.get(Kind::NOTES, id)?.ok_or(MlsError::UnknownGroup)?;
        let mut unsent = Vec::new();
        if notes.removed {
            return Ok(unsent);
        }
        for number in notes.seen + 1..=notes.written {
            if let Some(message) = ledger.get::<OwnMessage>(Kind::MESSAGE, &(id, number))? {
                unsent.push(message.outgoing);
            }
        }
        // A commit ends the epoch that the messages before it are sealed for.
        unsent.extend(notes.commit.or(notes.joining).map(|commit| commit.outgoing));
        Ok(unsent)
    }
}

impl<S: Store> Work<'_, S> {
    /// Seals own message `number` for the present epoch and writes it ahead.
    pub(super) fn seal(&mut self, number: u64, id: MessageId, body: Plaintext) -> Result<Outgoing, MlsError> {
        // Whoever came in with this device was never told where it begins, which is at its first message.
        let with_it = Beginning { epoch: self.notes.joined, after: 0 };
        let beginnings = self.notes.beginnings.values().copied().chain([with_it]).collect();
        let content = Content { number, id, beginnings, body: &body.0 }.write();
        let sealed = self
            .group
            .create_message(&self.provider, self.identity, &content)
            .map_err(|_| MlsError::Library("seal"))?;
        let outgoing = Outgoing {
            group: self.id.clone(),
            epoch: self.group.epoch().as_u64(),
            commit: false,
            entry: bytes(&sealed)?,
            welcome: None,
            welcome_for: Vec::new(),
            group_info: None,
        };
        self.take(number)?;
        self.provider.ledger.put(Kind::NUMBER, &(self.id, id), &number)?;
        self.provider.ledger.put(Kind::ENTRY, &(self.id, digest(&outgoing.entry.0)), &number)?;
        let message = OwnMessage { id, body, outgoing: outgoing.clone() };
        self.provider.ledger.put(Kind::MESSAGE, &(self.id, number), &message)?;
        Ok(outgoing)
    }

    /// Takes own message `number` from those that wait, with all that finds it.
    pub(super) fn take(&mut self, number: u64) -> Result<Option<OwnMessage>, StoreError> {
        take(&self.provider, self.id, number)
    }

    /// Seals messages that wait anew, as their epoch is over: in the same order, under the same numbers.
    pub(super) fn seal_anew(&mut self) -> Result<(), MlsError> {
        for number in self.notes.seen + 1..=self.notes.written {
            if let Some(message) =
                self.provider.ledger.get::<OwnMessage>(Kind::MESSAGE, &(self.id, number))?
            {
                self.seal(number, message.id, message.body)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, change: &Change) -> Result<Outgoing, MlsError> {
        let members = self.members()?;
        let (mut packages, mut joining, mut leaving) = (Vec::new(), Vec::new(), Vec::<Member>::new());
        match change {
            Change::Add(offered) => {
                for offered in offered {
                    let (package, newcomer) = key_package(&offered.0, &self.provider)?;
                    let mut known = members.iter().map(|member| &member.identity).chain(&joining);
                    if known.any(|known: &PublicIdentity| known.device == newcomer.device) {
                        return Err(MlsError::AlreadyMember(newcomer.device));
                    }
                    packages.push(package);
                    joining.push(newcomer);
                }
            }
            Change::Remove(devices) => {
                if devices.contains(&self.identity.public().device) {
                    return Err(MlsError::OwnDevice);
                }
                leaving.extend(
                    members.iter().copied().filter(|member| devices.contains(&member.identity.device)),
                );
            }
            Change::Update => {}
        }
        if joining.is_empty() && leaving.is_empty() && *change != Change::Update {
            return Err(MlsError::NothingToDo);
        }
        let gone: Vec<PublicIdentity> = leaving.iter().map(|member| member.identity).collect();
        let mut after: Vec<PublicIdentity> = members.iter().map(|member| member.identity).collect();
        after.retain(|member| !gone.contains(member));
        after.extend_from_slice(&joining);
        if !rules::sound(&after) {
            return Err(MlsError::TooManyMembers);
        }
        let act = Act {
            group: self.id,
            by: &self.identity.public(),
            external: false,
            joining: &joining,
            leaving: &gone,
            members: &members,
        };
        if !self.authority.permits(&act) {
            return Err(MlsError::Unauthorised);
        }
        let failed = MlsError::Library("commit");
        let epoch = self.group.epoch().as_u64();
        let bundle = self
            .group
            .commit_builder()
            .force_self_update(true)
            .propose_adds(packages)
            .propose_removals(leaving.iter().map(|member| LeafNodeIndex::new(member.leaf)))
            .load_psks(self.provider.storage())
            .map_err(|_| failed.clone())?
            .create_group_info(true)
            .use_ratchet_tree_extension(true)
            .build(self.provider.rand(), self.provider.crypto(), self.identity, |_| true)
            .map_err(|_| failed.clone())?
            .stage_commit(&self.provider)
            .map_err(|_| failed)?;
        let (commit, welcome, info) = bundle.into_messages();
        Ok(Outgoing {
            group: self.id.clone(),
            epoch,
            commit: true,
            entry: bytes(&commit)?,
            welcome: welcome.as_ref().map(bytes).transpose()?,
            welcome_for: joining.iter().map(|newcomer| newcomer.device).collect(),
            group_info: info.as_ref().map(bytes).transpose()?,
        })
    }
}

/// Takes own message `number` of a group from those that wait, with all that finds it.
pub(super) fn take<S: Store>(
    provider: &super::Provider<'_, S>,
    id: &GroupId,
    number: u64,
) -> Result<Option<OwnMessage>, StoreError> {
    let message: Option<OwnMessage> = provider.ledger.get(Kind::MESSAGE, &(id, number))?;
    if let Some(message) = &message {
        provider.ledger.erase(Kind::MESSAGE, &(id, number))?;
        provider.ledger.erase(Kind::NUMBER, &(id, message.id))?;
        provider.ledger.erase(Kind::ENTRY, &(id, digest(&message.outgoing.entry.0)))?;
    }
    Ok(message)
}

pub(super) fn bytes(message: &MlsMessageOut) -> Result<Sealed, MlsError> {
    message.to_bytes().map(Sealed).map_err(|_| MlsError::Library("encoding"))
}

/// An MLS message that is nothing but that, and not too long.
pub(super) fn parse(bytes: &[u8]) -> Option<MlsMessageBodyIn> {
    if bytes.len() > MAX_ENTRY_BYTES {
        return None;
    }
    MlsMessageIn::tls_deserialize_exact_bytes(bytes).ok().map(MlsMessageIn::extract)
}

/// A key package that is valid now, and whose device it is.
fn key_package<S: Store>(
    bytes: &[u8],
    provider: &super::Provider<'_, S>,
) -> Result<(KeyPackage, PublicIdentity), MlsError> {
    let Some(MlsMessageBodyIn::KeyPackage(package)) = parse(bytes) else {
        return Err(MlsError::BadKeyPackage);
    };
    let package =
        package.validate(provider.crypto, ProtocolVersion::Mls10).map_err(|_| MlsError::BadKeyPackage)?;
    let leaf = package.leaf_node();
    let newcomer = rules::identity(leaf.credential(), leaf.signature_key().as_slice())
        .map_err(|_| MlsError::BadKeyPackage)?;
    if package.ciphersuite() != SUITE || !package.life_time().has_acceptable_range() {
        return Err(MlsError::BadKeyPackage);
    }
    Ok((package, newcomer))
}
