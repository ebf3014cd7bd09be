//! What the window shows.

use bedside_protocol::{CallPhase, CallType, DeviceType, EndReason, PresenceStatus, Role, Timestamp};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    call::{CallView, Direction, StatsSample},
    chat::{ChatView, TransferFailure},
    device::{DeviceKind, DeviceTrouble, DevicesView, Levels},
};

/// Everything the window needs to draw itself. Whole every time; `revision` grows by one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct Snapshot {
    /// Grows with every snapshot; an older one that arrives late is dropped.
    #[ts(type = "number")]
    pub revision: u64,
    /// Which clinic.
    pub clinic: ClinicView,
    /// Who is signed in.
    pub account: AccountView,
    /// The line to the server.
    pub connection: ConnectionView,
    /// Whom one may call; before they have been fetched, those of the last time.
    pub people: Vec<PersonView>,
    /// Whether `people` has been fetched at least once.
    pub people_loaded: bool,
    /// The call, if there is one; stays after its end until dismissed.
    pub call: Option<CallView>,
    /// Cameras, microphones, speakers.
    pub devices: DevicesView,
    /// Past calls.
    pub history: HistoryView,
    /// Messages, files, devices.
    pub chat: ChatView,
    /// Quiet lines for the person to read, oldest first.
    pub notices: Vec<NoticeView>,
    /// What the person has set.
    pub settings: Settings,
}

/// Which clinic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ClinicView {
    /// Where its server is; remembered.
    pub server_url: String,
    /// Its name, once known.
    pub name: Option<String>,
}

/// Who is signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AccountView {
    /// Looking into the keyring and asking the server.
    #[default]
    Restoring,
    /// Nobody.
    SignedOut {
        /// Why the last attempt failed or the session ended.
        failure: Option<Failure>,
        /// The name used last.
        login: String,
    },
    /// The server is being asked.
    SigningIn,
    /// Somebody.
    SignedIn {
        /// Their id.
        user_id: String,
        /// Their name.
        name: String,
        /// What they may do.
        role: Role,
        /// What they tell others about themselves.
        status: PresenceStatus,
        /// Where the sign-in is kept: false means it lasts until the app is closed.
        remembered: bool,
    },
}

/// The line to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ConnectionView {
    /// Nobody is signed in.
    #[default]
    Idle,
    /// Being made.
    Connecting,
    /// Up.
    Online,
    /// Lost; the next attempt comes by itself.
    Waiting {
        /// When.
        retry_at: Timestamp,
        /// How many attempts were made.
        attempt: u32,
    },
    /// Ten attempts failed: "Try again" (and at once when the network changes).
    GaveUp,
    /// The server is there, and app and server are too far apart in age to understand each other: "Update the app". It is
    /// not tried again before somebody asks for it or the network changes.
    UnsupportedVersion,
}

/// Somebody one may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PersonView {
    /// Their id.
    pub user_id: String,
    /// Their name.
    pub name: String,
    /// What they are.
    pub role: Role,
    /// "Cardiology".
    pub specialty: Option<String>,
    /// Whether they can be reached.
    pub status: PresenceStatus,
    /// When a device of theirs was last heard from.
    pub last_seen: Option<Timestamp>,
    /// The device used most recently.
    pub device_type: Option<DeviceType>,
}

/// Past calls, one page at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct HistoryView {
    /// Newest first.
    pub items: Vec<HistoryItem>,
    /// From 1; 0 before the first page has come.
    pub page: u32,
    /// How many pages there are.
    pub pages: u32,
    /// How many calls there are.
    pub total: u32,
    /// A page is being fetched.
    pub loading: bool,
    /// Why fetching failed.
    pub failure: Option<Failure>,
}

/// A past call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct HistoryItem {
    /// The call.
    pub call_id: String,
    /// The other person's id.
    pub peer_id: String,
    /// The other person's name.
    pub peer_name: String,
    /// Which way it went.
    pub direction: Direction,
    /// Sound alone or with picture.
    pub call_type: CallType,
    /// How it ended.
    pub phase: CallPhase,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// When it began.
    pub started_at: Timestamp,
    /// Seconds of conversation.
    pub duration_s: u32,
}

/// Something the person should know, without being asked anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct NoticeView {
    /// For [`crate::Command::DismissNotice`].
    pub id: u32,
    /// What.
    pub notice: Notice,
}

