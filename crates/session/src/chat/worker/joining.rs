//! How this device comes into a conversation's group: it founds it, is let in by a welcome, or comes in from outside,
//! which all see. And how it leaves one that it can't follow.

use bedside_e2ee::mls::{Change, MlsError};
use bedside_protocol::{
    ConversationId, EntryId, ErrorCode, Sealed,
    conversation::{FoundGroup, GroupInfo, WaitingWelcome},
};
use tokio::time::Instant;

use super::{
    Membership, Outcome, Worker, group,
    groups::{WELCOME_PATIENCE, refused_with},
    now_seconds,
};
use crate::api::ApiError;

/// Welcomes that wait until their conversation is known.
const MOST_EARLY_WELCOMES: usize = 64;

impl Worker {
    pub(super) fn found(&mut self, id: ConversationId, packages: Vec<Sealed>) {
        let name = group(id);
        let founded = self.device.create(&name, now_seconds()).and_then(|info| {
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
                    Outcome::Founded(id, api.found_group(id, &FoundGroup { group_info }).await)
                });
            }
            Ok(_) => {}
            Err(error) => {
                self.forget_group(id);
                self.mls_failed(id, &error);
            }
        }
    }

    pub(super) fn founded(&mut self, id: ConversationId, answer: Result<(), ApiError>) {
        match answer {
            Ok(()) => {
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.succeeded();
                    live.room.server.founded = true;
                }
                self.look_at_group(id);
                self.keep(id);
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
            live.members.clear();
            live.unseal();
        }
    }

    /// This device can't follow the log any more, and comes in again from outside.
    pub(super) fn leave_behind(&mut self, id: ConversationId) {
        tracing::warn!(conversation = %id, "this device can't follow the conversation; it joins again");
        let Some(live) = self.rooms.get_mut(&id) else { return };
        live.rejoining = true;
        live.refused = 0;
        live.unseal();
        live.is_outside(Instant::now());
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
        match self.device.join(&sealed.0, welcome.position) {
            Ok((joined, _)) if joined == group(id) => {
                if !self.barrier() {
                    return;
                }
                let mut again = false;
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.succeeded();
                    live.room.server.founded = true;
                    live.room.processed = welcome.position;
                    live.room.server.next_position = live.room.server.next_position.max(welcome.position);
                    again = std::mem::take(&mut live.rejoining);
                }
                self.look_at_group(id);
                self.came_in(id, again);
                self.tell_frame_keys();
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
            // Nobody of this user is in the group: one of the others has to let this device in.
            Err(error) => self.mls_failed(id, &error),
        }
    }
}
