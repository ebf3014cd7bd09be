//! Conversations on disk: one record for each, and its list of messages in pages.
//!
//! A list is addressed by place, from 0, oldest first, and only grows; an edit or a deletion changes an item where it
//! stands. A page holds [`PAGE`] items, so that opening a conversation reads two records, whatever its length, and a new
//! message rewrites one. Where a message is, is a record by its id.
//!
//! What one log entry means may be several changes. They are written together or not at all: see [`Journal::together`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bedside_e2ee::{
    PublicIdentity,
    mls::MAX_MEMBERS,
    store::{Batch, Store, StoreError, encode},
};
use bedside_protocol::{CallId, Conversation, ConversationId, DeviceId, Pii, Timestamp, UserId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{body::Body, vault::Local};
use crate::transfer::SharedFile;

/// Items in a page.
const PAGE: u32 = 32;

/// One conversation.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Room {
    /// As the server last told it.
    pub(crate) server: Conversation,
    /// A group's name.
    pub(crate) title: Option<Pii<String>>,
    /// Items in the list.
    pub(crate) total: u32,
    /// Grows with every change of the list.
    pub(crate) revision: u32,
    /// Items before this one were seen by this user, on whatever device.
    pub(crate) seen: u32,
    /// Items before this one were seen on this device.
    #[serde(default)]
    pub(crate) seen_here: u32,
    /// Messages of others from there on.
    pub(crate) unread: u32,
    /// Log entries before this position are in the list.
    pub(crate) processed: u64,
    /// What this device's receipts have said.
    #[serde(default)]
    pub(crate) receipted: Receipted,
    /// The newest message.
    pub(crate) preview: Option<Preview>,
    /// Its code was compared, and nothing has changed since that was not acknowledged.
    pub(crate) verified: bool,
    /// Keys that changed since.
    pub(crate) changed: Vec<KeyChange>,
    /// What waits to be sent, in order.
    pub(crate) waiting: Vec<Waiting>,
    /// This device was removed from it.
    pub(crate) removed: bool,
    /// The group's devices when the list last told of them: whoever differs from that is news.
    #[serde(default)]
    pub(crate) told_of: Vec<PublicIdentity>,
    /// The other of two people, once known: nobody takes their place.
    #[serde(default)]
    pub(crate) peer: Option<UserId>,
    /// The archive's devices in the code that was compared here.
    #[serde(default)]
    pub(crate) archive: Vec<PublicIdentity>,
    /// When this device's keys in the group were made, as far as is known.
    #[serde(default)]
    pub(crate) renewed: Option<Timestamp>,
}

/// How far this device's receipts are: items before these are told of, or need not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipted {
    /// As delivered.
    pub(crate) delivered: u32,
    /// As read.
    pub(crate) read: u32,
}

/// Another device has a message, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    /// It was seen there, too.
    pub(crate) read: bool,
}

/// The newest message, for the list of conversations.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preview {
    pub(crate) id: Uuid,
    pub(crate) sender: UserId,
    pub(crate) text: Pii<String>,
    pub(crate) at: Timestamp,
    #[serde(default)]
    pub(crate) file: bool,
}

/// A checked key that changed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyChange {
    pub(crate) user: UserId,
    pub(crate) at: Timestamp,
    /// The server names another archive, or none.
    #[serde(default)]
    pub(crate) archive: bool,
}

/// Something of this device's that the log does not have yet.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) id: Uuid,
    pub(crate) body: Body,
    /// It has been given to MLS: from here on it must be sent.
    pub(crate) sealed: bool,
}

impl Waiting {
    /// Whether it is shown in the list while it waits.
    pub(crate) const fn is_shown(&self) -> bool {
        matches!(self.body, Body::Text { .. } | Body::File { .. })
    }
}

/// A line of the list.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: Uuid,
    pub(crate) sender: UserId,
    pub(crate) device: DeviceId,
    pub(crate) sent_at: Timestamp,
    pub(crate) content: Content,
    #[serde(default)]
    pub(crate) edited: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reply_to: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) call: Option<CallId>,
    /// Where keys had been compared, it came from a device whose key was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unchecked: bool,
}

/// What a line says.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    Text(Pii<String>),
    File {
        file: Box<SharedFile>,
        /// Where it is on this computer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saved: Option<Pii<String>>,
    },
    Deleted,
    DeviceJoined {
        user: UserId,
        by_itself: bool,
    },
    DeviceLeft {
        user: UserId,
    },
    Rejoined,
    Missing {
        user: UserId,
        count: u32,
    },
    Refused {
        count: u32,
    },
    Verified,
    KeyChanged {
        user: UserId,
    },
    Renamed(Pii<String>),
    SeveralDevices {
        user: UserId,
        count: u32,
    },
    ArchiveChanged {
        present: bool,
    },
}

