//! Conversations as the server knows them: who takes part, and one numbered log of sealed entries each.
//!
//! The server is the delivery service of MLS (RFC 9420 §2, RFC 9750 §5): it orders entries, takes at most one commit
//! per epoch, keeps welcomes until their commit is in the log, and hands out key packages. It reads none of it.

use serde::{Deserialize, Serialize};

use crate::{
    CallId, ConversationId, DeviceId, DeviceType, EntryId, Pii, Sealed, Secret, Timestamp, UserId,
    user::UserProfile,
};

/// The longest entry that travels inside a socket frame; longer ones are fetched, bytes.
pub const MAX_INLINE_ENTRY_BYTES: usize = 32 * 1024;
/// The longest entry, welcome or group information the server takes, bytes.
pub const MAX_ENTRY_BYTES: usize = 1024 * 1024;
/// Key packages that are taken at once.
pub const MAX_KEY_PACKAGES: usize = 100;
/// People in one conversation.
pub const MAX_PARTICIPANTS: usize = 50;

/// Between two people or among several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// Two people; there is one per pair.
    Direct,
    /// Several people.
    Group,
}

/// `POST /api/conversations`. For a direct one that exists already, that one is the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateConversation {
    /// Direct or group.
    pub kind: ConversationKind,
    /// Everybody but the one who asks; each has to be a contact of theirs.
    pub participants: Vec<UserId>,
}

/// A conversation, as the server knows it: an entry of `GET /api/conversations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conversation {
    /// The conversation, and the name of its MLS group (the UUID's 16 bytes).
    pub id: ConversationId,
    /// Direct or group.
    pub kind: ConversationKind,
    /// Who takes part, the one who asks included.
    pub participants: Vec<UserProfile>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether somebody has founded its MLS group.
    pub founded: bool,
    /// The log's epoch.
    pub epoch: u64,
    /// The first position that is still kept: what all devices have, or what is too old, is deleted.
    pub first_position: u64,
    /// The position that the next entry will get; the first one gets 0.
    pub next_position: u64,
    /// When the newest message came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message_at: Option<Timestamp>,
}

/// What an entry of a log is for, as far as the server knows: for routing, keeping and counting, not for trusting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A message, an edit, a deletion, a file.
    Message,
    /// "Has arrived on this device."
    Delivered,
    /// "Has been seen."
    Read,
    /// An SDP offer.
    Offer,
    /// An SDP answer.
    Answer,
    /// ICE candidates.
    Ice,
    /// A change of the group.
    Commit,
    /// The group was founded anew here: what follows is of the new one.
    Founded,
}

impl EntryKind {
    /// Whether it sets up or changes the connection of a call.
    #[must_use]
    pub const fn is_signaling(self) -> bool {
        matches!(self, EntryKind::Offer | EntryKind::Answer | EntryKind::Ice)
    }

    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EntryKind::Message => "message",
            EntryKind::Delivered => "delivered",
            EntryKind::Read => "read",
            EntryKind::Offer => "offer",
            EntryKind::Answer => "answer",
            EntryKind::Ice => "ice",
            EntryKind::Commit => "commit",
            EntryKind::Founded => "founded",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [
            EntryKind::Message,
            EntryKind::Delivered,
            EntryKind::Read,
            EntryKind::Offer,
            EntryKind::Answer,
            EntryKind::Ice,
            EntryKind::Commit,
            EntryKind::Founded,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == name)
    }
}

/// What a message is, for clients that tell the server; Bedside's own always says `text`, the truth is sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Text.
    #[default]
    Text,
    /// A picture.
    Image,
    /// Any file.
    File,
    /// Spoken.
    VoiceNote,
    /// A prescription.
    Prescription,
    /// A report.
    Report,
}

/// An entry for a conversation's log: `chat:message`, `chat:delivered`, `chat:read`, `webrtc:offer`, `webrtc:answer`,
/// `webrtc:ice`, and the body of `POST /api/conversations/{id}/send-message` (there `conversation_id` may be absent).
/// Answer: [`Appended`]. Refused with `stale_epoch` when the log is in another epoch.
///
/// The same `id` of the same device again appends nothing and gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Append {
    /// Which conversation.
    pub conversation_id: ConversationId,
    /// Chosen by the device for this ciphertext.
    pub id: EntryId,
    /// The epoch it is sealed for.
    pub epoch: u64,
    /// How far this device has read: the first position that it does not have. Where the group was founded anew after that,
    /// the answer is `stale_epoch` too.
    #[serde(default)]
    pub next_position: u64,
    /// The sealed entry: an MLS private message.
    pub body: Sealed,
    /// What it is, if the client tells.
    #[serde(default)]
    pub message_type: MessageType,
    /// The call it belongs to; for `webrtc:*` it must be one in which this device takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<CallId>,
    /// For `webrtc:*`: the token with which this device enters the call's room, from the call's ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_token: Option<Secret>,
}

/// Where an entry went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Appended {
    /// Its place in the log.
    pub position: u64,
    /// When the server took it.
    pub at: Timestamp,
}

