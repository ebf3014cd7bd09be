//! Conversations, files, devices and who has been checked, as the window shows them.
//!
//! The snapshot holds what fits on the list of conversations; messages are fetched by their place in the list
//! ([`MessagePage`]), so that fifty thousand of them cost nothing until somebody looks.

use bedside_protocol::{ConversationKind, DeviceType, Timestamp};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::call::Protection;

/// Everything about messages that is part of the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ChatView {
    /// Whether the local store can be used, and what is to be done where it can't.
    pub vault: VaultView,
    /// Newest first.
    pub conversations: Vec<ConversationView>,
    /// Whether `conversations` has been fetched at least once.
    pub loaded: bool,
    /// One's own installations, this one first; fetched by [`crate::Command::LoadInstallations`].
    pub installations: Vec<InstallationView>,
    /// Files under way, and those that stopped; newest first.
    pub transfers: Vec<TransferView>,
}

/// Where keys and messages are kept on this computer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum VaultView {
    /// Nobody is signed in, or it is being opened.
    #[default]
    Closed,
    /// Open, its key in the system's keyring.
    Keyring,
    /// Open, its key under a passphrase.
    Passphrase,
    /// Open, and gone when the app is closed: there is no keyring, and no passphrase was chosen. Offer one.
    Temporary,
    /// There is a passphrase, and it has not been given yet.
    Locked {
        /// The last one was wrong.
        wrong: bool,
        /// One was given, and is being tried.
        unlocking: bool,
    },
    /// The store on disk is damaged; messages are not kept.
    Broken,
    /// The store can't be written at the moment, perhaps because the disk is full: nothing is sent or received until it
    /// can. It is tried again by itself.
    Unwritable,
}

/// A conversation in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ConversationView {
    /// The conversation.
    pub id: String,
    /// Between two or among several.
    pub kind: ConversationKind,
    /// The other person's name, or the group's.
    pub title: String,
    /// The other person's id, for a direct one.
    pub peer_id: Option<String>,
    /// Who is in it, oneself first.
    pub members: Vec<MemberView>,
    /// The newest message.
    pub preview: Option<PreviewView>,
    /// Messages of others that were not read.
    pub unread: u32,
    /// How many messages its list has.
    pub total: u32,
    /// Grows whenever anything in its list changes: fetch the visible ones anew.
    pub revision: u32,
    /// Messages that wait for the network.
    pub waiting: u32,
    /// Who writes at this moment, by name.
    pub typing: Vec<String>,
    /// What can be done in it.
    pub state: ConversationState,
    /// How it is protected.
    pub protection: Protection,
    /// What to compare, once computed: asked for by [`crate::Command::ShowCheckCode`]. Absent while a device of one's
    /// own is in it that was not accepted ([`crate::Command::AcceptOwnDevices`]): whoever reads the code out vouches
    /// for their own devices.
    pub check_code: Option<CheckCodeView>,
    /// Keys that changed after this conversation was verified, by name of the person: nothing is sent, and no call
    /// begins, until [`crate::Command::AcknowledgeKeyChange`] or a new check.
    pub changed: Vec<KeyChangeView>,
}

/// What can be done in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ConversationState {
    /// Its keys are being agreed on; what is written waits.
    Preparing,
    /// Everything.
    Ready,
    /// A verified person's keys changed; see `changed`.
    Blocked,
    /// This device was removed from it.
    Removed,
    /// Its keys on this device are damaged or left behind: it is being joined again.
    Rejoining,
    /// It was pushed out too often to be joined again at once; that happens within half an hour.
    PushedOut,
}

/// Somebody in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MemberView {
    /// Their id.
    pub user_id: String,
    /// Their name.
    pub name: String,
    /// Oneself.
    pub own: bool,
    /// The clinic's archive.
    pub archive: bool,
    /// All their devices were checked.
    pub verified: bool,
    /// Their devices that can read along.
    pub devices: Vec<MemberDeviceView>,
}

