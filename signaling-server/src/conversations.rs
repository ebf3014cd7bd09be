//! Conversations: one service behind the REST routes and the socket messages. To MLS it is the delivery service
//! (RFC 9750 §5): it puts the entries of a conversation into one order, takes one commit per epoch, keeps welcomes,
//! and reads none of it.
//!
//! An entry is stored and told under one lock, so that every session gets the entries in the order of the log. That
//! happens on a task of its own: a client that hangs up in between must not leave an entry stored and untold.

use std::{sync::Arc, time::Duration};

use bedside_call::exchange::SignalKind;
use bedside_protocol::{
    CallId, ConversationId, EntryId, ErrorCode, Problem, Timestamp, UserId,
    conversation::{
        Acknowledge, Append, AppendCommit, Appended, Conversation, ConversationKind, CreateConversation,
        EntryKind, FoundGroup, Founded, GroupInfo, LogEntry, MAX_ENTRY_BYTES, MAX_INLINE_ENTRY_BYTES,
        MAX_PARTICIPANTS, Typing, WaitingWelcome,
    },
    socket::{Event, Request},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    calls::CallService, clock, config::LogLimits, db::Database, directory::Directory, fault::Fault, hub::Hub,
    identity::Identity, limits::Limits, socket::to_value,
};

mod form;
mod founding;
mod log;
mod members;
mod store;
mod usage;
mod welcomes;

use self::log::{NewEntry, Placed};
pub(crate) use self::welcomes::forget_unneeded as forget_unneeded_welcomes;

/// The longest sealed "somebody writes", in bytes: it says yes or no.
const MAX_TYPING_BYTES: usize = 1024;
/// Devices that one commit may add.
const MAX_WELCOMED: usize = 500;

/// What the conversation service works with.
#[derive(Clone)]
pub struct ConversationDeps {
    /// Where logs are kept.
    pub db: Database,
    /// Names, who may talk to whom, and the archive.
    pub directory: Directory,
    /// Where events go.
    pub hub: Hub,
    /// Knows which device takes part in which call.
    pub calls: CallService,
    /// How long entries and welcomes are kept for devices that don't come for them.
    pub retention: Duration,
    /// How much is kept.
    pub limits: LogLimits,
    /// How much one account hands in.
    pub rates: Limits,
}

/// The one service behind the REST routes and the socket messages for conversations. Cheap to clone.
#[derive(Clone)]
pub struct ConversationService(Arc<Shared>);

struct Shared {
    deps: ConversationDeps,
    /// Held from before an entry is stored until it is told.
    order: Mutex<()>,
}

impl ConversationService {
    /// The service over `deps.db`.
    #[must_use]
    pub fn new(deps: ConversationDeps) -> Self {
        Self(Arc::new(Shared { deps, order: Mutex::default() }))
    }

