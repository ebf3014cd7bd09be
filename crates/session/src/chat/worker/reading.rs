//! What the logs bring: each entry opened in order, and what it means written into the journal.

use bedside_e2ee::{
    PublicIdentity,
    mls::{Event as GroupEvent, MlsError, Refusal},
    store::StoreError,
};
use bedside_protocol::{
    ConversationId, Timestamp, UserId,
    conversation::{EntryKind, LogEntry},
    mls::Credential,
};
use bedside_ui_contract::Notice;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Membership, Worker, group};
use crate::chat::{
    body::Body,
    journal::{Content, Item, KeyChange},
    trust::Trust,
};

/// Where and when an entry was.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) position: u64,
    /// By the server's clock.
    pub(super) at: Timestamp,
}

impl Worker {
    /// An entry came by itself.
    pub(super) fn entry_came(&mut self, entry: &LogEntry) {
        let id = entry.conversation_id;
        let Some(live) = self.rooms.get_mut(&id) else { return self.fetch_conversation(id) };
        live.room.server.next_position = live.room.server.next_position.max(entry.position.saturating_add(1));
        live.was_founded();
        if live.membership != Membership::Outside {
            self.read(id, entry);
        }
        self.step(id);
    }

    /// Opens an entry, if it is the next one and here.
    pub(super) fn read(&mut self, id: ConversationId, entry: &LogEntry) {
        if entry.kind == EntryKind::Founded {
            if self.device.position(&group(id)) == Ok(entry.position) {
                // What follows is of another group.
                self.leave_behind(id);
            }
            return;
        }
        let Some(body) = &entry.body else { return };
        let poster = Credential { user: entry.from_user, device: entry.from_device };
        match self.device.receive(&group(id), entry.position, &body.0, Some(poster)) {
            Ok(Some(event)) => {
                let refusal = if let GroupEvent::Refused(refusal) = event { Some(refusal) } else { None };
                self.take(id, At { position: entry.position, at: crate::clock::past(entry.at) }, event);
                if let Some(refusal) = refusal {
                    self.made_no_sense(id, entry, refusal);
                }
            }
            Ok(None) | Err(MlsError::Gap { .. } | MlsError::UnknownGroup | MlsError::Removed) => {}
            Err(error) => self.mls_failed(id, &error),
        }
    }

    /// Takes events that were opened before the process ended and not yet written.
    pub(super) fn catch_up(&mut self, id: ConversationId) {
        let at = crate::clock::now();
        for (position, event) in self.device.events(&group(id)).unwrap_or_default() {
            self.take(id, At { position, at }, event);
        }
    }

