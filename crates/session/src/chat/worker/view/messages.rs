//! The list of a conversation: stretches of it, and what a search finds in it.

use bedside_protocol::{ConversationId, ConversationKind, Pii, UserId};
use bedside_ui_contract::chat::{
    ChatEvent as Happening, FileView, MessageContent, MessagePage, MessageState, MessageView, ReceiptView,
    ReplyView, SearchHit,
};
use tokio::sync::oneshot;

use super::{super::Worker, count};
use crate::chat::{
    body::Body,
    journal::{Content, Item, Journal, Receipt, Room, Waiting},
};
use crate::transfer::{FileSource, SharedFile, preview};

/// The longest stretch of a list that is read at once, items.
const LONGEST_PAGE: u32 = 500;
/// The most messages that a search finds.
const MOST_HITS: usize = 100;
/// What of a message is shown where it is answered or listed, characters.
const EXCERPT_CHARS: usize = 120;

impl Worker {
    pub(super) const fn people<'a>(&self, room: &'a Room) -> People<'a> {
        People { room, me: self.config.me.id, archive: self.config.archive }
    }

    pub(in super::super) fn page(&self, id: ConversationId, from: u32, count: u32) -> MessagePage {
        let Some(live) = self.rooms.get(&id) else { return MessagePage::default() };
        let reader = Reader { journal: &self.journal, people: self.people(&live.room) };
        reader.page(from, count.min(LONGEST_PAGE))
    }

    /// Looks through what was said, on another thread.
    pub(in super::super) fn search(
        &self,
        text: String,
        within: Option<ConversationId>,
        answer: oneshot::Sender<Vec<SearchHit>>,
    ) {
        let rooms: Vec<_> = self
            .rooms
            .values()
            .filter(|live| within.is_none_or(|id| id == live.room.id()))
            .map(|live| live.room.clone())
            .collect();
        let (journal, me, archive) = (self.journal.clone(), self.me(), self.config.archive);
        tokio::task::spawn_blocking(move || {
            let mut hits = Vec::new();
            for room in rooms.iter().filter(|_| !text.trim().is_empty()) {
                let reader = Reader { journal: &journal, people: People { room, me, archive } };
                let found = journal.search(room, text.trim(), MOST_HITS).unwrap_or_default();
                hits.extend(found.into_iter().map(|(place, item)| SearchHit {
                    conversation_id: room.id().to_string(),
                    title: reader.people.title(),
                    message: reader.message(place, item),
                }));
            }
            hits.sort_by_key(|hit| std::cmp::Reverse(hit.message.sent_at));
            hits.truncate(MOST_HITS);
            let _ = answer.send(hits);
        });
    }
}

/// Who is called what.
#[derive(Clone, Copy)]
pub(super) struct People<'a> {
    room: &'a Room,
    me: UserId,
    archive: Option<UserId>,
}

impl People<'_> {
    /// Somebody's name; whoever the server does not name is shown by the beginning of their id.
    pub(super) fn name(&self, user: UserId) -> String {
        let known = self.room.server.participants.iter().find(|person| person.id == user);
        known
            .map_or_else(|| user.to_string().chars().take(8).collect(), |person| person.name.reveal().clone())
    }

    pub(super) fn title(&self) -> String {
        if let Some(title) = &self.room.title
            && self.room.server.kind == ConversationKind::Group
        {
            return title.reveal().clone();
        }
        let names: Vec<_> = self.others().map(|user| self.name(user)).collect();
        names.join(", ")
    }

    /// Whom one talks with: the archive only keeps records.
    pub(super) fn others(&self) -> impl Iterator<Item = UserId> {
        let everybody = self.room.server.participants.iter().map(|person| person.id);
        let talks = move |user: &UserId| match self.room.peer {
            Some(peer) => *user == peer,
            None => *user != self.me && Some(*user) != self.archive,
        };
        everybody.filter(talks)
    }
}

/// One conversation's list, being read.
struct Reader<'a> {
    journal: &'a Journal,
    people: People<'a>,
}