    /// Serves a message about conversations that came over the socket; the answer's `data`.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn handle(&self, who: &Identity, request: Request) -> Result<Value, Fault> {
        match request {
            Request::ChatMessage(entry) => to_value(&self.append(who, EntryKind::Message, entry).await?),
            Request::ChatDelivered(entry) => to_value(&self.append(who, EntryKind::Delivered, entry).await?),
            Request::ChatRead(entry) => to_value(&self.append(who, EntryKind::Read, entry).await?),
            Request::Offer(entry) => to_value(&self.append(who, EntryKind::Offer, entry).await?),
            Request::Answer(entry) => to_value(&self.append(who, EntryKind::Answer, entry).await?),
            Request::Ice(entry) => to_value(&self.append(who, EntryKind::Ice, entry).await?),
            Request::ChatTyping(typing) => self.typing(who, typing).await.map(|()| json!({})),
            Request::ChatAck(ack) => self.acknowledge(who, ack).await.map(|()| json!({})),
            Request::Hello(_)
            | Request::Ping { .. }
            | Request::UpdatePresence(_)
            | Request::InitiateCall(_)
            | Request::AcceptCall { .. }
            | Request::DeclineCall { .. }
            | Request::HangupCall { .. }
            | Request::ExtendCall { .. }
            | Request::CallMedia { .. }
            | Request::SwitchType { .. } => Err(ErrorCode::UnknownType.into()),
        }
    }

    /// Creates a conversation. A direct one that exists is the answer itself. The clinic's archive takes part in each.
    ///
    /// # Errors
    /// `not_a_contact`, `invalid_value` for too few or too many people, `no_archive` when the account of the clinic's
    /// archive is missing, or the database failed.
    pub async fn create(&self, who: &Identity, wish: CreateConversation) -> Result<Conversation, Fault> {
        let Shared { deps, .. } = &*self.0;
        let archive = deps.directory.archive().await?.map(|profile| profile.id);
        let mut others = wish.participants;
        others.sort_unstable();
        others.dedup();
        others.retain(|user| *user != who.user);
        // Before the directory is asked about each of them.
        if others.is_empty() || others.len() >= MAX_PARTICIPANTS {
            return Err(invalid(format!("A conversation has 2 to {MAX_PARTICIPANTS} participants.")));
        }
        for other in &others {
            if Some(*other) != archive && !deps.directory.may_talk(who.user, *other).await? {
                return Err(Problem::new(ErrorCode::NotAContact)
                    .with_detail("Every participant has to be a contact of who asks.")
                    .into());
            }
        }
        let pair = match wish.kind {
            ConversationKind::Direct if others.len() == 1 => Some((who.user, others[0])),
            ConversationKind::Direct => {
                return Err(invalid("A direct conversation has one other participant."));
            }
            ConversationKind::Group => None,
        };
        let mut participants = others;
        participants.push(who.user);
        if let Some(archive) = archive.filter(|archive| !participants.contains(archive)) {
            participants.push(archive);
        }
        if participants.len() > MAX_PARTICIPANTS {
            return Err(invalid(format!("A conversation has 2 to {MAX_PARTICIPANTS} participants.")));
        }
        let (id, is_new) = store::create(&deps.db, who.user, pair, &participants).await?;
        if is_new {
            tracing::info!(conversation = %id, participants = participants.len(), "conversation created");
            deps.hub.send_to_users(&participants, &Event::ConversationChanged { conversation_id: id });
        }
        self.find(who, id).await
    }

    /// The conversations in which the asker takes part, those with the newest messages first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list(
        &self,
        who: &Identity,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<Conversation>, u64), Fault> {
        store::list(&self.0.deps.db, who.user, offset, limit).await
    }

    /// One conversation.
    ///
    /// # Errors
    /// `not_found` also for somebody else's.
    pub async fn find(&self, who: &Identity, id: ConversationId) -> Result<Conversation, Fault> {
        store::find(&self.0.deps.db, who.user, id).await
    }

    /// Founds the MLS group of a conversation, or founds it anew where the newest group information leads nowhere. The
    /// request that founded it may be repeated.
    ///
    /// # Errors
    /// `group_exists` when somebody was first, or has changed the group since; `invalid_value`, `storage_full`,
    /// `not_found`.
    pub async fn found(
        &self,
        who: &Identity,
        id: ConversationId,
        group: FoundGroup,
    ) -> Result<Founded, Fault> {
        check_size("group_info", &group.group_info.0)?;
        form::group_info(id, 0, &group.group_info.0)?;
        let (service, who) = (self.clone(), *who);
        tokio::spawn(async move { service.found_in_order(&who, id, group).await })
            .await
            .map_err(|_| Fault::Internal("a founding's task was aborted"))?
    }

    async fn found_in_order(
        &self,
        who: &Identity,
        id: ConversationId,
        group: FoundGroup,
    ) -> Result<Founded, Fault> {
        let Shared { deps, order } = &*self.0;
        let _in_order = order.lock().await;
        let founding = founding::found(&deps.db, who, id, group, deps.limits).await?;
        if let Some(participants) = founding.news_for {
            tracing::info!(conversation = %id, device = %who.device, anew = founding.entry.is_some(), "group founded");
            if let Some(entry) = founding.entry {
                deps.hub.send_to_users(&participants, &Event::of_entry(entry));
            }
            deps.hub.send_to_users(&participants, &Event::ConversationChanged { conversation_id: id });
        }
        Ok(founding.founded)
    }

    /// The newest group information.
    ///
    /// # Errors
    /// `no_group` before it is founded; `not_found`.
    pub async fn group_info(&self, who: &Identity, id: ConversationId) -> Result<GroupInfo, Fault> {
        store::group_info(&self.0.deps.db, who.user, id).await
    }

    /// Puts an entry into a log.
    ///
    /// # Errors
    /// `stale_epoch`, `no_group`, `not_a_member`, `not_found`, `too_large`, `storage_full`, `invalid_value`,
    /// `idempotency_conflict`; for signaling also what the call's state refuses.
    pub async fn append(&self, who: &Identity, kind: EntryKind, entry: Append) -> Result<Appended, Fault> {
        check_size("body", &entry.body.0)?;
        form::said(entry.conversation_id, entry.epoch, &entry.body.0)?;
        self.check_call(who, kind, &entry).await?;
        let entry = NewEntry {
            conversation: entry.conversation_id,
            id: entry.id,
            epoch: entry.epoch,
            next_position: entry.next_position,
            kind,
            call: entry.call_id,
            digest: store::digest(&entry.body.0),
            body: entry.body,
            change: None,
        };
        self.place(who, entry).await
    }

    /// Puts a receipt for one message into a log: the REST twin of `chat:read`.
    ///
    /// # Errors
    /// As [`ConversationService::append`]; `not_found` also when there is no such message.
    pub async fn mark_read(
        &self,
        who: &Identity,
        message: EntryId,
        entry: Append,
    ) -> Result<Appended, Fault> {
        let known = log::has_message(&self.0.deps.db, who.user, entry.conversation_id, message).await?;
        if !known {
            return Err(ErrorCode::NotFound.into());
        }
        self.append(who, EntryKind::Read, entry).await
    }

    /// Puts a change of the group into a log; with it, in one piece, its welcomes and the new group information.
    ///
    /// # Errors
    /// `stale_epoch` when another change came first; otherwise as [`ConversationService::append`].
    pub async fn commit(
        &self,
        who: &Identity,
        conversation: ConversationId,
        commit: AppendCommit,
    ) -> Result<Appended, Fault> {
        check_size("body", &commit.body.0)?;
        check_size("group_info", &commit.group_info.0)?;
        if let Some(welcome) = &commit.welcome {
            check_size("welcome", &welcome.0)?;
        }
        if commit.welcome.is_some() == commit.welcome_for.is_empty() {
            return Err(invalid("welcome and welcome_for go together."));
        }
        if commit.welcome_for.len() > MAX_WELCOMED {
            return Err(invalid(format!("A commit adds at most {MAX_WELCOMED} devices.")));
        }
        let from_outside = form::change(who, conversation, &commit)?;
        let entry = NewEntry {
            conversation,
            id: commit.id,
            epoch: commit.epoch,
            next_position: commit.next_position,
            kind: EntryKind::Commit,
            call: None,
            digest: store::digest(&commit.body.0),
            body: commit.body,
            change: Some(log::Change {
                from_outside,
                group_info: commit.group_info,
                welcome: commit.welcome,
                welcome_for: commit.welcome_for,
            }),
        };
        self.place(who, entry).await
    }

    /// Entries of a log from `from` on (from the first that is kept when absent), oldest first, and how many there are.
    ///
    /// # Errors
    /// `expired` when `from` is no longer kept; `not_found`.
    pub async fn messages(
        &self,
        who: &Identity,
        conversation: ConversationId,
        from: Option<u64>,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<LogEntry>, u64), Fault> {
        log::page(&self.0.deps.db, who.user, conversation, from, offset, limit).await
    }

    /// A device has everything before a position on its disk: what all devices have is deleted.
    ///
    /// # Errors
    /// `invalid_value` for a position that does not exist yet; `not_found`.
    pub async fn acknowledge(&self, who: &Identity, ack: Acknowledge) -> Result<(), Fault> {
        let alive_since = self.expired_before();
        log::acknowledge(&self.0.deps.db, who, ack, alive_since).await
    }

    /// Somebody writes: told to the other devices that are connected now, and not kept.
    ///
    /// # Errors
    /// `not_found`, `too_large`.
    pub async fn typing(&self, who: &Identity, typing: Typing) -> Result<(), Fault> {
        if typing.body.0.len() > MAX_TYPING_BYTES {
            return Err(too_large("body", MAX_TYPING_BYTES));
        }
        let deps = &self.0.deps;
        let participants = store::participants(&deps.db, who.user, typing.conversation_id).await?;
        let event = Event::ChatTyping(Typing { from_device: Some(who.device), ..typing });
        deps.hub.send_to_connected(&participants, who.device, &event);
        Ok(())
    }

    /// Welcomes that wait for the asking device, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn welcomes(
        &self,
        who: &Identity,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<WaitingWelcome>, u64), Fault> {
        welcomes::page(&self.0.deps.db, who.device, offset, limit).await
    }

    /// The asking device has joined by a welcome, or does not need it.
    ///
    /// # Errors
    /// `not_found` when it is not its own or is gone.
    pub async fn drop_welcome(&self, who: &Identity, id: EntryId) -> Result<(), Fault> {
        welcomes::delete(&self.0.deps.db, who.device, id).await
    }

    /// Whether `user` takes part in a conversation.
    ///
    /// # Errors
    /// The database failed.
    pub async fn takes_part(&self, user: UserId, conversation: ConversationId) -> Result<bool, Fault> {
        store::takes_part(&self.0.deps.db, user, conversation).await
    }

    /// Forgets entries and welcomes that are older than the retention.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sweep(&self) -> Result<(), Fault> {
        let before = self.expired_before();
        log::expire(&self.0.deps.db, before).await?;
        welcomes::expire(&self.0.deps.db, before).await
    }

    fn expired_before(&self) -> Timestamp {
        let retention = i64::try_from(self.0.deps.retention.as_millis()).unwrap_or(i64::MAX);
        Timestamp(clock::now().0.saturating_sub(retention))
    }

    async fn place(&self, who: &Identity, entry: NewEntry) -> Result<Appended, Fault> {
        let (service, who) = (self.clone(), *who);
        tokio::spawn(async move { service.place_in_order(&who, entry).await })
            .await
            .map_err(|_| Fault::Internal("an entry's task was aborted"))?
    }

    async fn place_in_order(&self, who: &Identity, entry: NewEntry) -> Result<Appended, Fault> {
        let Shared { deps, order } = &*self.0;
        deps.rates.check_entry(who.user, entry.bytes())?;
        let _in_order = order.lock().await;
        match log::place(&deps.db, who, entry, deps.limits).await? {
            Placed::Again(appended) => Ok(appended),
            Placed::New(new) => {
                let appended = Appended { position: new.entry.position, at: new.entry.at };
                let mut entry = new.entry;
                if entry.body.as_ref().is_some_and(|body| body.0.len() > MAX_INLINE_ENTRY_BYTES) {
                    entry.body = None;
                }
                deps.hub.send_to_users(&new.participants, &Event::of_entry(entry));
                for (user, device, welcome) in new.welcomes {
                    deps.hub.send_to_device(user, device, &Event::GroupWelcome(welcome));
                }
                Ok(appended)
            }
        }
    }

    /// Signaling belongs to a live call of this very device, between two people of the conversation. Other entries may
    /// name a call that their sender is or was in.
    async fn check_call(&self, who: &Identity, kind: EntryKind, entry: &Append) -> Result<(), Fault> {
        let signal = match kind {
            EntryKind::Offer => Some(SignalKind::Offer),
            EntryKind::Answer => Some(SignalKind::Answer),
            EntryKind::Ice => Some(SignalKind::Ice),
            EntryKind::Message
            | EntryKind::Delivered
            | EntryKind::Read
            | EntryKind::Commit
            | EntryKind::Founded => None,
        };
        match (signal, entry.call_id) {
            (None, None) => Ok(()),
            (None, Some(call)) => self.check_past_or_present(who.user, call).await,
            (Some(_), None) => Err(invalid("Signaling names its call in call_id.")),
            (Some(signal), Some(call)) => {
                let conversation = entry.conversation_id;
                if !self.takes_part(who.user, conversation).await? {
                    return Err(ErrorCode::NotFound.into());
                }
                let peer = self.0.deps.calls.signal(who, call, entry.room_token.as_ref(), signal).await?;
                if !self.takes_part(peer, conversation).await? {
                    return Err(invalid("The call is not between two people of this conversation."));
                }
                Ok(())
            }
        }
    }

    async fn check_past_or_present(&self, user: UserId, call: CallId) -> Result<(), Fault> {
        match self.0.deps.calls.takes_part(user, call).await? {
            true => Ok(()),
            false => Err(ErrorCode::CallNotFound.into()),
        }
    }
}

fn check_size(field: &str, bytes: &[u8]) -> Result<(), Fault> {
    match bytes.len() {
        0 => Err(invalid(format!("{field} must not be empty."))),
        1..=MAX_ENTRY_BYTES => Ok(()),
        _ => Err(too_large(field, MAX_ENTRY_BYTES)),
    }
}

fn too_large(field: &str, limit: usize) -> Fault {
    Problem::new(ErrorCode::TooLarge).with_detail(format!("{field} may have {limit} bytes.")).into()
}

fn invalid(detail: impl Into<String>) -> Fault {
    Problem::new(ErrorCode::InvalidValue).with_detail(detail).into()
}