impl Content {
    /// What of it is shown in a line, and whether that is a file's name.
    pub(crate) fn line(&self) -> (Pii<String>, bool) {
        match self {
            Content::Text(text) => (text.clone(), false),
            Content::File { file, .. } => (Pii::new(file.name.clone()), true),
            _ => (Pii::default(), false),
        }
    }

    /// Whether somebody wrote it, as against something that happened.
    pub(crate) const fn is_message(&self) -> bool {
        matches!(self, Content::Text(_) | Content::File { .. } | Content::Deleted)
    }
}

impl Room {
    /// A conversation that was never seen before.
    pub(crate) const fn new(server: Conversation) -> Self {
        Self {
            server,
            title: None,
            total: 0,
            revision: 0,
            seen: 0,
            seen_here: 0,
            unread: 0,
            processed: 0,
            receipted: Receipted { delivered: 0, read: 0 },
            preview: None,
            verified: false,
            changed: Vec::new(),
            waiting: Vec::new(),
            removed: false,
            told_of: Vec::new(),
            peer: None,
            archive: Vec::new(),
            renewed: None,
        }
    }

    pub(crate) const fn id(&self) -> ConversationId {
        self.server.id
    }
}

/// Reads and writes conversations. Cheap to clone; readers may work on other threads while one writes.
#[derive(Clone)]
pub(crate) struct Journal {
    local: Local,
    /// What is to be written together, from the first change on.
    open: Arc<Mutex<Option<Changes>>>,
}

/// New values by their names; none for what is deleted.
type Changes = BTreeMap<Vec<u8>, Option<Zeroizing<Vec<u8>>>>;

impl Journal {
    pub(crate) fn new(local: Local) -> Self {
        Self { local, open: Arc::default() }
    }

    /// What is written from here on waits for [`Journal::commit`]; it is read as if it were there already.
    pub(crate) fn together(&self) {
        self.open().get_or_insert_with(Changes::default);
    }

    /// Writes what has come together.
    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (key, value) in self.open().take().unwrap_or_default() {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        if batch.is_empty() { Ok(()) } else { self.local.apply(batch) }
    }

    /// Forgets what has come together.
    pub(crate) fn abandon(&self) {
        self.open().take();
    }