/// A device that can read along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MemberDeviceView {
    /// The device.
    pub device_id: String,
    /// The beginning of its key's fingerprint, base16 in groups of four.
    pub fingerprint: String,
    /// Its key was checked; one's own other device: accepted as one's own.
    pub verified: bool,
    /// The one that shows this.
    pub current: bool,
    /// What one's own device is called in [`ChatView::installations`]; absent where it is not listed there.
    pub name: Option<String>,
}

/// A key that changed after it was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct KeyChangeView {
    /// Whose.
    pub name: String,
    /// Oneself: another device claims to be this person's own.
    pub own: bool,
    /// The server says that another account is the clinic's archive, or none.
    pub archive: bool,
    /// When it was noticed.
    pub at: Timestamp,
    /// The [`MemberDeviceView::fingerprint`] of each device of theirs that nobody has checked.
    pub fingerprints: Vec<String>,
}

/// What two people compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct CheckCodeView {
    /// Seven pictures with the keys of their names in the message catalogue.
    pub emoji: Vec<CheckEmojiView>,
    /// Three groups of four digits.
    pub digits: Vec<String>,
}

/// One picture of a check code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct CheckEmojiView {
    /// The picture.
    pub symbol: String,
    /// Its English name.
    pub name: String,
}

/// The newest message, in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PreviewView {
    /// Oneself wrote it.
    pub own: bool,
    /// Who wrote it.
    pub sender_name: String,
    /// The text, or a file's name; empty for what was deleted.
    pub text: String,
    /// It is a file.
    pub file: bool,
    /// When it was written.
    pub at: Timestamp,
}

/// A stretch of a conversation's list: the answer to the query `messages`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MessagePage {
    /// Place of the first one; the oldest message has 0.
    pub from: u32,
    /// How many the list has.
    pub total: u32,
    /// The list's revision when this was read.
    pub revision: u32,
    /// Oldest first.
    pub items: Vec<MessageView>,
}

/// A message, or something that happened in the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MessageView {
    /// The message; a UUID.
    pub id: String,
    /// Its place in the list.
    pub index: u32,
    /// Who wrote it or did it.
    pub sender_id: String,
    /// Their name.
    pub sender_name: String,
    /// Oneself, on whatever device.
    pub own: bool,
    /// When it was written, by the writer's clock.
    pub sent_at: Timestamp,
    /// What it is.
    pub content: MessageContent,
    /// It was changed by its writer.
    pub edited: bool,
    /// What it answers.
    pub reply_to: Option<ReplyView>,
    /// It was written in a call.
    pub in_call: bool,
    /// Keys had been compared here, and the key of the device that it came from had not.
    pub unchecked: bool,
    /// How far one's own message came.
    pub state: MessageState,
    /// Who has it: one line per device of others, for one's own messages.
    pub receipts: Vec<ReceiptView>,
}

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MessageContent {
    /// Text.
    Text {
        /// As it was written, or changed to.
        text: String,
    },
    /// A file.
    File {
        /// The file.
        file: FileView,
    },
    /// Deleted by its writer.
    Deleted,
    /// Something happened.
    Event {
        /// What.
        event: ChatEvent,
    },
}

/// What happens in a conversation beside messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum ChatEvent {
    /// A device of this person reads along from here on.
    DeviceJoined {
        /// Whose.
        name: String,
        /// It let itself in, as a user's new device does.
        by_itself: bool,
    },
    /// A device of this person reads along no longer.
    DeviceLeft {
        /// Whose.
        name: String,
    },
    /// This device came back after it had lost its keys; what was said meanwhile can't be read.
    Rejoined,
    /// Messages of this person never arrived: the server withheld them, or lost them.
    Missing {
        /// Whose.
        name: String,
        /// How many.
        count: u32,
    },
    /// Entries that could not be accepted: damaged, repeated or forged.
    Refused {
        /// How many in a row.
        count: u32,
    },
    /// The code was compared and was right.
    Verified,
    /// A checked key changed.
    KeyChanged {
        /// Whose.
        name: String,
    },
    /// The group got a name.
    Renamed {
        /// The name.
        title: String,
    },
    /// This person is here with more than one device: said where this device comes in.
    SeveralDevices {
        /// Whose.
        name: String,
        /// One's own.
        own: bool,
        /// How many.
        count: u32,
    },
    /// The server says that another account is the clinic's archive from here on.
    ArchiveChanged {
        /// There is one.
        present: bool,
    },
}

