//! Conversations and messages as the window shows them.

use bedside_e2ee::PublicIdentity;
use bedside_protocol::{ConversationId, ConversationKind, Pii, Timestamp, UserId};
use bedside_ui_contract::{
    call::Protection,
    chat::{
        ChatEvent as Happening, ChatView, ConversationState, ConversationView, FileView, KeyChangeView,
        MemberDeviceView, MemberView, MessageContent, MessagePage, MessageState, MessageView, PreviewView,
        ReceiptView, ReplyView, SearchHit,
    },
};
use tokio::sync::oneshot;

use super::{Live, Membership, Worker};
use crate::chat::{
    ChatEvent,
    body::Body,
    journal::{Content, Item, Journal, KeyChange, Receipt, Room, Waiting},
};
use crate::transfer::{FileSource, SharedFile, preview};

/// The longest stretch of a list that is read at once, items.
const LONGEST_PAGE: u32 = 500;
/// The most messages that a search finds.
const MOST_HITS: usize = 100;
/// What of a message is shown where it is answered or listed, characters.
const EXCERPT_CHARS: usize = 120;

impl Worker {
    /// Shows what has changed, if anything has.
    pub(super) fn publish(&self) {
        let view = self.view();
        let changed = self.shown.send_if_modified(|shown| {
            let changed = *shown != view;
            if changed {
                *shown = view;
            }
            changed
        });
        if changed {
            let _ = self.events.send(ChatEvent::Changed);
        }
    }

    fn view(&self) -> ChatView {
        let mut rooms: Vec<_> = self.rooms.values().collect();
        let now = crate::clock::now();
        rooms.sort_by_key(|live| std::cmp::Reverse(last_activity(&live.room, now)));
        let mut installations = self.installations.clone();
        // What the server no longer lists and is in a group all the same is still there for this person.
        for unlisted in self.revocations.views() {
            match installations.iter_mut().find(|listed| listed.device_id == unlisted.device_id) {
                Some(listed) => listed.revoking = unlisted.revoking,
                None => installations.push(unlisted),
            }
        }
        for installation in &mut installations {
            let leaving = rooms.iter().filter(|live| {
                live.members.iter().any(|member| {
                    self.revocations.contains(member.device)
                        && member.device.to_string() == installation.device_id
                })
            });
            installation.leaving = count(leaving.count());
        }
        let listed = self.installations.len();
        let mut place = 0;
        installations.retain(|one| {
            place += 1;
            place <= listed || one.leaving > 0 || one.revoking
        });
        ChatView {
            vault: self.vault_view(),
            conversations: rooms.into_iter().map(|live| self.conversation_view(live)).collect(),
            loaded: self.loaded || !self.rooms.is_empty(),
            installations,
            transfers: self.transfers.views(),
        }
    }

    fn conversation_view(&self, live: &Live) -> ConversationView {
        let room = &live.room;
        let people = self.people(room);
        let peer = (room.server.kind == ConversationKind::Direct).then_some(room.peer).flatten();
        let state = self.state(live);
        ConversationView {
            id: room.id().to_string(),
            kind: room.server.kind,
            title: people.title(),
            peer_id: peer.map(|user| user.to_string()),
            members: self.members(live),
            preview: room.preview.as_ref().map(|preview| PreviewView {
                own: preview.sender == self.me(),
                sender_name: people.name(preview.sender),
                text: excerpt(preview.text.reveal()),
                file: preview.file,
                at: preview.at,
            }),
            unread: room.unread,
            total: room.total + count(room.waiting.iter().filter(|waiting| waiting.is_shown()).count()),
            revision: room.revision,
            waiting: count(room.waiting.iter().filter(|waiting| waiting.is_shown()).count()),
            typing: live.typing.keys().map(|user| people.name(*user)).collect(),
            state,
            protection: match state {
                ConversationState::Ready if room.verified && self.all_checked(live) => Protection::Verified,
                ConversationState::Ready | ConversationState::Blocked => Protection::Encrypted,
                ConversationState::Preparing
                | ConversationState::Removed
                | ConversationState::Rejoining
                | ConversationState::PushedOut => Protection::Pending,
            },
            check_code: self.code(live).cloned(),
            changed: self.key_changes(live),
        }
    }

