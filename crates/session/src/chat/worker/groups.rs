//! How this device comes into its conversations' groups, and who else does.
//!
//! [`Worker::step`] looks at one conversation and starts the one request that brings it further; each outcome steps
//! again. A group is founded by whoever first has something to say in it. Devices that were added find a welcome; others
//! come in from outside, which all see.

use std::{collections::BTreeSet, time::Duration};

use bedside_e2ee::{
    PublicIdentity,
    mls::{Change, KEY_PACKAGES, MlsError, Outgoing, key_packages_wanted},
};
use bedside_protocol::{
    Conversation, ConversationId, ConversationKind, EntryId, ErrorCode, UserId,
    conversation::{
        AppendCommit, Appended, ClaimedKeyPackage, CreateConversation, FoundGroup, GroupInfo,
        KeyPackagesLeft, LogEntry, PublishKeyPackages, WaitingWelcome,
    },
};
use tokio::time::Instant;

use super::{Live, Membership, Outcome, Worker, entry_id, group, now_seconds};
use crate::{api::ApiError, chat::journal::Room};

/// How long a device that was just added waits for its welcome before it comes in by itself.
const WELCOME_PATIENCE: Duration = Duration::from_secs(3);
/// How often people without a device in the group are looked for, beside whenever the server says that one is there.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Conversations of one person.
const MOST_ROOMS: usize = 10_000;
/// Welcomes that wait until their conversation is known.
const MOST_EARLY_WELCOMES: usize = 64;

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
        let api = self.config.api.clone();
        self.start(async move { Outcome::KeyPackages(api.key_packages_left().await) });
        let api = self.config.api.clone();
        self.start(async move { Outcome::Welcomes(api.welcomes().await) });
        let api = self.config.api.clone();
        self.start(async move { Outcome::Listed(api.conversations().await) });
        self.fetch_devices();
    }

    pub(super) fn step_all(&mut self) {
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            self.step(id);
        }
    }

    /// How many key packages the server has: a device without any is new there, and so has to say what its are.
    pub(super) fn key_packages_counted(&mut self, answer: Result<KeyPackagesLeft, ApiError>) {
        self.publishing = false;
        match answer {
            Ok(left) => self.refill(left),
            Err(error) => tracing::warn!(%error, "key packages could not be handed in"),
        }
    }

    /// Publishes key packages when few are left; all new ones when this device has lost the keys to those.
    pub(super) fn refill(&mut self, left: KeyPackagesLeft) {
        let replace = self.vault.fresh;
        let wanted = if replace { KEY_PACKAGES } else { key_packages_wanted(left.left) };
        if self.publishing || (wanted == 0 && left.last_resort) {
            return;
        }
        let now = now_seconds();
        let made = (|| -> Result<_, MlsError> {
            self.device.forget_expired_key_packages(now)?;
            let packages = self.device.key_packages(wanted, false, now)?;
            let last_resort = if replace || !left.last_resort {
                self.device.key_packages(1, true, now)?.pop()
            } else {
                None
            };
            Ok(PublishKeyPackages { packages, last_resort, replace })
        })();
        let body = match made {
            Ok(body) => body,
            Err(error) => return tracing::warn!(%error, "key packages could not be made"),
        };
        if !self.barrier() {
            return;
        }
        self.vault.fresh = false;
        self.publishing = true;
        let api = self.config.api.clone();
        self.start(async move { Outcome::KeyPackages(api.publish_key_packages(&body).await) });
    }

    pub(super) fn listed(&mut self, answer: Result<Vec<Conversation>, ApiError>) {
        match answer {
            Ok(conversations) => {
                self.loaded = true;
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
                let api = self.config.api.clone();
                self.start(async move {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    Outcome::Listed(api.conversations().await)
                });
            }
        }
    }

    pub(super) fn fetch_conversation(&self, id: ConversationId) {
        let api = self.config.api.clone();
        self.start(async move { Outcome::Fetched(id, api.conversation(id).await) });
    }

    pub(super) fn fetched(&mut self, id: ConversationId, answer: Result<Conversation, ApiError>) {
        match answer {
            Ok(conversation) => self.learn(conversation),
            Err(error) => tracing::warn!(%error, "a conversation could not be fetched"),
        }
        let welcome = self.early_welcomes.remove(&id);
        match welcome.filter(|_| self.rooms.contains_key(&id)) {
            Some(welcome) => self.welcomed(welcome),
            None => self.step(id),
        }
    }

    /// What the server says of a conversation.
    fn learn(&mut self, conversation: Conversation) {
        let id = conversation.id;
        let archive = self.config.archive;
        if let Some(live) = self.rooms.get_mut(&id) {
            // What was read from the log is surer than an answer that may have been overtaken.
            let next_position = live.room.server.next_position.max(conversation.next_position);
            let known = &live.room.server;
            let same = known.kind == conversation.kind
                && (known.kind == ConversationKind::Group || same_people(known, &conversation, archive));
            if !same {
                // Who two people are never changes: nobody is put in another's place, with their checked code. How far
                // the log goes is looked at all the same.
                live.room.server.next_position = next_position;
                return tracing::warn!(conversation = %id, "the server says that a conversation is another one");
            }
            live.room.server = Conversation { next_position, ..conversation };
        } else {
            let doubled = |live: &Live| {
                conversation.kind == ConversationKind::Direct
                    && live.room.server.kind == ConversationKind::Direct
                    && same_people(&live.room.server, &conversation, archive)
            };
            if self.rooms.len() >= MOST_ROOMS || self.rooms.values().any(doubled) {
                // A second one of the same two would take the place of the one whose code they compared.
                return tracing::warn!("the server told of a conversation too many");
            }
            let mut live = Live::new(Room::new(conversation));
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

    /// Reads from the local store how this device stands to a group.
    pub(super) fn look_at_group(&mut self, id: ConversationId) {
        let (membership, members) = match self.device.members(&group(id)) {
            Ok(members) => (Membership::Member, members.into_iter().map(|member| member.identity).collect()),
            Err(MlsError::Joining) => (Membership::Joining, Vec::new()),
            Err(MlsError::UnknownGroup | MlsError::Removed) => (Membership::Outside, Vec::new()),
            Err(error) => {
                self.mls_failed(id, &error);
                (Membership::Outside, Vec::new())
            }
        };
        let Some(live) = self.rooms.get_mut(&id) else { return };
        if live.members != members {
            live.check_code = None;
        }
        (live.membership, live.members) = (membership, members);
    }

    /// Somebody is to be called or written to: their conversation is wanted, with its group.
    pub(super) fn prepare(&mut self, user: UserId) {
        let known = self.rooms.values_mut().find(|live| {
            live.room.server.kind == ConversationKind::Direct
                && live.room.server.participants.iter().any(|person| person.id == user)
        });
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
        self.start(
            async move { Outcome::Created { title: None, answer: api.create_conversation(&body).await } },
        );
    }

    /// Somebody came online, or has published key packages: their first device may be there now.
    pub(super) fn reachable(&mut self, user: UserId) {
        let now = Instant::now();
        for id in self.rooms.keys().copied().collect::<Vec<_>>() {
            let Some(live) = self.rooms.get_mut(&id) else { continue };
            if live.others(self.config.me.id).any(|other| other == user) && live.lacks(user) {
                // An answer that is on its way may be from before: it is asked once more after that.
                live.look_again = Some(now);
                self.step(id);
            }
        }
    }

    /// Does the one thing that brings a conversation further, if there is any to do.
    pub(super) fn step(&mut self, id: ConversationId) {
        let now = Instant::now();
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let waits = live.retry_at.is_some_and(|at| at > now) && live.welcome.is_none();
        if !self.online || live.busy || waits {
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
        if live.room.removed {
            return;
        }
        if let Some(welcome) = live.welcome.take() {
            return self.join(id, &welcome);
        }
        if !live.room.server.founded {
            if live.wanted || !live.room.waiting.is_empty() {
                live.busy = true;
                let users = live.room.server.participants.iter().map(|person| person.id).collect();
                self.claim(id, true, users);
            }
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
            return self.start(async move { Outcome::Entries(id, api.entries(id, position).await) });
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
            .filter(|member| member.user == self.config.me.id && self.revoked.contains(&member.device))
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

    fn claim(&self, id: ConversationId, founding: bool, users: Vec<UserId>) {
        let api = self.config.api.clone();
        self.start(async move {
            let mut claimed = Vec::new();
            for user in users {
                match api.claim_key_packages(user).await {
                    Ok(packages) => claimed.extend(packages.into_iter().map(|package| (user, package))),
                    Err(error) => return Outcome::Claimed { id, founding, answer: Err(error) },
                }
            }
            Outcome::Claimed { id, founding, answer: Ok(claimed) }
        });
    }

    pub(super) fn claimed(
        &mut self,
        id: ConversationId,
        founding: bool,
        answer: Result<Vec<(UserId, ClaimedKeyPackage)>, ApiError>,
    ) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let claimed = match answer {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "key packages could not be fetched");
                return live.failed(Instant::now());
            }
        };
        live.succeeded();
        let own = self.config.device;
        let packages: Vec<_> = claimed
            .into_iter()
            .filter(|(user, package)| {
                // A package that is somebody else's than was asked for is the server's mistake, or its attempt.
                self.device.newcomer(&package.key_package).is_ok_and(|newcomer| {
                    newcomer.user == *user && newcomer.device == package.device_id && newcomer.device != own
                })
            })
            .map(|(_, package)| package.key_package)
            .collect();
        if founding {
            return self.found(id, packages);
        }
        if packages.is_empty() {
            return self.flush(id);
        }
        match self.device.commit(&group(id), &Change::Add(packages)) {
            Ok(commit) => self.offer_commit(id, commit),
            Err(MlsError::NothingToDo | MlsError::AlreadyMember(_) | MlsError::CommitPending) => {
                self.flush(id)
            }
            Err(error) => self.mls_failed(id, &error),
        }
    }

    fn found(&mut self, id: ConversationId, packages: Vec<bedside_protocol::Sealed>) {
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
                    live.retry_at = Some(Instant::now() + WELCOME_PATIENCE);
                    // The welcome may have come while this one was trying.
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
        live.membership = Membership::Outside;
        live.rejoining = true;
        live.refused = 0;
        live.unseal();
        live.try_later(Instant::now());
    }

    fn offer_commit(&mut self, id: ConversationId, commit: Outgoing) {
        let Some(group_info) = commit.group_info else { return };
        if !self.barrier() {
            return;
        }
        let Some(live) = self.rooms.get_mut(&id) else { return };
        live.busy = true;
        let entry = entry_id(&commit.entry.0);
        let body = AppendCommit {
            id: entry,
            epoch: commit.epoch,
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
                    live.expect_more();
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a change of a group was not taken");
                return live.failed(Instant::now());
            }
        }
        self.step(id);
    }

    pub(super) fn welcomed(&mut self, welcome: WaitingWelcome) {
        let id = welcome.conversation_id;
        match self.rooms.get_mut(&id) {
            Some(live) if live.membership == Membership::Outside => {
                live.welcome = Some(welcome);
                live.retry_at = None;
                self.step(id);
            }
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

    fn drop_welcome(&self, id: EntryId) {
        let api = self.config.api.clone();
        tokio::spawn(async move {
            if let Err(error) = api.delete_welcome(id).await {
                tracing::debug!(%error, "a welcome could not be dropped");
            }
        });
    }

    fn join(&mut self, id: ConversationId, welcome: &WaitingWelcome) {
        let Some(sealed) = &welcome.welcome else {
            let api = self.config.api.clone();
            return self.start(async move { Outcome::Welcomes(api.welcomes().await) });
        };
        match self.device.join(&sealed.0, welcome.position) {
            Ok((joined, _)) if joined == group(id) => {
                if !self.barrier() {
                    return;
                }
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.succeeded();
                    live.room.server.founded = true;
                    live.room.processed = welcome.position;
                    live.room.server.next_position = live.room.server.next_position.max(welcome.position);
                }
                self.look_at_group(id);
                self.newcomers_in(id, &[]);
                self.tell_frame_keys();
                self.keep(id);
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

    pub(super) fn entries_fetched(&mut self, id: ConversationId, answer: Result<Vec<LogEntry>, ApiError>) {
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
                } else if !live.backs_off() {
                    live.succeeded();
                }
                self.step(id);
            }
            Err(error) if refused_with(&error, ErrorCode::Expired) => self.leave_behind(id),
            Err(error) => {
                tracing::warn!(%error, "what is new in a conversation could not be fetched");
                live.failed(Instant::now());
            }
        }
    }

    /// After a start: whoever came in while the last run ended is told of.
    pub(super) fn check_again(&mut self, id: ConversationId) {
        let verified = |live: &&Live| live.room.verified && live.room.changed.is_empty();
        if self.rooms.get(&id).filter(verified).is_some() {
            self.newcomers_in(id, &[]);
        }
    }

    /// Members that were not members before: told, and where the code had been compared, told loudly.
    pub(super) fn newcomers_in(&mut self, id: ConversationId, before: &[PublicIdentity]) {
        let (own, me) = (self.own_device(), self.me());
        let Some(live) = self.rooms.get_mut(&id) else { return };
        // In whatever conversation: of somebody whose key was compared, another key is news.
        let first = before.iter().all(|member| member.device == own);
        let close = first || live.room.server.kind == ConversationKind::Direct;
        let mut unchecked: Vec<_> = live
            .members
            .iter()
            .filter(|member| member.device != own && !before.contains(member))
            .filter(|member| !self.trust.knows(member))
            .map(|member| member.user)
            .collect();
        if live.room.verified {
            unchecked.dedup();
            for user in unchecked {
                self.key_changed(id, user);
            }
        } else if !unchecked.is_empty() {
            unchecked.retain(|user| close && *user != me && self.trust.knows_one_of(*user));
            unchecked.dedup();
            for user in unchecked {
                self.key_changed(id, user);
            }
        } else {
            // Everybody in it was compared elsewhere.
            live.room.verified =
                live.members.iter().all(|member| member.device == own || self.trust.knows(member))
                    && live.members.len() > 1;
        }
    }
}

impl Live {
    /// Whether somebody has no device in the group.
    pub(super) fn lacks(&self, user: UserId) -> bool {
        self.members.iter().all(|member| member.user != user)
    }

    /// Whether what is written reaches those it is for.
    pub(super) fn is_ready(&self, me: UserId) -> bool {
        let mut others = self.others(me);
        self.membership == Membership::Member
            && match self.room.server.kind {
                ConversationKind::Direct => others.all(|user| !self.lacks(user)),
                ConversationKind::Group => others.any(|user| !self.lacks(user)),
            }
    }

    /// What had been given to the group before it was lost is given to it again.
    pub(super) fn unseal(&mut self) {
        self.sealed.clear();
        self.kinds.clear();
        self.in_flight.clear();
        for waiting in &mut self.room.waiting {
            waiting.sealed = false;
        }
    }
}

/// Whether two conversations are between the same people, with the clinic's archive or without.
fn same_people(one: &Conversation, other: &Conversation, archive: Option<UserId>) -> bool {
    let ids = |conversation: &Conversation| -> BTreeSet<UserId> {
        let ids = conversation.participants.iter().map(|person| person.id);
        ids.filter(|id| Some(*id) != archive).collect()
    };
    ids(one) == ids(other)
}

/// Whether the server refused with this code.
pub(super) fn refused_with(error: &ApiError, code: ErrorCode) -> bool {
    matches!(error, ApiError::Problem(problem) if problem.code == code)
}
