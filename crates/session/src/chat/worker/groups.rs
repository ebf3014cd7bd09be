//! What brings a conversation's group further.
//!
//! [`Worker::step`] looks at one conversation and starts the one request that brings it further; each outcome steps
//! again. A group is founded by whoever first has something to say in it. Devices that were added find a welcome; others
//! come in from outside, which all see.

use std::time::Duration;

use bedside_e2ee::mls::{Change, MlsError, Outgoing};
use bedside_protocol::{
    ConversationId, EntryId, ErrorCode,
    conversation::{AppendCommit, Appended, LogEntry},
};
use tokio::time::Instant;

use super::{Membership, Outcome, Worker, entry_id, group};
use crate::api::ApiError;

/// How often people without a device in the group are looked for, beside whenever the server says that one is there.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// So often in a row the log may have nothing new though its epoch is over, before this device counts as left behind.
const MOST_STALE: u32 = 3;
/// How long a device that was just added waits for its welcome before it comes in by itself.
pub(super) const WELCOME_PATIENCE: Duration = Duration::from_secs(3);

impl Worker {
    pub(super) fn step_all(&mut self) {
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            self.step(id);
        }
    }

    /// Does the one thing that brings a conversation further, if there is any to do.
    pub(super) fn step(&mut self, id: ConversationId) {
        let now = Instant::now();
        let Some(live) = self.rooms.get_mut(&id) else { return };
        if !self.online || live.busy || live.retry_at.is_some_and(|at| at > now) {
            return;
        }
        live.retry_at = None;
        match live.membership {
            Membership::Outside => self.come_in(id),
            Membership::Joining | Membership::Member => self.go_on(id, now),
        }
    }

    fn come_in(&mut self, id: ConversationId) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        if let Some(welcome) = live.welcome.take() {
            return self.join(id, &welcome);
        }
        if live.room.removed {
            return;
        }
        if !live.room.server.founded {
            if live.wanted || !live.room.waiting.is_empty() {
                live.busy = true;
                let users = live.room.server.participants.iter().map(|person| person.id).collect();
                self.claim(id, true, users);
            }
            return;
        }
        if let Some(until) = live.outside_until.filter(|until| *until > Instant::now()) {
            live.retry_at = Some(until);
            return;
        }
        live.busy = true;
        let api = self.config.api.clone();
        self.start(async move { Outcome::Info(id, api.group_info(id).await) });
    }

    fn go_on(&mut self, id: ConversationId, now: Instant) {
        let name = group(id);
        let (Ok(position), Ok(unsent)) = (self.device.position(&name), self.device.unsent(&name)) else {
            return self.mls_failed(id, &MlsError::UnknownGroup);
        };
        let Some(live) = self.rooms.get_mut(&id) else { return };
        if position < live.room.server.next_position {
            if position < live.room.server.first_position {
                // What is missing is no longer kept: the only way back is from outside.
                return self.leave_behind(id);
            }
            live.busy = true;
            let api = self.config.api.clone();
            return self
                .start(async move { Outcome::Entries(id, position, api.entries(id, position).await) });
        }
        if let Some(commit) = unsent.into_iter().find(|outgoing| outgoing.commit) {
            return self.offer_commit(id, commit);
        }
        if live.membership == Membership::Joining {
            return;
        }
        let revoked: Vec<_> = live
            .members
            .iter()
            .filter(|member| member.user == self.config.me.id && self.revocations.contains(member.device))
            .map(|member| member.device)
            .collect();
        if !revoked.is_empty() {
            return match self.device.commit(&name, &Change::Remove(revoked)) {
                Ok(commit) => self.offer_commit(id, commit),
                Err(error) => self.mls_failed(id, &error),
            };
        }
        let lacking: Vec<_> = live.others(self.config.me.id).filter(|user| live.lacks(*user)).collect();
        if lacking.is_empty() {
            live.look_again = None;
        } else if live.look_again.is_none_or(|at| at <= now) {
            live.look_again = Some(now + LOOK_AGAIN);
            live.busy = true;
            return self.claim(id, false, lacking);
        }
        self.flush(id);
    }

    pub(super) fn offer_commit(&mut self, id: ConversationId, commit: Outgoing) {
        let Some(group_info) = commit.group_info else { return };
        if !self.barrier() {
            return;
        }
        let next_position = self.device.position(&group(id)).unwrap_or_default();
        let Some(live) = self.rooms.get_mut(&id) else { return };
        live.busy = true;
        let entry = entry_id(&commit.entry.0);
        let body = AppendCommit {
            id: entry,
            epoch: commit.epoch,
            next_position,
            body: commit.entry,
            welcome: commit.welcome,
            welcome_for: commit.welcome_for,
            group_info,
        };
        let api = self.config.api.clone();
        self.start(async move { Outcome::Committed(id, entry, api.append_commit(id, &body).await) });
    }

    /// The log has a commit, or not; it counts when it is read there.
    pub(super) fn committed(
        &mut self,
        id: ConversationId,
        entry: EntryId,
        answer: Result<Appended, ApiError>,
    ) {
        let name = group(id);
        let position = self.device.position(&name).unwrap_or_default();
        let unsent = self.device.unsent(&name).unwrap_or_default();
        let current = unsent.iter().any(|outgoing| outgoing.commit && entry_id(&outgoing.entry.0) == entry);
        let Some(live) = self.rooms.get_mut(&id) else { return };
        match answer {
            Ok(appended) => {
                live.succeeded();
                live.room.server.next_position =
                    live.room.server.next_position.max(appended.position.saturating_add(1));
                if current && appended.position < position {
                    // The server says that it is where something else was read: it is not offered again at once.
                    live.failed(Instant::now());
                }
            }
            Err(error) if refused_with(&error, ErrorCode::StaleEpoch) => {
                live.busy = false;
                // Where the change that came first was read meanwhile, this one is dropped already.
                if current {
                    live.is_stale();
                }
            }
            Err(error) if current && refused_with(&error, ErrorCode::NotAMember) => self.leave_behind(id),
            Err(error) => {
                tracing::warn!(%error, "a change of a group was not taken");
                return live.failed(Instant::now());
            }
        }
        self.step(id);
    }

    pub(super) fn entries_fetched(
        &mut self,
        id: ConversationId,
        from: u64,
        answer: Result<Vec<LogEntry>, ApiError>,
    ) {
        let position = self.device.position(&group(id));
        let Some(live) = self.rooms.get_mut(&id) else { return };
        match answer {
            Ok(entries) => {
                let name = group(id);
                let before = self.device.position(&name);
                for entry in entries.iter().filter(|entry| entry.conversation_id == id) {
                    self.read(id, entry);
                }
                let after = self.device.position(&name);
                let Some(live) = self.rooms.get_mut(&id) else { return };
                live.busy = false;
                if let Ok(position) = after
                    && after == before
                    && position < live.room.server.next_position
                {
                    // The log is as long as it is, whatever was said of it: who says more is not asked at once.
                    live.room.server.next_position = position;
                    live.failed(Instant::now());
                    if let Some(times) = &mut live.stale {
                        *times += 1;
                        if *times >= MOST_STALE {
                            // The epoch was ended by something that nobody here could read.
                            self.leave_behind(id);
                        }
                    }
                } else {
                    live.succeeded();
                }
                self.step(id);
            }
            Err(error) if refused_with(&error, ErrorCode::Expired) => {
                if position.is_ok_and(|position| position > from) {
                    // It came by itself meanwhile, and the server let go of it.
                    live.succeeded();
                    return self.step(id);
                }
                self.leave_behind(id);
            }
            Err(error) => {
                tracing::warn!(%error, "what is new in a conversation could not be fetched");
                live.failed(Instant::now());
            }
        }
    }
}

/// Whether the server refused with this code.
pub(super) fn refused_with(error: &ApiError, code: ErrorCode) -> bool {
    matches!(error, ApiError::Problem(problem) if problem.code == code)
}
