//! What the log says, entry by entry.

use bedside_protocol::{
    Plaintext,
    mls::{Clear, ContentType, Credential},
};
use openmls::{
    framing::{ProcessedMessageContent, ProtocolMessage},
    group::{MlsGroupStateError, ProcessMessageError, StagedCommit, ValidationError},
    prelude::{MlsMessageBodyIn, Sender},
};
use openmls_traits::OpenMlsProvider as _;

use super::{
    Device, Event, GroupId, MAX_ENTRY_BYTES, MlsError, Provider, Refusal,
    device::{Work, erase},
    ledger::{Kind, Ledger},
    notes::{Beginning, Content, Notes, digest},
    rules,
    sending::parse,
};
use crate::{
    PublicIdentity,
    store::{Store, StoreError},
};

/// Why reading an entry stopped: the entry's fault, which is an event, or not.
enum Stop {
    Refused(Refusal),
    Failed(MlsError),
}

impl From<MlsError> for Stop {
    fn from(error: MlsError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<S: Store> Device<S> {
    /// Reads the entry at `position` of a group's log and says what it meant; `None` when it was read before.
    ///
    /// `poster` is who put it there, where the delivery service says so. It can't make anybody's words another's; but
    /// neither can a member who has made up a device of somebody else: what that one says has been posted by the member.
    ///
    /// The event is on disk, with the state it led to, when this returns; it stays there until
    /// [`Device::acknowledge`].
    ///
    /// # Errors
    /// [`MlsError::Gap`] when an earlier entry is missing; [`MlsError::Removed`] when this device is no member any
    /// more. Never for what the entry holds.
    pub fn receive(
        &mut self,
        id: &GroupId,
        position: u64,
        entry: &[u8],
        poster: Option<Credential>,
    ) -> Result<Option<Event>, MlsError> {
        let notes: Notes = Ledger::new(&self.store).get(Kind::NOTES, id)?.ok_or(MlsError::UnknownGroup)?;
        if position < notes.next {
            return Ok(None);
        }
        if position > notes.next {
            return Err(MlsError::Gap { expected: notes.next, got: position });
        }
        if notes.removed {
            return Err(MlsError::Removed);
        }
        if notes.joining.is_some() {
            return self.receive_joining(id, notes, entry).map(Some);
        }
        let read = self.change(id, |work| {
            let event = work.read(entry, poster)?;
            work.note(&event)?;
            Ok::<_, Stop>(event)
        });
        match read {
            Ok(event) => Ok(Some(event)),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Refused(refusal)) => {
                // Nothing of what the entry began remains: the state is read anew, and only the entry is noted.
                self.change(id, |work| {
                    let event = Event::Refused(refusal);
                    work.note(&event)?;
                    Ok(Some(event))
                })
            }
        }
    }

    /// Events that were not acknowledged, with their positions, oldest first: after a restart, what the window missed.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn events(&self, id: &GroupId) -> Result<Vec<(u64, Event)>, MlsError> {
        let ledger = Ledger::new(&self.store);
        let notes: Notes = ledger.get(Kind::NOTES, id)?.ok_or(MlsError::UnknownGroup)?;
        let mut events = Vec::new();
        for position in notes.acknowledged..notes.next {
            if let Some(event) = ledger.get(Kind::EVENT, &(id, position))? {
                events.push((position, event));
            }
        }
        Ok(events)
    }

    /// Forgets events up to and with the one at `position`: they are kept elsewhere now.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn acknowledge(&mut self, id: &GroupId, position: u64) -> Result<(), MlsError> {
        let ledger = Ledger::new(&self.store);
        let mut notes: Notes = ledger.get(Kind::NOTES, id)?.ok_or(MlsError::UnknownGroup)?;
        let until = position.saturating_add(1).min(notes.next);
        for position in notes.acknowledged..until {
            ledger.erase(Kind::EVENT, &(id, position))?;
        }
        notes.acknowledged = notes.acknowledged.max(until);
        ledger.put(Kind::NOTES, id, &notes)?;
        Ok(self.store.apply(ledger.into_batch())?)
    }

    /// The position of the log entry that [`Device::receive`] wants next.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn position(&self, id: &GroupId) -> Result<u64, MlsError> {
        let notes: Notes = Ledger::new(&self.store).get(Kind::NOTES, id)?.ok_or(MlsError::UnknownGroup)?;
        Ok(notes.next)
    }

    /// While this device is joining from outside, it waits for its own commit and can read nothing else.
    fn receive_joining(&mut self, id: &GroupId, mut notes: Notes, entry: &[u8]) -> Result<Event, MlsError> {
        let provider = Provider { crypto: &self.crypto, ledger: Ledger::new(&self.store) };
        let Some(joining) = notes.joining.take() else { return Err(MlsError::UnknownGroup) };
        let position = notes.next;
        let event = if joining.is(entry) {
            let by = self.identity.public();
            let epoch = joining.outgoing.epoch + 1;
            let (joined, left) = (vec![by], Vec::new());
            Event::Changed { by, epoch, joined, left, external: true, own: true, lost: None }
        } else if commits(entry) == Some(joining.outgoing.epoch) {
            Event::JoinLost
        } else {
            notes.joining = Some(joining);
            let ours = notes.joining.as_ref().map_or(0, |joining| joining.outgoing.epoch + 1);
            Event::Refused(protocol_message(entry).map_or_else(
                |refusal| refusal,
                |message| Refusal::WrongEpoch { ours, theirs: message.epoch().as_u64() },
            ))
        };
        if event == Event::JoinLost {
            self.open.remove(id);
            erase(&provider, id)?;
            notes.removed = true;
        }
        notes.next += 1;
        provider.ledger.put(Kind::EVENT, &(id, position), &event)?;
        provider.ledger.put(Kind::NOTES, id, &notes)?;
        let applied = self.store.apply(provider.into_batch());
        if applied.is_err() {
            self.open.remove(id);
        }
        applied?;
        Ok(event)
    }
}