    /// What blocks a conversation until the person has looked at it.
    pub(super) fn key_changes(&self, live: &Live) -> Vec<KeyChangeView> {
        let people = self.people(&live.room);
        let devices = |user: UserId| {
            let unchecked = |member: &&PublicIdentity| member.user == user && !self.checked(live, member);
            live.members.iter().filter(unchecked).map(fingerprint).collect()
        };
        let view = |change: &KeyChange| KeyChangeView {
            name: people.name(change.user),
            own: change.user == self.me() && !change.archive,
            archive: change.archive,
            at: change.at,
            fingerprints: devices(change.user),
        };
        live.room.changed.iter().map(view).collect()
    }

    fn state(&self, live: &Live) -> ConversationState {
        if live.room.removed {
            ConversationState::Removed
        } else if !live.room.changed.is_empty() {
            ConversationState::Blocked
        } else if live.pushed_out && live.membership == Membership::Outside {
            ConversationState::PushedOut
        } else if live.rejoining || live.membership == Membership::Joining {
            ConversationState::Rejoining
        } else if live.is_ready(self.me()) {
            ConversationState::Ready
        } else {
            ConversationState::Preparing
        }
    }

    const fn people<'a>(&self, room: &'a Room) -> People<'a> {
        People { room, me: self.config.me.id, archive: self.config.archive }
    }

    /// What one's own device is called, where the server lists it.
    fn device_name(&self, device: &PublicIdentity) -> Option<String> {
        let id = device.device.to_string();
        let listed = self.installations.iter().find(|one| one.device_id == id && device.user == self.me());
        listed.map(|one| one.name.clone())
    }

    /// Everybody who takes part, by the server's list or by the group's, oneself first.
    fn members(&self, live: &Live) -> Vec<MemberView> {
        let people = self.people(&live.room);
        let mut users: Vec<UserId> = live.room.server.participants.iter().map(|person| person.id).collect();
        for member in &live.members {
            if !users.contains(&member.user) {
                users.push(member.user);
            }
        }
        users.sort_by_key(|user| *user != self.me());
        let view = |user: UserId| {
            let devices: Vec<_> = live.members.iter().filter(|member| member.user == user).collect();
            MemberView {
                user_id: user.to_string(),
                name: people.name(user),
                own: user == self.me(),
                archive: self.is_archive(live, user),
                verified: !devices.is_empty() && devices.iter().all(|device| self.checked(live, device)),
                devices: devices
                    .into_iter()
                    .map(|device| MemberDeviceView {
                        device_id: device.device.to_string(),
                        fingerprint: fingerprint(device),
                        verified: self.checked(live, device),
                        current: device.device == self.own_device(),
                        name: self.device_name(device),
                    })
                    .collect(),
            }
        };
        users.into_iter().map(view).collect()
    }

    pub(super) fn page(&self, id: ConversationId, from: u32, count: u32) -> MessagePage {
        let Some(live) = self.rooms.get(&id) else { return MessagePage::default() };
        let reader = Reader { journal: &self.journal, people: self.people(&live.room) };
        reader.page(from, count.min(LONGEST_PAGE))
    }

    /// Looks through what was said, on another thread.
    pub(super) fn search(
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
struct People<'a> {
    room: &'a Room,
    me: UserId,
    archive: Option<UserId>,
}