    fn open(&self) -> MutexGuard<'_, Option<Changes>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if let Some(changes) = &mut *self.open() {
            changes.extend(batch);
            return Ok(());
        }
        self.local.apply(batch)
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        let changed = self.open().as_ref().and_then(|changes| changes.get(key).cloned());
        let bytes = match changed {
            Some(changed) => changed,
            None => self.local.get(key)?,
        };
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|_| StoreError::Damaged)).transpose()
    }

    /// All conversations that were written.
    pub(crate) fn rooms(&self) -> Result<Vec<Room>, StoreError> {
        let ids: Vec<ConversationId> = self.get(b"rooms")?.unwrap_or_default();
        let mut rooms = Vec::with_capacity(ids.len());
        for id in ids {
            rooms.extend(self.get::<Room>(&room_key(id))?);
        }
        Ok(rooms)
    }

    /// Writes the list of conversations.
    pub(crate) fn write_index(&self, ids: &[ConversationId]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        put(&mut batch, b"rooms".to_vec(), &ids)?;
        self.apply(batch)
    }

    /// Writes what is known of a conversation beside its list.
    pub(crate) fn write(&self, room: &Room) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        put(&mut batch, room_key(room.id()), room)?;
        self.apply(batch)
    }

    /// A value by its name, outside of any conversation.
    pub(crate) fn value<T: DeserializeOwned>(&self, name: &[u8]) -> Result<Option<T>, StoreError> {
        self.get(name)
    }

    /// Writes a value by its name.
    pub(crate) fn write_value<T: Serialize>(&self, name: &[u8], value: &T) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        put(&mut batch, name.to_vec(), value)?;
        self.apply(batch)
    }

    /// Puts an item at the end of the list, together with the changed `room`.
    pub(crate) fn append(&self, room: &mut Room, item: Item) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let number = room.total / PAGE;
        let mut page: Vec<Item> = self.get(&page_key(room.id(), number))?.unwrap_or_default();
        // What a crash left beyond the end was never counted.
        page.truncate((room.total % PAGE) as usize);
        put(&mut batch, place_key(room.id(), item.id), &room.total)?;
        page.push(item);
        put(&mut batch, page_key(room.id(), number), &page)?;
        room.total += 1;
        room.revision += 1;
        put(&mut batch, room_key(room.id()), room)?;
        self.apply(batch)
    }

    /// Changes the item at a place, together with the changed `room`. False when `change` wants nothing.
    pub(crate) fn change(
        &self,
        room: &mut Room,
        place: u32,
        change: impl FnOnce(&mut Item) -> bool,
    ) -> Result<bool, StoreError> {
        let key = page_key(room.id(), place / PAGE);
        let mut page: Vec<Item> = self.get(&key)?.unwrap_or_default();
        let changed = page.get_mut((place % PAGE) as usize).is_some_and(change);
        if changed {
            let mut batch = Batch::default();
            put(&mut batch, key, &page)?;
            room.revision += 1;
            put(&mut batch, room_key(room.id()), room)?;
            self.apply(batch)?;
        }
        Ok(changed)
    }

    /// Where a message stands in a list.
    pub(crate) fn place(&self, id: ConversationId, message: Uuid) -> Result<Option<u32>, StoreError> {
        self.get(&place_key(id, message))
    }

    /// Which devices have a message.
    pub(crate) fn receipts(&self, id: ConversationId, message: Uuid) -> Result<Vec<Receipt>, StoreError> {
        self.get(&receipts_key(id, message)).map(Option::unwrap_or_default)
    }

    /// A device has a message: whether that is news.
    pub(crate) fn write_receipt(
        &self,
        id: ConversationId,
        message: Uuid,
        receipt: Receipt,
    ) -> Result<bool, StoreError> {
        let mut receipts = self.receipts(id, message)?;
        let full = receipts.len() >= MAX_MEMBERS;
        match receipts.iter_mut().find(|known| known.device == receipt.device) {
            Some(known) if receipt.read && !known.read => known.read = true,
            Some(_) => return Ok(false),
            // Members come and go, and none of them makes this grow without end.
            None if full => return Ok(false),
            None => receipts.push(receipt),
        }
        let mut batch = Batch::default();
        put(&mut batch, receipts_key(id, message), &receipts)?;
        self.apply(batch)?;
        Ok(true)
    }

    /// The item at a place.
    pub(crate) fn item(&self, id: ConversationId, place: u32) -> Result<Option<Item>, StoreError> {
        let page: Vec<Item> = self.get(&page_key(id, place / PAGE))?.unwrap_or_default();
        Ok(page.into_iter().nth((place % PAGE) as usize))
    }

    /// Items from `from` on, at most `count`, of a list of `total`.
    pub(crate) fn items(
        &self,
        id: ConversationId,
        total: u32,
        from: u32,
        count: u32,
    ) -> Result<Vec<(u32, Item)>, StoreError> {
        let until = from.saturating_add(count).min(total);
        let mut items = Vec::new();
        let mut place = from;
        while place < until {
            let page: Vec<Item> = self.get(&page_key(id, place / PAGE))?.unwrap_or_default();
            let first = place - place % PAGE;
            let end = until.min(first + PAGE);
            items.extend((first..).zip(page).filter(|(at, _)| (place..end).contains(at)));
            place = end;
        }
        Ok(items)
    }

    /// Messages whose text holds `needle` (any case), newest first, at most `most`.
    pub(crate) fn search(
        &self,
        room: &Room,
        needle: &str,
        most: usize,
    ) -> Result<Vec<(u32, Item)>, StoreError> {
        let needle = needle.to_lowercase();
        let mut hits = Vec::new();
        for number in (0..room.total.div_ceil(PAGE)).rev() {
            let page = self.items(room.id(), room.total, number * PAGE, PAGE)?;
            for (place, item) in page.into_iter().rev() {
                let found = match &item.content {
                    Content::Text(text) => text.reveal().to_lowercase().contains(&needle),
                    Content::File { file, .. } => file.name.to_lowercase().contains(&needle),
                    _ => false,
                };
                if found {
                    hits.push((place, item));
                    if hits.len() >= most {
                        return Ok(hits);
                    }
                }
            }
        }
        Ok(hits)
    }
}

fn room_key(id: ConversationId) -> Vec<u8> {
    key(b"room", id, &[])
}

fn page_key(id: ConversationId, number: u32) -> Vec<u8> {
    key(b"page", id, &number.to_be_bytes())
}

fn place_key(id: ConversationId, message: Uuid) -> Vec<u8> {
    key(b"place", id, message.as_bytes())
}

fn receipts_key(id: ConversationId, message: Uuid) -> Vec<u8> {
    key(b"receipts", id, message.as_bytes())
}

/// No key is another's beginning: kinds have different lengths or letters, ids have 16 bytes.
fn key(kind: &[u8], id: ConversationId, rest: &[u8]) -> Vec<u8> {
    [b"chat ", kind, id.0.as_bytes(), rest].concat()
}

fn put<T: Serialize>(batch: &mut Batch, key: Vec<u8>, value: &T) -> Result<(), StoreError> {
    batch.put(key, encode(value)?);
    Ok(())
}

#[cfg(test)]
mod tests;
