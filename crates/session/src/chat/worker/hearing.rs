//! What a message that was opened means: words, a file, a change of either, how far somebody is. Who may what is decided
//! here, by who signed it.

use std::time::Duration;

use bedside_e2ee::{PublicIdentity, mls::Refusal, store::StoreError};
use bedside_protocol::{ConversationId, ConversationKind, EntryId, Pii};
use bedside_ui_contract::Notice;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Live, Worker, reading::At};
use crate::{
    chat::{
        ChatEvent,
        body::Body,
        journal::{Content, Item, Preview, Receipt},
    },
    transfer::names::is_hidden,
};

/// Others are told what has arrived after this pause, once for all that came in it.
const RECEIPT_PAUSE: Duration = Duration::from_millis(300);

impl Worker {
    pub(super) fn heard(
        &mut self,
        id: ConversationId,
        at: At,
        sender: &PublicIdentity,
        message: Uuid,
        body: Body,
        own: bool,
    ) -> Result<(), StoreError> {
        let mine = sender.user == self.me();
        let unchecked = !own && self.is_doubtful(id, sender);
        let item = |content, reply_to, call, sent_at| Item {
            id: message,
            sender: sender.user,
            device: sender.device,
            sent_at: crate::clock::past(sent_at),
            content,
            edited: false,
            reply_to,
            call,
            unchecked,
        };
        match body {
            Body::Text { text, reply_to, call, sent_at } => {
                self.written(id, at, item(Content::Text(Pii::new(text)), reply_to, call, sent_at), mine)
            }
            Body::File { file, call, sent_at } => {
                let content = Content::File { file, saved: None };
                self.written(id, at, item(content, None, call, sent_at), mine)
            }
            Body::Edit { message, text } => self.change_own(id, at, sender, message, unchecked, |item| {
                // Text becomes other text; a file stays what it is.
                if matches!(item.content, Content::Text(_)) {
                    item.edited = true;
                    item.content = Content::Text(Pii::new(text));
                }
            }),
            Body::Delete { message } => {
                self.change_own(id, at, sender, message, unchecked, |item| item.content = Content::Deleted)
            }
            Body::Receipt { .. } if own => Ok(()),
            Body::Receipt { delivered, read } => self.receipts(id, sender, &delivered, &read),
            Body::Title { title, .. } => {
                let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
                let title = Pii::new(title.chars().filter(|c| !is_hidden(*c)).collect::<String>());
                // Two people are called what they are called; and to those who came in later it is said again.
                let is_group = live.room.server.kind == ConversationKind::Group;
                if !is_group || live.room.title.as_ref() == Some(&title) {
                    return Ok(());
                }
                if unchecked {
                    return self.refused(id, at, sender, Refusal::Unauthorised);
                }
                live.room.title = Some(title.clone());
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
            let mut elsewhere = None;
            self.journal.change(&mut live.room, place, |known| match (&mut known.content, item.content) {
                // The same file, to be had elsewhere now.
                (Content::File { file, .. }, Content::File { file: moved, .. })
                    if known.sender == item.sender && file.sha256 == moved.sha256 =>
                {
                    elsewhere = Some(moved.clone());
                    *file = moved;
                    true
                }
                _ => false,
            })?;
            if let Some(file) = elsewhere.filter(|_| !mine) {
                self.transfers.moved(&file, EntryId(item.id));
            }
            return Ok(());
        }
        live.typing.remove(&item.sender);
        let (text, file) = item.content.line();
        live.room.preview = Some(Preview { id: item.id, sender: item.sender, text, at: item.sent_at, file });
        if !mine {
            live.room.unread += 1;
            live.receipt_at.get_or_insert_with(|| Instant::now() + RECEIPT_PAUSE);
        }
        self.journal.append(&mut live.room, item)?;
        if !mine && !viewed {
            self.notify(Notice::Message { name, conversation_id: id.to_string() });
        }
        Ok(())
    }

    /// Whether the keys here were compared, and this device's was not: it may be anybody's.
    fn is_doubtful(&self, id: ConversationId, device: &PublicIdentity) -> bool {
        let guarded = |live: &&Live| live.room.verified || !live.room.changed.is_empty();
        self.rooms.get(&id).filter(guarded).is_some_and(|live| !self.checked(live, device))
    }

    /// Somebody changes a message: only who wrote it may, on whatever device; an `unchecked` one only what it wrote as
    /// such itself.
    fn change_own(
        &mut self,
        id: ConversationId,
        at: At,
        sender: &PublicIdentity,
        message: Uuid,
        unchecked: bool,
        change: impl FnOnce(&mut Item),
    ) -> Result<(), StoreError> {
        let Some(place) = self.journal.place(id, message)? else { return Ok(()) };
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        let (mut text, mut doubtful) = (None, false);
        self.journal.change(&mut live.room, place, |item| {
            let theirs = item.sender == sender.user && item.content.is_message();
            doubtful = theirs && unchecked && !(item.unchecked && item.device == sender.device);
            let may = theirs && !doubtful;
            if may {
                change(item);
                text = Some(item.content.line());
            }
            may
        })?;
        if doubtful {
            return self.refused(id, at, sender, Refusal::Unauthorised);
        }
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        if let (Some(line), Some(preview)) = (text, &mut live.room.preview)
            && preview.id == message
        {
            (preview.text, preview.file) = line;
        }
        Ok(())
    }

    /// Another device has messages: one's own are shown as such; what was seen on one's own other device needs no more
    /// attention here.
    fn receipts(
        &mut self,
        id: ConversationId,
        sender: &PublicIdentity,
        delivered: &[Uuid],
        read: &[Uuid],
    ) -> Result<(), StoreError> {
        let me = self.me();
        let Some(live) = self.rooms.get_mut(&id) else { return Ok(()) };
        if sender.user == me {
            let places = read.iter().map(|message| self.journal.place(id, *message));
            let places = places.collect::<Result<Vec<_>, _>>()?;
            let seen = places.into_iter().flatten().max().map_or(0, |place| place.saturating_add(1));
            return self.seen_until(id, seen);
        }
        let named = delivered.iter().map(|message| (message, false));
        for (message, read) in named.chain(read.iter().map(|message| (message, true))) {
            let Some(place) = self.journal.place(id, *message)? else { continue };
            if self.journal.item(id, place)?.is_none_or(|item| item.sender != me) {
                continue;
            }
            let receipt = Receipt { user: sender.user, device: sender.device, read };
            if self.journal.write_receipt(id, *message, receipt)? {
                live.room.revision += 1;
            }
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
}