impl<S: Store> Work<'_, S> {
    /// Keeps the event of the entry that was just read.
    fn note(&mut self, event: &Event) -> Result<(), MlsError> {
        self.provider.ledger.put(Kind::EVENT, &(self.id, self.notes.next), event)?;
        self.notes.next += 1;
        Ok(())
    }

    fn read(&mut self, entry: &[u8], poster: Option<Credential>) -> Result<Event, Stop> {
        if let Some(event) = self.own_message(entry)? {
            return Ok(event);
        }
        if self.notes.commit.as_ref().is_some_and(|commit| commit.is(entry)) {
            return self.own_commit();
        }
        let message = protocol_message(entry)?;
        if message.group_id().as_slice() != self.id.as_bytes() {
            return Err(Refusal::WrongGroup.into());
        }
        let (ours, theirs) = (self.group.epoch().as_u64(), message.epoch().as_u64());
        if ours != theirs {
            return Err(Refusal::WrongEpoch { ours, theirs }.into());
        }
        let processed = self.group.process_message(&self.provider, message).map_err(refusal)?;
        let sender = processed.sender().clone();
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(message) => {
                self.message(&sender, &zeroize::Zeroizing::new(message.into_bytes()), poster)
            }
            ProcessedMessageContent::StagedCommitMessage(commit) => self.commit_of(&sender, *commit, poster),
            // Nobody here makes proposals without committing to them.
            ProcessedMessageContent::ProposalMessage(_)
            | ProcessedMessageContent::ExternalJoinProposalMessage(_) => Err(Refusal::Unauthorised.into()),
            // This device's own, but not under way any more.
            ProcessedMessageContent::OwnPrivateMessage | ProcessedMessageContent::OwnPendingCommit => {
                Err(Refusal::Replayed.into())
            }
        }
    }

    /// Whether the entry is a message of this device that was under way.
    fn own_message(&mut self, entry: &[u8]) -> Result<Option<Event>, Stop> {
        let Some(number) = self.provider.ledger.get::<u64>(Kind::ENTRY, &(self.id, digest(entry)))? else {
            return Ok(None);
        };
        let message = self.take(number)?.ok_or(StoreError::Damaged)?;
        let missing = number - self.notes.seen - 1;
        // The server put this before earlier ones. Others can't read those any more: send them again, as new.
        for skipped in self.notes.seen + 1..number {
            if let Some(earlier) = self.take(skipped)? {
                self.notes.written += 1;
                self.seal(self.notes.written, earlier.id, earlier.body)?;
            }
        }
        self.notes.seen = number;
        let sender = self.identity.public();
        Ok(Some(Event::Message { sender, id: message.id, body: message.body, own: true, missing }))
    }

    fn message(
        &mut self,
        sender: &Sender,
        content: &[u8],
        poster: Option<Credential>,
    ) -> Result<Event, Stop> {
        let Sender::Member(leaf) = sender else { return Err(Refusal::Unauthorised.into()) };
        let members = rules::members(&self.group)?;
        let member = members.iter().find(|member| member.leaf == leaf.u32()).ok_or(Refusal::Unauthorised)?;
        posted_by(&member.identity, poster)?;
        let content = Content::read(content)?;
        let heard = self.notes.heard.get(&member.identity.device).copied();
        if heard.is_some_and(|heard| content.number <= heard) {
            return Err(Refusal::Replayed.into());
        }
        let missing = content.missing(heard, self.notes.joined);
        self.notes.heard.insert(member.identity.device, content.number);
        let body = Plaintext::from(content.body);
        Ok(Event::Message { sender: member.identity, id: content.id, body, own: false, missing })
    }

    /// Another device's commit.
    fn commit_of(
        &mut self,
        sender: &Sender,
        commit: StagedCommit,
        poster: Option<Credential>,
    ) -> Result<Event, Stop> {
        let before = self.identities()?;
        let (by, external) = rules::judge(self.id, &self.group, sender, &commit, self.authority)?;
        posted_by(&by, poster)?;
        let lost = self.notes.commit.take().map(|own| own.change);
        if lost.is_some() {
            self.group.clear_pending_commit(self.provider.storage())?;
        }
        let removed = commit.self_removed();
        self.group.merge_staged_commit(&self.provider, commit).map_err(|_| MlsError::Library("merge"))?;
        if removed {
            self.notes.removed = true;
            return Ok(Event::Removed { by });
        }
        let mut event = self.changed(&before, by, external)?;
        if let Event::Changed { lost: place, .. } = &mut event {
            *place = lost;
        }
        Ok(event)
    }

    fn own_commit(&mut self) -> Result<Event, Stop> {
        let before = self.identities()?;
        self.notes.commit = None;
        self.group.merge_pending_commit(&self.provider).map_err(|_| MlsError::Library("merge"))?;
        self.changed(&before, self.identity.public(), false)
    }

    /// What a merged commit changed. Messages that wait are sealed for the new epoch.
    fn changed(
        &mut self,
        before: &[PublicIdentity],
        by: PublicIdentity,
        external: bool,
    ) -> Result<Event, Stop> {
        let after = self.identities()?;
        let without = |these: &[PublicIdentity], those: &[PublicIdentity]| -> Vec<PublicIdentity> {
            these.iter().filter(|one| !those.contains(one)).copied().collect()
        };
        let (joined, left) = (without(&after, before), without(before, &after));
        for member in &left {
            self.notes.heard.remove(&member.device);
            self.notes.beginnings.remove(&member.device);
        }
        // Also whoever was a member before and comes from outside: it has lost its state and counts from the beginning.
        let epoch = self.group.epoch().as_u64();
        let own = by == self.identity.public();
        let returned = external.then_some(&by);
        for newcomer in joined.iter().chain(returned) {
            self.notes.heard.insert(newcomer.device, 0);
            let beginning = Beginning { epoch, after: self.notes.seen };
            self.notes.beginnings.insert(newcomer.device, beginning);
        }
        self.seal_anew()?;
        Ok(Event::Changed { by, epoch, joined, left, external, own, lost: None })
    }
}