/// How far one's own message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Waits for the network, on disk.
    Queued,
    /// The server has it.
    Sent,
    /// It is on a device of every other person.
    Delivered,
    /// Every other person has seen it.
    Read,
    /// Somebody else's.
    Received,
}

/// One device that has a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ReceiptView {
    /// Whose device.
    pub name: String,
    /// The device.
    pub device_id: String,
    /// It was seen there, too.
    pub read: bool,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ReplyView {
    /// The message.
    pub id: String,
    /// Its place in the list, if it is there.
    pub index: Option<u32>,
    /// Who wrote it.
    pub sender_name: String,
    /// Its beginning.
    pub excerpt: String,
}

/// A file in a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct FileView {
    /// Its name, made safe.
    pub name: String,
    /// Its length, bytes.
    pub bytes: u64,
    /// Its media type by the sender's word.
    pub media_type: String,
    /// A small picture of it, as a `data:image/png` address.
    pub preview: Option<String>,
    /// Where it is on this computer, once received or as sent from here.
    pub saved: Option<String>,
    /// When the server deletes it.
    pub expires_at: Option<Timestamp>,
}

/// A file under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TransferView {
    /// For pausing, resuming, cancelling.
    pub id: String,
    /// The conversation.
    pub conversation_id: String,
    /// The message it belongs to; an upload's message appears when it is complete.
    pub message_id: String,
    /// The file's name.
    pub name: String,
    /// From here.
    pub outgoing: bool,
    /// Straight to the other person in a call, not through the server.
    pub direct: bool,
    /// Bytes of content.
    pub bytes: u64,
    /// Bytes of content that are done.
    pub done: u64,
    /// How it stands.
    pub state: TransferState,
}

/// How a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TransferState {
    /// Bytes flow.
    Running,
    /// The person stopped it.
    Paused,
    /// It goes on when the network is back.
    Waiting,
    /// Complete and checked.
    Done,
    /// It stopped for good.
    Failed {
        /// Why.
        reason: TransferFailure,
    },
}

/// Why a file did not arrive. Nothing half-written remains under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum TransferFailure {
    /// What arrived is not what was sent.
    Damaged,
    /// This computer's disk is full.
    DiskFull,
    /// The clinic's storage is full.
    ServerFull,
    /// The file or the folder can't be read or written.
    NoAccess,
    /// The server no longer has it.
    Expired,
    /// The server has it not, or not for this person: to strangers it does not say which.
    NotFound,
    /// Not permitted.
    Forbidden,
    /// Longer than 2 GiB.
    TooLarge,
    /// The file changed while it was being sent.
    Changed,
    /// The other person declined or stopped it.
    Stopped,
    /// The server had a problem.
    ServerTrouble,
}

/// One of this person's installations of the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct InstallationView {
    /// The device.
    pub device_id: String,
    /// "Ana's laptop".
    pub name: String,
    /// Its kind.
    pub device_type: DeviceType,
    /// This one.
    pub current: bool,
    /// When it signed in first.
    pub created_at: Timestamp,
    /// When it was last used; absent when it is signed out.
    pub last_used_at: Option<Timestamp>,
    /// It is being removed; conversations from which it has not gone yet.
    pub leaving: u32,
    /// It is being removed, and the server has not shut it out yet: it is asked again.
    pub revoking: bool,
}

/// A message that holds what was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SearchHit {
    /// Where.
    pub conversation_id: String,
    /// The conversation's title.
    pub title: String,
    /// The message.
    pub message: MessageView,
}
