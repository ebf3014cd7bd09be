//! How this device comes into a conversation's group: it founds it, is let in by a welcome, or comes in from outside,
//! which all see. And how it leaves one that it can't follow.

use std::collections::BTreeSet;

use bedside_e2ee::mls::{Change, MlsError, Refusal};
use bedside_protocol::{
    ConversationId, EntryId, ErrorCode, Sealed, Timestamp,
    conversation::{EntryKind, FoundGroup, Founded, GroupInfo, LogEntry, WaitingWelcome},
};
use tokio::time::Instant;

use super::{
    Membership, Outcome, Worker, group,
    groups::{WELCOME_PATIENCE, refused_with},
    now_seconds,
    packages::ENOUGH,
};
use crate::api::ApiError;

/// So many entries in a row that make no sense mean that this device's own state is at fault.
const MOST_REFUSED: u32 = 8;
/// So often in a row group information may be none before the group is founded anew: 1 + 2 seconds.
const MOST_USELESS: u32 = 3;
/// So often it may be of a group of others only, who have that long to let this device in: about a minute.
const MOST_STRANGE: u32 = 7;
/// Welcomes that wait until their conversation is known.
const MOST_EARLY_WELCOMES: usize = 64;

impl Worker {
    pub(super) fn found(&mut self, id: ConversationId, packages: Vec<Sealed>) {
        let name = group(id);
        let replaces = self.rooms.get_mut(&id).and_then(|live| live.replaces.take());
        let forgotten = if replaces.is_some() { self.device.forget(&name) } else { Ok(()) };
        let founded = forgotten.and_then(|()| self.device.create(&name, now_seconds())).and_then(|info| {
            if !packages.is_empty() {
                self.device.commit(&name, &Change::Add(packages))?;
            }
            Ok(info)
        });
        match founded {
            Ok(group_info) if self.barrier() => {
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.busy = true;
                }
                let api = self.config.api.clone();
                self.start(async move {
                    Outcome::Founded(id, api.found_group(id, &FoundGroup { group_info, replaces }).await)
                });
            }
            Ok(_) => {}
            Err(error) => {
                self.forget_group(id);
                self.mls_failed(id, &error);
            }
        }
    }

    /// The group's information leads nowhere: who was in it founds it anew, with everybody who can be let in.
    fn found_anew(&mut self, id: ConversationId, replaces: u64) {
        tracing::warn!(conversation = %id, "the group can't be joined any more; it is founded anew");
        let Some(live) = self.rooms.get_mut(&id) else { return };
        live.busy = true;
        live.replaces = Some(replaces);
        live.unseal();
        let users = live.room.server.participants.iter().map(|person| person.id).collect();
        self.claim(id, true, users);
    }

    pub(super) fn founded(&mut self, id: ConversationId, answer: Result<Founded, ApiError>) {
        match answer {
            Ok(Founded { position }) => {
                if position > 0
                    && let Err(error) = self.device.begin_at(&group(id), position)
                {
                    self.forget_group(id);
                    return self.mls_failed(id, &error);
                }
                let mut anew = false;
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.succeeded();
                    live.room.renewed = Some(crate::clock::now());
                    live.room.server.founded = true;
                    live.room.processed = live.room.processed.max(position);
                    live.room.server.next_position = live.room.server.next_position.max(position);
                    anew = std::mem::take(&mut live.rejoining);
                }
                self.look_at_group(id);
                if anew {
                    self.came_in(id, anew);
                } else {
                    self.keep(id);
                }
                self.step(id);
            }
            Err(error) => {
                // Somebody was first, or nobody knows: the group here is not the conversation's.
                self.forget_group(id);
                let Some(live) = self.rooms.get_mut(&id) else { return };
                if refused_with(&error, ErrorCode::GroupExists) {
                    live.succeeded();
                    live.room.server.founded = true;
                    // The welcome may have been quicker than the answer.
                    if live.welcome.is_none() {
                        live.retry_at = Some(Instant::now() + WELCOME_PATIENCE);
                    }
                    self.step(id);
                } else {
                    tracing::warn!(%error, "a group could not be founded");
                    live.failed(Instant::now());
                }
            }
        }
    }

    fn forget_group(&mut self, id: ConversationId) {
        if let Err(error) = self.device.forget(&group(id)) {
            tracing::warn!(%error, "a group could not be forgotten");
        }
        if let Some(live) = self.rooms.get_mut(&id) {
            live.membership = Membership::Outside;
            live.unseal();
        }
    }

    /// This device can't follow the log any more, and comes in again from outside.
    pub(super) fn leave_behind(&mut self, id: ConversationId) {
        tracing::warn!(conversation = %id, "this device can't follow the conversation; it joins again");
        let Some(live) = self.rooms.get_mut(&id) else { return };
        live.rejoining = true;
        live.understood = false;
        live.refused = 0;
        live.refused_of.clear();
        live.stale = None;
        live.unseal();
        live.is_outside(Instant::now());
    }

    /// An entry made no sense here: it makes none to anybody, or this device is not where the others are.
    pub(super) fn made_no_sense(&mut self, id: ConversationId, entry: &LogEntry, refusal: Refusal) {
        let Some(live) = self.rooms.get_mut(&id).filter(|live| live.membership == Membership::Member) else {
            return;
        };
        let behind = match refusal {
            Refusal::WrongEpoch { ours, theirs } => theirs > ours,
            // The log's epoch has ended with it all the same.
            _ if entry.kind == EntryKind::Commit => true,
            _ if live.understood => false,
            _ => {
                live.refused += 1;
                live.refused_of.insert(entry.from_user);
                // One person alone can write nonsense; where there are others, theirs has to make none either.
                let people: BTreeSet<_> = live.members.iter().map(|member| member.user).collect();
                live.refused >= MOST_REFUSED
                    && live.refused_of.len() >= people.len().saturating_sub(1).clamp(1, 2)
            }
        };
        if behind {
            self.leave_behind(id);
        }
    }

    pub(super) fn welcomed(&mut self, welcome: WaitingWelcome) {
        let id = welcome.conversation_id;
        match self.rooms.get_mut(&id) {
            Some(live) if live.membership == Membership::Outside => {
                live.welcome = Some(welcome);
                live.retry_at = None;
                self.step(id);
            }
            // Its own way in may turn out to have been too late.
            Some(live) if live.membership == Membership::Joining => live.welcome = Some(welcome),
            Some(_) => self.drop_welcome(welcome.id),
            None => {
                // It overtook the news of its conversation.
                if self.early_welcomes.len() < MOST_EARLY_WELCOMES {
                    self.early_welcomes.insert(id, welcome);
                    self.fetch_conversation(id);
                }
            }
        }
    }

    pub(super) fn drop_welcome(&self, id: EntryId) {
        // One that is not dropped now comes again with the next list.
        let Ok(turn) = self.dropping.clone().try_acquire_owned() else { return };
        let api = self.config.api.clone();
        tokio::spawn(async move {
            if let Err(error) = api.delete_welcome(id).await {
                tracing::debug!(%error, "a welcome could not be dropped");
            }
            drop(turn);
        });
    }

    pub(super) fn join(&mut self, id: ConversationId, welcome: &WaitingWelcome) {
        let Some(sealed) = &welcome.welcome else {
            let api = self.config.api.clone();
            return self.start(async move { Outcome::Welcomes(api.welcomes().await) });
        };
        let left_behind = self.rooms.get(&id).is_some_and(|live| live.rejoining);
        let mut joined = self.device.join(&sealed.0, welcome.position);
        if left_behind && matches!(joined, Err(MlsError::GroupExists)) {
            // What it had of the group leads no further, and here is a way in by which nothing is missed.
            let forgotten = self.device.forget(&group(id));
            joined = forgotten.and_then(|()| self.device.join(&sealed.0, welcome.position));
        }
        match joined {
            Ok((joined, _)) if joined == group(id) => {
                if !self.barrier() {
                    return;
                }
                let mut again = false;
                // The keys of a last resort have served, perhaps elsewhere too.
                let served = self.device.last_resort_used().unwrap_or_default();
                let renewed = if served { Timestamp(0) } else { crate::clock::now() };
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.succeeded();
                    live.room.renewed = Some(renewed);
                    live.room.server.founded = true;
                    // Whoever was put out is let in again by somebody who is in it.
                    live.room.removed = false;
                    live.room.processed = welcome.position;
                    live.room.server.next_position = live.room.server.next_position.max(welcome.position);
                    again = std::mem::take(&mut live.rejoining);
                }
                self.look_at_group(id);
                self.came_in(id, again);
                self.tell_frame_keys();
                if served {
                    self.refill(ENOUGH);
                }
            }
            Ok((other, _)) => {
                tracing::warn!("a welcome led into another conversation than it said");
                // Whatever group of that name this device was in, it is that no longer.
                let _ = self.device.forget(&other);
                let known = self.rooms.keys().copied().find(|known| group(*known) == other);
                if let Some(known) = known {
                    self.look_at_group(known);
                }
            }
            Err(MlsError::Store(error)) => return self.store_failed(error),
            Err(error) => tracing::info!(%error, "a welcome was of no use"),
        }
        self.drop_welcome(welcome.id);
        self.step(id);
    }

    pub(super) fn informed(&mut self, id: ConversationId, answer: Result<GroupInfo, ApiError>) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        live.busy = false;
        let info = match answer {
            Ok(info) => info,
            Err(error) => {
                tracing::warn!(%error, "a group's information could not be fetched");
                return live.failed(Instant::now());
            }
        };
        if live.membership != Membership::Outside {
            return;
        }
        if live.welcome.is_some() {
            // Somebody has let this device in meanwhile.
            return self.step(id);
        }
        if !live.may_come_in(Instant::now()) {
            return tracing::warn!(conversation = %id, "this device was pushed out too often; it stays outside");
        }
        match self.device.rejoin(&info.group_info.0, info.position) {
            Ok(commit) if commit.group == group(id) => {
                let Some(live) = self.rooms.get_mut(&id) else { return };
                live.membership = Membership::Joining;
                live.room.processed = live.room.processed.max(info.position);
                live.room.server.next_position = live.room.server.next_position.max(info.position);
                live.unseal();
                self.keep(id);
                self.offer_commit(id, commit);
            }
            Ok(commit) => {
                tracing::warn!("group information was of another conversation than it said");
                let _ = self.device.forget(&commit.group);
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.failed(Instant::now());
                }
            }
            Err(error) => self.could_not_join(id, info.position, &error),
        }
    }

    /// The group's information did not lead into the group. One of the others may let this device in, or make another
    /// change; where nobody does, there is nobody left who could.
    fn could_not_join(&mut self, id: ConversationId, position: u64, error: &MlsError) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let patience = match error {
            MlsError::BadGroupInfo => Some(MOST_USELESS),
            // Nobody of this user is in it, though this device was in the group before.
            MlsError::Unauthorised => live.rejoining.then_some(MOST_STRANGE),
            _ => None,
        };
        live.useless = live.useless.saturating_add(u32::from(patience.is_some()));
        if patience.is_some_and(|times| live.useless >= times) {
            return self.found_anew(id, position);
        }
        live.did_not_come_in();
        self.mls_failed(id, error);
    }
}
