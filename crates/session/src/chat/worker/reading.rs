//! What the logs bring: each entry opened in order, and what it means written into the journal.

use std::time::Duration;

use bedside_e2ee::{
    PublicIdentity,
    mls::{Event as GroupEvent, MlsError, Refusal},
    store::StoreError,
};
use bedside_protocol::{
    ConversationId, Pii, Timestamp, UserId,
    conversation::{EntryKind, LogEntry},
};
use bedside_ui_contract::Notice;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Membership, Worker, group};
use crate::chat::{
    ChatEvent,
    body::Body,
    journal::{Content, Item, KeyChange, Preview, Receipt},
};

/// Others are told what has arrived after this pause, once for all that came in it.
const RECEIPT_PAUSE: Duration = Duration::from_millis(300);

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
        match self.device.receive(&group(id), entry.position, &body.0) {
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

    fn refused(
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
        live.sealed.clear();
        live.kinds.clear();
        live.in_flight.clear();
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
            for member in left {
                self.happened(id, at, by, Content::DeviceLeft { user: member.user })?;
            }
            self.tell_the_name(id, joined, external, own);
            self.newcomers_in(id, &before);
        }
        let gone: Vec<_> = left.iter().map(|member| member.device).collect();
        if let Some(live) = self.rooms.get_mut(&id) {
            for device in gone {
                live.room.receipts.remove(&device);
            }
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
            position: at.position,
            sender: by.user,
            device: by.device,
            sent_at: at.at,
            content,
            edited: false,
            reply_to: None,
            call: None,
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

    fn heard(
        &mut self,
        id: ConversationId,
        at: At,
        sender: &PublicIdentity,
        message: Uuid,
        body: Body,
        own: bool,
    ) -> Result<(), StoreError> {
        let mine = sender.user == self.me();
        match body {
            Body::Text { text, reply_to, call, sent_at } => {
                let item = Item {
                    id: message,
                    position: at.position,
                    sender: sender.user,
                    device: sender.device,
                    sent_at: crate::clock::past(sent_at),
                    content: Content::Text(Pii::new(text)),
                    edited: false,
                    reply_to,
                    call,
                };
                self.written(id, at, item, mine)
            }
            Body::File { file, call, sent_at } => {
                let item = Item {
                    id: message,
                    position: at.position,
                    sender: sender.user,
                    device: sender.device,
                    sent_at: crate::clock::past(sent_at),
                    content: Content::File { file, saved: None },
                    edited: false,
                    reply_to: None,
                    call,
                };
                self.written(id, at, item, mine)
            }
            Body::Edit { message, text } => self.change_own(id, sender, message, |item| {
                // Text becomes other text; a file stays what it is.
                if matches!(item.content, Content::Text(_)) {
                    item.edited = true;
                    item.content = Content::Text(Pii::new(text));
                }
            }),
            Body::Delete { message } => {
                self.change_own(id, sender, message, |item| item.content = Content::Deleted)
            }
            Body::Receipt { delivered, read } => self.receipt(id, sender, Receipt { delivered, read }, own),
            Body::Title { title, .. } => {
                let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
                let title = Pii::new(title);
                // It is said again to those who came in later.
                if live.room.title.replace(title.clone()).as_ref() == Some(&title) {
                    return Ok(());
                }
                self.happened(id, at, sender, Content::Renamed(title))
            }
            Body::Signal { call, signal } => {
                // Only where the two talk, and not behind a key that nobody has looked at: whoever leads this device
                // into some other conversation must not speak for the person called.
                let open = self.rooms.get(&id).is_some_and(|live| live.room.changed.is_empty());
                if !mine && open && self.direct(sender.user) == Some(id) {
                    let _ = self.events.send(ChatEvent::Signal { call, from: *sender, signal });
                }
                Ok(())
            }
        }
    }

    /// A message: into the list, onto the front page, to the person's attention.
    fn written(&mut self, id: ConversationId, at: At, item: Item, mine: bool) -> Result<(), StoreError> {
        let viewed = self.viewed == Some(id);
        let name = self.name_of(id, item.sender);
        let place = self.journal.place(id, item.id)?;
        if let Some(place) = place
            && let Some(known) = self.journal.item(id, place)?
            && (known.sender, known.device) != (item.sender, item.device)
        {
            // Another device's words under the name of these would be shown to some and not to others.
            let nobody = self.device.identity().public();
            return self.refused(id, at, &nobody, Refusal::Replayed);
        }
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        // A sender that repeats itself after a crash uses the same name again.
        if let Some(place) = place {
            self.journal.change(&mut live.room, place, |known| match (&mut known.content, item.content) {
                // The same file, to be had elsewhere now.
                (Content::File { file, .. }, Content::File { file: moved, .. })
                    if known.sender == item.sender && file.sha256 == moved.sha256 =>
                {
                    *file = moved;
                    true
                }
                _ => false,
            })?;
            return Ok(());
        }
        live.typing.remove(&item.sender);
        let (text, file) = item.content.line();
        live.room.preview = Some(Preview { id: item.id, sender: item.sender, text, at: item.sent_at, file });
        if !mine {
            live.room.heard = at.position.saturating_add(1);
            live.room.unread += 1;
            live.receipt_at.get_or_insert_with(|| Instant::now() + RECEIPT_PAUSE);
        }
        self.journal.append(&mut live.room, item)?;
        if !mine && !viewed {
            self.notify(Notice::Message { name, conversation_id: id.to_string() });
        }
        Ok(())
    }

    /// Somebody changes a message: only who wrote it may, on whatever device.
    fn change_own(
        &mut self,
        id: ConversationId,
        sender: &PublicIdentity,
        message: Uuid,
        change: impl FnOnce(&mut Item),
    ) -> Result<(), StoreError> {
        let Some(place) = self.journal.place(id, message)? else { return Ok(()) };
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        let mut text = None;
        self.journal.change(&mut live.room, place, |item| {
            let may = item.sender == sender.user && item.content.is_message();
            if may {
                change(item);
                text = Some(item.content.line());
            }
            may
        })?;
        if let (Some(line), Some(preview)) = (text, &mut live.room.preview)
            && preview.id == message
        {
            (preview.text, preview.file) = line;
        }
        Ok(())
    }

    /// How far another device is; on one's own other device, also what needs no more attention here.
    fn receipt(
        &mut self,
        id: ConversationId,
        sender: &PublicIdentity,
        receipt: Receipt,
        own: bool,
    ) -> Result<(), StoreError> {
        if own {
            return Ok(());
        }
        let mine = sender.user == self.me();
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        // Nobody has what is not in the log yet.
        let until = live.room.processed;
        let (_, known) = live.room.receipts.entry(sender.device).or_insert((sender.user, Receipt::default()));
        known.delivered = known.delivered.max(receipt.delivered.min(until));
        known.read = known.read.max(receipt.read.min(until));
        live.room.revision += 1;
        if mine {
            let read = live.room.receipts.get(&sender.device).map_or(0, |(_, known)| known.read);
            let seen = self.journal.place_of(&live.room, read)?;
            self.seen_until(id, seen)?;
        }
        Ok(())
    }

    /// Items before `seen` need no more attention.
    pub(super) fn seen_until(&mut self, id: ConversationId, seen: u32) -> Result<(), StoreError> {
        let me = self.me();
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        if seen <= live.room.seen {
            return Ok(());
        }
        live.room.seen = seen.min(live.room.total);
        let rest = self.journal.items(id, live.room.total, live.room.seen, u32::MAX)?;
        let unread = rest.iter().filter(|(_, item)| item.sender != me && item.content.is_message()).count();
        live.room.unread = u32::try_from(unread).unwrap_or(u32::MAX);
        Ok(())
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