/// The situations the window has words for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// A device does not work, or another took over.
    Device {
        /// Which kind.
        device: DeviceKind,
        /// What is wrong.
        trouble: DeviceTrouble,
        /// The name of the one that took over.
        replaced_by: Option<String>,
    },
    /// A request failed.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// The person called is in another call.
    PeerBusy {
        /// Who.
        name: String,
    },
    /// The call was answered on another device of this person.
    AnsweredElsewhere,
    /// Somebody called while this person was in a call or away.
    MissedCall {
        /// Who.
        name: String,
    },
    /// Somebody called, and it did not ring, because calls that nobody answered have come too often.
    NotRung {
        /// Who, as the server says.
        name: String,
    },
    /// The call may last longer than it might have: a clinician extended it.
    CallExtended {
        /// When it ends at the latest.
        ends_at: Timestamp,
    },
    /// The keyring can't be used: the sign-in lasts until the app is closed.
    NotRemembered,
    /// The call was ended: the other end could not prove to be the other person (the certificate of the connection is
    /// not the one that person's device named).
    NotAuthentic {
        /// Whom the call was with.
        name: String,
        /// The conversation with them, whose code can be compared.
        conversation_id: Option<String>,
    },
    /// A checked key changed; the conversation is blocked until that is looked at.
    KeyChanged {
        /// Whose.
        name: String,
        /// Where.
        conversation_id: String,
    },
    /// The server says that another account is the clinic's archive, or none: conversations whose code was compared are
    /// blocked until that is looked at.
    ArchiveChanged,
    /// A message came while its conversation was not open.
    Message {
        /// From whom.
        name: String,
        /// Where.
        conversation_id: String,
    },
    /// A file did not arrive or was not sent.
    Transfer {
        /// Its name.
        file: String,
        /// Why.
        reason: TransferFailure,
    },
    /// A device of one's own was added to the account.
    DeviceAdded {
        /// Its name.
        name: String,
    },
    /// A device of one's own was taken from the account on another one, and leaves the conversations.
    DeviceRemoved {
        /// Its name.
        name: String,
    },
    /// The server took this computer for a new device of the account. Its messages are still here.
    NewDevice,
}

/// Why something failed: the window has a sentence and a next step for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Name or password is wrong.
    WrongCredentials,
    /// Too many attempts.
    TooManyAttempts,
    /// The address is not one.
    BadServerAddress,
    /// Nothing answers there.
    ServerUnreachable,
    /// Somebody is signed in, and the server does not answer just now.
    ClinicAway,
    /// Something answers, and its certificate is not trusted.
    UntrustedCertificate,
    /// The app is too old or too new for the server.
    UnsupportedVersion,
    /// The sign-in has run out or was ended elsewhere.
    SignedOutElsewhere,
    /// Not permitted to call this person.
    NotAContact,
    /// Already in a call.
    AlreadyInCall,
    /// The call is gone or in another state.
    CallGone,
    /// The call is as long as the clinic permits: it can't be extended once more.
    LongestCall,
    /// The server had a problem.
    ServerTrouble,
    /// The conversation is blocked: a checked key changed.
    KeyChanged,
    /// The keys for the conversation could not be agreed on: the other person's devices have none there.
    NoKeys,
    /// The code is another than the one that was compared.
    CodeChanged,
    /// The text is too long.
    TooLong,
    /// The passphrase is too short.
    TooShort,
    /// The server went on with the kept sign-in as if it were another device's: nothing was opened for it.
    OtherDevice,
    /// The keys of the device that was signed in here are gone: it has to sign in again, as a new one.
    KeysGone,
    /// This computer can't store anything at the moment: what was asked for was not done.
    StorageFull,
    /// So much waits to be sent already that no more was taken.
    TooManyWaiting,
}

/// What the person has set; survives a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct Settings {
    /// Light, dark, or as the system has it.
    pub theme: Theme,
    /// One's own picture like in a mirror.
    pub mirror_self: bool,
    /// Echo cancellation.
    pub echo_cancellation: bool,
    /// Noise suppression.
    pub noise_suppression: bool,
    /// Automatic gain.
    pub auto_gain: bool,
    /// High-pass filter: rumble below the voice is taken out.
    pub high_pass: bool,
    /// Any sound of the app's own; the two below count only while this is on.
    pub sounds: bool,
    /// Ring when somebody calls.
    pub ring_sound: bool,
    /// Short sounds when the other person joins and leaves.
    pub call_sounds: bool,
    /// Tell others that one has read their messages.
    pub read_receipts: bool,
    /// Seal each frame of sound and picture once more (RFC 9605), for media that passes through more than a relay.
    /// Both sides need it.
    pub seal_frames: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: Theme::System,
            mirror_self: true,
            echo_cancellation: true,
            noise_suppression: true,
            auto_gain: true,
            high_pass: true,
            sounds: true,
            ring_sound: true,
            call_sounds: true,
            read_receipts: true,
            seal_frames: false,
        }
    }
}

/// A theme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
    /// High contrast.
    HighContrast,
}

/// What the engine sends to the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Update {
    /// Everything.
    Snapshot(Box<Snapshot>),
    /// Sound levels.
    Levels(Levels),
    /// A second of the call.
    Stats(Box<StatsSample>),
}
