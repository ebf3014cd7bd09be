//! Conversations as the window shows them.

mod messages;

use bedside_e2ee::PublicIdentity;
use bedside_protocol::{ConversationKind, Timestamp, UserId};
use bedside_ui_contract::{
    call::Protection,
    chat::{
        ChatView, ConversationState, ConversationView, KeyChangeView, MemberDeviceView, MemberView,
        PreviewView,
    },
};

use super::{Live, Membership, Worker};
use crate::chat::{
    ChatEvent,
    journal::{KeyChange, Room},
};
use messages::excerpt;

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
                | ConversationState::PushedOut => Protection::Unprotected,
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
fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use bedside_protocol::{Conversation, ConversationId, Pii};

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