/// Whether the device that made an entry put it into the log itself.
fn posted_by(by: &PublicIdentity, poster: Option<Credential>) -> Result<(), Refusal> {
    let itself = Credential { user: by.user, device: by.device };
    if poster.is_none_or(|poster| poster == itself) { Ok(()) } else { Err(Refusal::PostedByAnother) }
}

fn protocol_message(entry: &[u8]) -> Result<ProtocolMessage, Refusal> {
    if entry.len() > MAX_ENTRY_BYTES {
        return Err(Refusal::TooLarge);
    }
    match parse(entry) {
        Some(MlsMessageBodyIn::PrivateMessage(message)) => Ok(message.into()),
        Some(MlsMessageBodyIn::PublicMessage(message)) => Ok(message.into()),
        _ => Err(Refusal::Malformed),
    }
}

/// The epoch that an entry, if it is a commit, says it ends. The server takes one for an epoch, whether anybody can follow
/// it or not.
fn commits(entry: &[u8]) -> Option<u64> {
    let (Clear::Private(framed) | Clear::Public(framed, _)) = Clear::read(entry)? else { return None };
    (framed.content == ContentType::Commit).then_some(framed.epoch)
}

fn refusal(error: ProcessMessageError<StoreError>) -> Stop {
    use openmls::framing::errors::MessageDecryptionError;
    match error {
        ProcessMessageError::StorageError(error) => Stop::Failed(error.into()),
        ProcessMessageError::GroupStateError(MlsGroupStateError::UseAfterEviction) => {
            Stop::Failed(MlsError::Removed)
        }
        ProcessMessageError::InvalidCommit(_) => Stop::Refused(Refusal::InvalidCommit),
        ProcessMessageError::ValidationError(ValidationError::UnableToDecrypt(
            MessageDecryptionError::SecretTreeError(_),
        )) => Stop::Refused(Refusal::Replayed),
        ProcessMessageError::ValidationError(
            ValidationError::UnknownMember | ValidationError::UnauthorizedExternalSender,
        )
        | ProcessMessageError::UnauthorizedExternalApplicationMessage
        | ProcessMessageError::UnauthorizedExternalCommitMessage => Stop::Refused(Refusal::Unauthorised),
        _ => Stop::Refused(Refusal::Unreadable),
    }
}