impl Reader<'_> {
    fn page(&self, from: u32, wanted: u32) -> MessagePage {
        let room = self.people.room;
        let shown: Vec<_> = room.waiting.iter().filter(|waiting| waiting.is_shown()).collect();
        let items = self.journal.items(room.id(), room.total, from, wanted).unwrap_or_default();
        let mut items: Vec<_> = items.into_iter().map(|(place, item)| self.message(place, item)).collect();
        for (place, waiting) in (room.total..).zip(&shown) {
            if place >= from && count(items.len()) < wanted {
                items.extend(self.waiting(place, waiting));
            }
        }
        MessagePage { from, total: room.total + count(shown.len()), revision: room.revision, items }
    }

    fn message(&self, place: u32, item: Item) -> MessageView {
        let own = item.sender == self.people.me;
        let told = own && item.content.is_message();
        let room = self.people.room.id();
        let receipts =
            if told { self.journal.receipts(room, item.id).unwrap_or_default() } else { Vec::new() };
        MessageView {
            id: item.id.to_string(),
            index: place,
            sender_id: item.sender.to_string(),
            sender_name: self.people.name(item.sender),
            own,
            sent_at: item.sent_at,
            edited: item.edited,
            reply_to: item.reply_to.map(|id| self.reply(id)),
            in_call: item.call.is_some(),
            unchecked: item.unchecked,
            state: if own { self.progress(&receipts) } else { MessageState::Received },
            receipts: receipts.iter().map(|receipt| self.receipt(receipt)).collect(),
            content: self.content(item.content),
        }
    }

    fn content(&self, content: Content) -> MessageContent {
        let name = |user| self.people.name(user);
        let event = match content {
            Content::Text(text) => return MessageContent::Text { text: text.into_inner() },
            Content::File { file, saved } => {
                let saved = saved.map(Pii::into_inner);
                return MessageContent::File { file: file_view(&file, saved) };
            }
            Content::Deleted => return MessageContent::Deleted,
            Content::DeviceJoined { user, by_itself } => {
                Happening::DeviceJoined { name: name(user), by_itself }
            }
            Content::DeviceLeft { user } => Happening::DeviceLeft { name: name(user) },
            Content::Rejoined => Happening::Rejoined,
            Content::Missing { user, count } => Happening::Missing { name: name(user), count },
            Content::Refused { count } => Happening::Refused { count },
            Content::Verified => Happening::Verified,
            Content::KeyChanged { user } => Happening::KeyChanged { name: name(user) },
            Content::Renamed(title) => Happening::Renamed { title: title.into_inner() },
            Content::SeveralDevices { user, count } => {
                Happening::SeveralDevices { name: name(user), own: user == self.people.me, count }
            }
            Content::ArchiveChanged { present } => Happening::ArchiveChanged { present },
        };
        MessageContent::Event { event }
    }

    /// A message that is not in the log yet.
    fn waiting(&self, place: u32, waiting: &Waiting) -> Option<MessageView> {
        let (content, reply_to, call, sent_at) = match &waiting.body {
            Body::Text { text, reply_to, call, sent_at } => {
                (MessageContent::Text { text: text.clone() }, *reply_to, call, sent_at)
            }
            Body::File { file, call, sent_at } => {
                (MessageContent::File { file: file_view(file, None) }, None, call, sent_at)
            }
            _ => return None,
        };
        Some(MessageView {
            id: waiting.id.to_string(),
            index: place,
            sender_id: self.people.me.to_string(),
            sender_name: self.people.name(self.people.me),
            own: true,
            sent_at: *sent_at,
            content,
            edited: false,
            reply_to: reply_to.map(|id| self.reply(id)),
            in_call: call.is_some(),
            unchecked: false,
            state: MessageState::Queued,
            receipts: Vec::new(),
        })
    }

    fn reply(&self, id: uuid::Uuid) -> ReplyView {
        let place = self.journal.place(self.people.room.id(), id).ok().flatten();
        let item = place.and_then(|place| self.journal.item(self.people.room.id(), place).ok().flatten());
        let text = item.as_ref().map(|item| excerpt(item.content.line().0.reveal()));
        ReplyView {
            id: id.to_string(),
            index: place,
            sender_name: item.map(|item| self.people.name(item.sender)).unwrap_or_default(),
            excerpt: text.unwrap_or_default(),
        }
    }

    fn receipt(&self, receipt: &Receipt) -> ReceiptView {
        ReceiptView {
            name: self.people.name(receipt.user),
            device_id: receipt.device.to_string(),
            read: receipt.read,
        }
    }

    /// How far one's own message came: as far as with the person who is the furthest behind.
    fn progress(&self, receipts: &[Receipt]) -> MessageState {
        let by = |user: UserId| {
            let theirs = receipts.iter().filter(|receipt| receipt.user == user);
            let states =
                theirs.map(|one| if one.read { MessageState::Read } else { MessageState::Delivered });
            states.max().unwrap_or(MessageState::Sent)
        };
        self.people.others().map(by).min().unwrap_or(MessageState::Sent)
    }
}

/// A file; its picture is made anew from what its sender made.
fn file_view(file: &SharedFile, saved: Option<String>) -> FileView {
    FileView {
        name: file.name.clone(),
        bytes: file.bytes,
        media_type: file.media_type.clone(),
        preview: file.preview.as_deref().and_then(preview::shown),
        saved,
        expires_at: match file.source {
            FileSource::Attachment { expires_at, .. } => Some(expires_at),
            FileSource::Direct { .. } => None,
        },
    }
}

pub(super) fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= EXCERPT_CHARS {
        return line;
    }
    let mut short: String = line.chars().take(EXCERPT_CHARS - 1).collect();
    short.push('…');
    short
}
