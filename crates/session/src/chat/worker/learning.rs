//! Which conversations there are, as the server says.
//!
//! It is believed where nothing here says otherwise: who two people are never changes, and a log is as long as what was
//! read of it.

use std::time::Duration;

use bedside_protocol::{
    Conversation, ConversationId, ConversationKind, UserId, conversation::CreateConversation,
};
use tokio::time::Instant;

use super::{Live, Outcome, Worker, groups::WELCOME_PATIENCE, live::pause_after};
use crate::{api::ApiError, chat::journal::Room};

/// Conversations that are asked for one by one at the same time.
const MOST_FETCHING: usize = 32;
/// Conversations of one person.
const MOST_ROOMS: usize = 10_000;

impl Worker {
    pub(super) fn came_online(&mut self, resumed: bool) {
        self.online = true;
        self.transfers.network_back();
        for live in self.rooms.values_mut() {
            live.retry_at = None;
            live.in_flight.clear();
            if !resumed {
                // Whose devices have come meanwhile was told to nobody here.
                live.look_again = None;
            }
        }
        if resumed && self.loaded {
            return self.step_all();
        }
        self.key_packages_first();
        let api = self.config.api.clone();
        self.start(async move { Outcome::Welcomes(api.welcomes().await) });
        let api = self.config.api.clone();
        self.start(async move { Outcome::Listed(api.conversations().await) });
        self.fetch_devices();
        self.shut_out_all();
    }

    pub(super) fn listed(&mut self, answer: Result<Vec<Conversation>, ApiError>) {
        match answer {
            Ok(conversations) => {
                self.loaded = true;
                self.list_failures = 0;
                for conversation in conversations {
                    self.learn(conversation);
                }
                self.step_all();
                for user in std::mem::take(&mut self.prepare) {
                    self.prepare(user);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "conversations could not be fetched");
                self.list_later();
            }
        }
    }

    /// Asks for all conversations after a pause: an answer was lost.
    fn list_later(&mut self) {
        let (api, pause) = (self.config.api.clone(), pause_after(self.list_failures));
        self.list_failures = self.list_failures.saturating_add(1);
        self.start(async move {
            tokio::time::sleep(pause).await;
            Outcome::Listed(api.conversations().await)
        });
    }

    /// The conversation of two that was asked for by [`Worker::prepare`].
    pub(super) fn prepared(&mut self, user: UserId, answer: Result<Conversation, ApiError>) {
        match answer {
            Ok(conversation) => self.created(None, Ok(conversation)),
            Err(error @ ApiError::Problem(_)) => self.notify_failure(error.failure_when_signed_in()),
            Err(error) => {
                tracing::info!(%error, "a conversation is asked for again");
                self.prepare.insert(user);
                self.list_later();
            }
        }
    }

    /// Asks for a conversation: once at a time for each, and for all at once where that would be too many.
    pub(super) fn fetch_conversation(&mut self, id: ConversationId) {
        if let Some(again) = self.fetching.get_mut(&id) {
            *again = true;
            return;
        }
        if self.fetching.len() >= MOST_FETCHING {
            self.list_again = true;
            return;
        }
        self.fetching.insert(id, false);
        let api = self.config.api.clone();
        self.start(async move { Outcome::Fetched(id, api.conversation(id).await) });
    }

    pub(super) fn fetched(&mut self, id: ConversationId, answer: Result<Conversation, ApiError>) {
        let again = self.fetching.remove(&id).unwrap_or(false);
        match answer {
            Ok(conversation) => self.learn(conversation),
            Err(error @ ApiError::Problem(_)) => {
                tracing::warn!(%error, "a conversation could not be fetched")
            }
            Err(error) => {
                tracing::info!(%error, "a conversation is fetched later");
                self.list_later();
            }
        }
        let welcome = self.early_welcomes.remove(&id);
        match welcome.filter(|_| self.rooms.contains_key(&id)) {
            Some(welcome) => self.welcomed(welcome),
            None => self.step(id),
        }
        if again {
            self.fetch_conversation(id);
        } else if self.fetching.is_empty() && std::mem::take(&mut self.list_again) {
            let api = self.config.api.clone();
            self.start(async move { Outcome::Listed(api.conversations().await) });
        }
    }