    /// Writes what an event means, all of it at once, and then lets the group forget it.
    fn take(&mut self, id: ConversationId, at: At, event: GroupEvent) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        if at.position >= live.room.processed {
            live.room.processed = at.position.saturating_add(1);
            self.journal.together();
            let written = self.write_down(id, at, event).and_then(|()| {
                self.keep(id);
                self.journal.commit()
            });
            if let Err(error) = written {
                self.journal.abandon();
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.room.processed = at.position;
                }
                return self.store_failed(error);
            }
        }
        if let Err(error) = self.device.acknowledge(&group(id), at.position) {
            self.mls_failed(id, &error);
        }
    }

    fn write_down(&mut self, id: ConversationId, at: At, event: GroupEvent) -> Result<(), StoreError> {
        if !matches!(event, GroupEvent::Refused(_))
            && let Some(live) = self.rooms.get_mut(&id)
        {
            live.follows();
        }
        match event {
            GroupEvent::Message { sender, id: message, body, own, missing } => {
                if own {
                    self.said(id, message.0);
                    self.spoke(id);
                } else if let Some(live) = self.rooms.get_mut(&id) {
                    // Somebody is understood: this device is where the others are.
                    live.attempts = 0;
                    live.understood = true;
                }
                if !own && missing > 0 {
                    let count = u32::try_from(missing).unwrap_or(u32::MAX);
                    self.happened(id, at, &sender, Content::Missing { user: sender.user, count })?;
                }
                match Body::read(&body.0) {
                    Some(body) => self.heard(id, at, &sender, message.0, body, own),
                    None => self.refused(id, at, &sender, Refusal::Malformed),
                }
            }
            GroupEvent::Changed { by, joined, left, external, own, .. } => {
                self.group_changed(id, at, &by, &joined, &left, external, own)
            }
            GroupEvent::Removed { by } => {
                self.look_at_group(id);
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.room.removed = true;
                }
                let user = self.me();
                self.happened(id, at, &by, Content::DeviceLeft { user })
            }
            GroupEvent::JoinLost => {
                if let Some(live) = self.rooms.get_mut(&id) {
                    live.is_outside(Instant::now());
                }
                Ok(())
            }
            GroupEvent::Refused(refusal) => {
                let nobody = self.device.identity().public();
                self.refused(id, at, &nobody, refusal)
            }
        }
    }

    pub(super) fn refused(
        &mut self,
        id: ConversationId,
        at: At,
        by: &PublicIdentity,
        refusal: Refusal,
    ) -> Result<(), StoreError> {
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        if live.membership == Membership::Joining {
            return Ok(());
        }
        // Sealed for an epoch that ended meanwhile, and said again by its sender; or this device is behind.
        if matches!(refusal, Refusal::WrongEpoch { .. }) {
            return Ok(());
        }
        tracing::warn!(conversation = %id, position = at.position, %refusal, "an entry was refused");
        let last = live.room.total.checked_sub(1);
        let added = match last {
            Some(place) => self.journal.change(&mut live.room, place, |item| match &mut item.content {
                Content::Refused { count } => {
                    *count = count.saturating_add(1);
                    true
                }
                _ => false,
            })?,
            None => false,
        };
        if !added {
            self.happened(id, at, by, Content::Refused { count: 1 })?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one event, each of another type")]
    fn group_changed(
        &mut self,
        id: ConversationId,
        at: At,
        by: &PublicIdentity,
        joined: &[PublicIdentity],
        left: &[PublicIdentity],
        external: bool,
        own: bool,
    ) -> Result<(), StoreError> {
        let device = self.own_device();
        self.look_at_group(id);
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        live.room.server.epoch = live.room.server.epoch.saturating_add(1);
        live.understood = false;
        if own {
            live.room.renewed = Some(crate::clock::now());
        }
        live.sealed.clear();
        live.kinds.clear();
        live.in_flight.clear();
        // Coming in from outside, this device learns only now who was put out meanwhile.
        let missed =
            live.room.told_of.iter().filter(|member| own && external && !live.members.contains(member));
        let left: Vec<_> = left.iter().chain(missed).copied().collect();
        if own && external {
            let unused = live.welcome.take();
            let again = std::mem::take(&mut live.rejoining) || at.position > 0;
            self.tell_who_is_here(id, at, again)?;
            if let Some(welcome) = unused {
                self.drop_welcome(welcome.id);
            }
        } else if own && at.position == 0 && !live.knows_others(device) {
            // Whoever founds a group brings in everybody.
            self.tell_who_is_here(id, at, false)?;
            self.tell_the_name(id, joined, external, own);
        } else {
            let before = std::mem::replace(&mut live.room.told_of, live.members.clone());
            // Whoever comes in from outside is told of, also one who was a member before and lost its place.
            let returned = external && joined.is_empty();
            let joined = if returned { std::slice::from_ref(by) } else { joined };
            for member in joined {
                let content = Content::DeviceJoined { user: member.user, by_itself: external };
                self.happened(id, at, by, content)?;
            }
            for member in &left {
                self.happened(id, at, by, Content::DeviceLeft { user: member.user })?;
            }
            self.tell_the_name(id, joined, external, own);
            self.newcomers_in(id, &before);
        }
        // Whoever puts out a device of their own has lost it: nobody takes it for theirs again.
        if self.trust.retire(&left) {
            self.journal.write_value(Trust::NAME, &self.trust)?;
        }
        self.tell_frame_keys();
        Ok(())
    }

    /// A checked key changed, or was joined by one that was not checked.
    pub(super) fn key_changed(&mut self, id: ConversationId, user: UserId) {
        let now = crate::clock::now();
        let Some(live) = self.rooms.get_mut(&id) else { return };
        if live.room.changed.iter().all(|change| change.user != user || change.archive) {
            live.room.changed.push(KeyChange { user, at: now, archive: false });
        }
        let at = At { position: live.room.processed.saturating_sub(1), at: now };
        let by = self.device.identity().public();
        if let Err(error) = self.happened(id, at, &by, Content::KeyChanged { user }) {
            self.store_failed(error);
        }
        let name = self.name_of(id, user);
        self.notify(Notice::KeyChanged { name, conversation_id: id.to_string() });
    }

    /// Puts something that happened into the list.
    pub(super) fn happened(
        &mut self,
        id: ConversationId,
        at: At,
        by: &PublicIdentity,
        content: Content,
    ) -> Result<(), StoreError> {
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        let item = Item {
            id: Uuid::now_v7(),
            sender: by.user,
            device: by.device,
            sent_at: at.at,
            content,
            edited: false,
            reply_to: None,
            call: None,
            unchecked: false,
        };
        self.journal.append(&mut live.room, item)
    }

    /// The same, now and by this person.
    pub(super) fn happened_here(&mut self, id: ConversationId, content: Content) {
        let Some(live) = self.rooms.get(&id) else { return };
        let at = At { position: live.room.processed.saturating_sub(1), at: crate::clock::now() };
        let by = self.device.identity().public();
        if let Err(error) = self.happened(id, at, &by, content) {
            self.store_failed(error);
        }
    }

    /// The same; where the newest line is of that kind, in its place.
    pub(super) fn happened_again(&mut self, id: ConversationId, content: Content) {
        let Some(live) = self.rooms.get_mut(&id) else { return };
        let last = live.room.total.checked_sub(1);
        let changed = last.map_or(Ok(false), |place| {
            self.journal.change(&mut live.room, place, |item| {
                let same = std::mem::discriminant(&item.content) == std::mem::discriminant(&content);
                if same {
                    item.content = content.clone();
                }
                same
            })
        });
        match changed {
            Ok(true) => {}
            Ok(false) => self.happened_here(id, content),
            Err(error) => self.store_failed(error),
        }
    }

    /// What somebody in a conversation is called.
    pub(super) fn name_of(&self, id: ConversationId, user: UserId) -> String {
        let participants = self.rooms.get(&id).map(|live| &live.room.server.participants);
        participants
            .and_then(|people| people.iter().find(|person| person.id == user))
            .map(|person| person.name.reveal().clone())
            .unwrap_or_default()
    }
}