impl People<'_> {
    /// Somebody's name; whoever the server does not name is shown by the beginning of their id.
    fn name(&self, user: UserId) -> String {
        let known = self.room.server.participants.iter().find(|person| person.id == user);
        known
            .map_or_else(|| user.to_string().chars().take(8).collect(), |person| person.name.reveal().clone())
    }

    fn title(&self) -> String {
        if let Some(title) = &self.room.title
            && self.room.server.kind == ConversationKind::Group
        {
            return title.reveal().clone();
        }
        let names: Vec<_> = self.others().map(|user| self.name(user)).collect();
        names.join(", ")
    }

    /// Whom one talks with: the archive only keeps records.
    fn others(&self) -> impl Iterator<Item = UserId> {
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
        let receipts =
            if own && item.content.is_message() { self.receipts(item.position) } else { Vec::new() };
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
            state: if own { self.progress(item.position) } else { MessageState::Received },
            receipts,
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

    /// Which devices of others have the entry at a position.
    fn receipts(&self, position: u64) -> Vec<ReceiptView> {
        let has = |receipt: &Receipt| receipt.delivered > position || receipt.read > position;
        let others = self
            .people
            .room
            .receipts
            .iter()
            .filter(|(_, (user, receipt))| *user != self.people.me && has(receipt));
        others
            .map(|(device, (user, receipt))| ReceiptView {
                name: self.people.name(*user),
                device_id: device.to_string(),
                read: receipt.read > position,
            })
            .collect()
    }

    /// How far one's own message came: as far as with the person who is the furthest behind.
    fn progress(&self, position: u64) -> MessageState {
        let by = |user: UserId| {
            let theirs =
                self.people.room.receipts.values().filter(|(of, _)| *of == user).map(|(_, receipt)| receipt);
            theirs.fold(MessageState::Sent, |state, receipt| {
                if receipt.read > position {
                    MessageState::Read
                } else if receipt.delivered > position {
                    state.max(MessageState::Delivered)
                } else {
                    state
                }
            })
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

/// When something last happened in a conversation, for the order of the list. A time that has not come is nobody's.
fn last_activity(room: &Room, now: Timestamp) -> Timestamp {
    let said = room.preview.as_ref().map(|preview| preview.at);
    let times = [said, room.server.last_message_at, Some(room.server.created_at)];
    times.into_iter().flatten().find(|at| *at <= now).unwrap_or_default()
}

/// The beginning of a key's fingerprint, for comparing by experts.
pub(super) fn fingerprint(identity: &PublicIdentity) -> String {
    let digits: Vec<String> = identity
        .fingerprint()
        .chunks(2)
        .take(8)
        .map(|pair| format!("{:02x}{:02x}", pair[0], pair[1]))
        .collect();
    digits.join(" ")
}

fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= EXCERPT_CHARS {
        return line;
    }
    let mut short: String = line.chars().take(EXCERPT_CHARS - 1).collect();
    short.push('…');
    short
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use bedside_protocol::Conversation;

    use super::*;
    use crate::chat::journal::Preview;

    #[test]
    fn a_time_that_has_not_come_keeps_no_conversation_on_top() {
        let at = |created_at, last_message_at, preview: Option<i64>| {
            let mut room = Room::new(Conversation {
                id: ConversationId::random(),
                kind: ConversationKind::Direct,
                participants: Vec::new(),
                created_at: Timestamp(created_at),
                founded: true,
                epoch: 1,
                first_position: 0,
                next_position: 0,
                last_message_at: Some(Timestamp(last_message_at)),
            });
            let (id, sender) = (uuid::Uuid::nil(), UserId::random());
            let shown = |at| Preview { id, sender, text: Pii::default(), at: Timestamp(at), file: false };
            room.preview = preview.map(shown);
            last_activity(&room, Timestamp(1_000)).0
        };
        assert_eq!(at(10, 500, Some(400)), 400);
        assert_eq!(at(10, 500, Some(i64::MAX)), 500);
        assert_eq!(at(10, i64::MAX, Some(1_001)), 10);
        assert_eq!(at(i64::MAX, i64::MAX, None), 0);
    }
}