    /// What the server says of a conversation.
    fn learn(&mut self, conversation: Conversation) {
        let id = conversation.id;
        let (me, archive) = (self.me(), self.config.archive);
        if let Some(live) = self.rooms.get_mut(&id) {
            // What was read from the log is surer than an answer that may have been overtaken.
            let next_position = live.room.server.next_position.max(conversation.next_position);
            let known = &live.room.server;
            let same = known.kind == conversation.kind
                && live.room.peer.is_none_or(|peer| still_between([me, peer], known, &conversation, archive));
            if !same {
                // Who two people are never changes: nobody is put in another's place, with their checked code. How far
                // the log goes is looked at all the same.
                live.room.server.next_position = next_position;
                return tracing::warn!(conversation = %id, "the server says that a conversation is another one");
            }
            if conversation.founded {
                live.was_founded();
            }
            live.room.server = Conversation { next_position, ..conversation };
        } else {
            let peer = peer_of(&conversation, me, archive);
            // To the archive itself, all of them are between others.
            let nobody =
                peer.is_none() && conversation.kind == ConversationKind::Direct && archive != Some(me);
            let doubled = |live: &Live| peer.is_some() && live.room.peer == peer;
            if self.rooms.len() >= MOST_ROOMS || nobody || self.rooms.values().any(doubled) {
                // A second one of the same two would take the place of the one whose code they compared.
                return tracing::warn!("the server told of a conversation too many");
            }
            let mut live = Live::new(Room { peer, ..Room::new(conversation) });
            let age = crate::clock::now().millis_since(live.room.server.created_at);
            if Duration::from_millis(age) < WELCOME_PATIENCE * 10 {
                live.retry_at = live.room.server.founded.then(|| Instant::now() + WELCOME_PATIENCE);
            }
            self.rooms.insert(id, live);
            let ids: Vec<_> = self.rooms.keys().copied().collect();
            if let Err(error) = self.journal.write_index(&ids) {
                self.store_failed(error);
            }
        }
        self.keep(id);
        self.say_early_signals();
    }

    /// Somebody is to be called or written to: their conversation is wanted, with its group.
    pub(super) fn prepare(&mut self, user: UserId) {
        let known = self.rooms.values_mut().find(|live| live.room.peer == Some(user));
        if let Some(live) = known {
            live.wanted = true;
            let id = live.room.id();
            return self.step(id);
        }
        if !self.loaded || !self.online {
            self.prepare.insert(user);
            return;
        }
        let api = self.config.api.clone();
        let body = CreateConversation { kind: ConversationKind::Direct, participants: vec![user] };
        self.start(async move { Outcome::Prepared(user, api.create_conversation(&body).await) });
    }
}

/// The other one of a conversation between two, where the clinic's archive may be a third.
pub(super) fn peer_of(conversation: &Conversation, me: UserId, archive: Option<UserId>) -> Option<UserId> {
    let people = conversation.participants.iter().map(|person| person.id);
    let others: Vec<_> = people.filter(|user| *user != me).collect();
    match (conversation.kind, others.as_slice()) {
        (ConversationKind::Direct, [one]) => Some(*one),
        (ConversationKind::Direct, [one, other]) if Some(*other) == archive => Some(*one),
        (ConversationKind::Direct, [other, one]) if Some(*other) == archive => Some(*one),
        _ => None,
    }
}

/// Whether a conversation is between the same two people as before. Nobody but the archive comes in beside them.
fn still_between(
    two: [UserId; 2],
    before: &Conversation,
    now: &Conversation,
    archive: Option<UserId>,
) -> bool {
    let takes_part = |user: UserId, conversation: &Conversation| {
        conversation.participants.iter().any(|one| one.id == user)
    };
    two.iter().all(|user| takes_part(*user, now))
        && now.participants.iter().all(|one| Some(one.id) == archive || takes_part(one.id, before))
}