/// An entry of a log: an event of the same name as the request it came with (`group:commit` for commits, `group:founded`
/// where the group was founded anew; its body says nothing), and an item of
/// `GET /api/conversations/{id}/messages?from=<position>`, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogEntry {
    /// Which conversation.
    pub conversation_id: ConversationId,
    /// Its place in the log; without gaps.
    pub position: u64,
    /// As in [`Append`].
    pub id: EntryId,
    /// The epoch it is sealed for.
    pub epoch: u64,
    /// What it is for.
    pub kind: EntryKind,
    /// Whose device it came from, as the server says. The truth is inside.
    pub from_user: UserId,
    /// The device it came from, as the server says.
    pub from_device: DeviceId,
    /// The call it belongs to, as the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<CallId>,
    /// When the server took it.
    pub at: Timestamp,
    /// The sealed entry; absent in an event when it is longer than [`MAX_INLINE_ENTRY_BYTES`]: fetch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Sealed>,
}

/// `POST /api/conversations/{id}/found`: its MLS group, with the one who asks as its only member. Epoch 0. Answer:
/// [`Founded`]. Refused with `group_exists` when somebody was first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FoundGroup {
    /// What a device needs to join from outside.
    pub group_info: Sealed,
    /// To found the group anew, because the log's group information leads nowhere: its `position`. Only the newest can be
    /// replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
}

/// Where a group that was founded begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Founded {
    /// The position of the first entry that is its own: 0, or the one after the entry that tells of the founding.
    pub position: u64,
}

/// `POST /api/conversations/{id}/commits`: a change of the group. Ends the epoch. Answer: [`Appended`], or
/// `stale_epoch` when another change came first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AppendCommit {
    /// Chosen by the device for this ciphertext.
    pub id: EntryId,
    /// The epoch it ends.
    pub epoch: u64,
    /// As in [`Append`].
    #[serde(default)]
    pub next_position: u64,
    /// The commit.
    pub body: Sealed,
    /// For the devices it adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcome: Option<Sealed>,
    /// The devices it adds, which get the welcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub welcome_for: Vec<DeviceId>,
    /// What a device needs to join from outside in the epoch that begins.
    pub group_info: Sealed,
}

/// `GET /api/conversations/{id}/group-info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupInfo {
    /// The epoch it is of.
    pub epoch: u64,
    /// Where to go on reading: after the commit it came with, or with the first entry that is still kept.
    pub position: u64,
    /// The MLS group information.
    pub group_info: Sealed,
}

/// A welcome that waits for this device: an event, and an item of `GET /api/welcomes`. Deleted by
/// `DELETE /api/welcomes/{id}` once the device has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingWelcome {
    /// The welcome.
    pub id: EntryId,
    /// Which conversation, as the server says.
    pub conversation_id: ConversationId,
    /// The position of the log entry after the commit it came with.
    pub position: u64,
    /// The MLS welcome; absent in an event when longer than [`MAX_INLINE_ENTRY_BYTES`]: fetch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcome: Option<Sealed>,
}

/// `PUT /api/key-packages`: more key packages of this device. Answer: [`KeyPackagesLeft`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishKeyPackages {
    /// Each is handed out once.
    pub packages: Vec<Sealed>,
    /// Handed out when no other is left; replaces the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_resort: Option<Sealed>,
    /// Throw away what is there: the device has lost the keys to it.
    #[serde(default)]
    pub replace: bool,
}

/// How many key packages of this device the server still has: answer to publishing, and to `GET /api/key-packages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyPackagesLeft {
    /// Beside the last resort.
    pub left: usize,
    /// Whether there is a last resort.
    pub last_resort: bool,
}

/// One device's key package: an item of the answer to `POST /api/users/{user_id}/key-packages/claim`, which gives one
/// for each device of a contact (or of one's own, but for the one asking) that has any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClaimedKeyPackage {
    /// Whose device it is, as the server says. The truth is inside.
    pub device_id: DeviceId,
    /// The MLS key package.
    pub key_package: Sealed,
}

/// `chat:typing`, a request and an event: somebody writes. Not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Typing {
    /// Where.
    pub conversation_id: ConversationId,
    /// To the server: ignored. From the server: the device it came from, as the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_device: Option<DeviceId>,
    /// Whether they write, sealed with a key of the group's epoch.
    pub body: Sealed,
}

/// `chat:ack`: this device has everything before `next_position` on its disk; the server need not keep it for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Acknowledge {
    /// Where.
    pub conversation_id: ConversationId,
    /// The first position that it does not have.
    pub next_position: u64,
}

/// A device of one's own: an item of `GET /api/devices`. `PATCH /api/devices/{id}` with [`RenameDevice`] names it;
/// `DELETE /api/devices/{id}` revokes it: its sign-ins end, its key packages are gone, and it never comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnDevice {
    /// The device.
    pub id: DeviceId,
    /// "Ana's laptop".
    #[serde(deserialize_with = "Pii::name")]
    pub name: Pii<String>,
    /// Its kind.
    pub device_type: DeviceType,
    /// When it signed in first.
    pub created_at: Timestamp,
    /// When its sign-in was last used; absent when it is signed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// Whether it is the one asking.
    pub current: bool,
}

/// A new name for a device, 1 to 60 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenameDevice {
    /// The name.
    pub name: Pii<String>,
}
