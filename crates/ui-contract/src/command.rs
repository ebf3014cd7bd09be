//! What a person can ask of the engine.

use bedside_protocol::{CallType, PresenceStatus};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    chat::{CheckCodeView, KeyChangeView},
    device::DeviceKind,
    snapshot::Settings,
};

/// A request from the window. Its effect shows in a later snapshot; none of them blocks.
#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Command {
    /// Sign in.
    SignIn {
        /// `https://clinic.example` (a missing scheme means https).
        server_url: String,
        /// The account's name.
        login: String,
        /// The password.
        password: String,
    },
    /// Forget the sign-in on this device.
    SignOut,
    /// Connect to the server now.
    Reconnect,
    /// Tell others.
    SetPresence {
        /// Online, away or do not disturb.
        status: PresenceStatus,
    },
    /// Call somebody.
    Call {
        /// Whom.
        user_id: String,
        /// How.
        call_type: CallType,
    },
    /// Answer the ringing call.
    Answer {
        /// How.
        call_type: CallType,
    },
    /// Decline the ringing call.
    Decline,
    /// Hang up or cancel.
    HangUp,
    /// Put off the end of the call that is near, by [`crate::CallView::extendable_by_s`].
    ExtendCall,
    /// Close the summary of the call that is over.
    DismissCall,
    /// Microphone off or on.
    SetMuted {
        /// Off.
        muted: bool,
    },
    /// Camera on or off; in a voice call, on turns it into a video call.
    SetCameraOn {
        /// On.
        on: bool,
    },
    /// Use another device, live.
    SelectDevice {
        /// Which kind.
        kind: DeviceKind,
        /// Which one.
        id: String,
    },
    /// Look for devices again.
    RefreshDevices,
    /// Look for devices again, and open those anew that don't work.
    RetryDevices,
    /// Open camera and microphone to try them outside a call, or close them.
    SetPreview {
        /// Open.
        on: bool,
    },
    /// Play a short sound through the speaker.
    TestSpeaker,
    /// Fetch a page of past calls.
    LoadHistory {
        /// From 1.
        page: u32,
    },
    /// Change settings.
    SetSettings {
        /// All of them.
        settings: Settings,
    },
    /// The person has read it.
    DismissNotice {
        /// Which.
        id: u32,
    },
    /// Open the conversation with somebody, or found one; it appears in the snapshot.
    StartConversation {
        /// One person, or several for a group.
        user_ids: Vec<String>,
        /// A group's name.
        title: Option<String>,
    },
    /// Which conversation is on the screen, if any: no notices for it.
    ViewConversation {
        /// Which.
        conversation_id: Option<String>,
    },
    /// Write a message.
    SendMessage {
        /// Where.
        conversation_id: String,
        /// What, at most 8,000 characters.
        text: String,
        /// What it answers.
        reply_to: Option<String>,
    },
    /// Change one's own message.
    EditMessage {
        /// Where.
        conversation_id: String,
        /// Which.
        message_id: String,
        /// To what.
        text: String,
    },
    /// Delete one's own message everywhere.
    DeleteMessage {
        /// Where.
        conversation_id: String,
        /// Which.
        message_id: String,
    },
    /// All messages up to this one were seen.
    MarkRead {
        /// Where.
        conversation_id: String,
        /// Up to which place in the list.
        index: u32,
    },
    /// Somebody writes, or stopped writing.
    SetTyping {
        /// Where.
        conversation_id: String,
        /// Writes.
        typing: bool,
    },
    /// Compute the code to compare; it appears in the conversation.
    ShowCheckCode {
        /// Where.
        conversation_id: String,
    },
    /// These devices in a conversation are this person's own, whatever the server says: without that no code is shown
    /// that vouches for them.
    AcceptOwnDevices {
        /// Where.
        conversation_id: String,
        /// What was on the screen: [`crate::chat::MemberDeviceView::fingerprint`] of each.
        fingerprints: Vec<String>,
    },
    /// The code was compared and is the same.
    ConfirmCheckCode {
        /// Where.
        conversation_id: String,
        /// What was on the screen. Where it is no longer the present one, nothing is confirmed
        /// ([`crate::Failure::CodeChanged`]).
        code: CheckCodeView,
        /// The people who read the same code, by id: their devices count as checked from now on, nobody else's.
        with: Vec<String>,
    },
    /// The code is not the same, or the checked keys should no longer count.
    ResetCheck {
        /// Where.
        conversation_id: String,
    },
    /// Go on although a checked key changed; the conversation is not verified any more.
    AcknowledgeKeyChange {
        /// Where.
        conversation_id: String,
        /// What was on the screen: [`crate::chat::ConversationView::changed`]. Where more has changed meanwhile, nothing is
        /// acknowledged ([`crate::Failure::CodeChanged`]).
        changes: Vec<KeyChangeView>,
    },
    /// Send files from this computer: straight to the other person during a call with them, else by the server.
    SendFiles {
        /// Where.
        conversation_id: String,
        /// Full paths.
        paths: Vec<String>,
    },
    /// Fetch the file of a message.
    SaveFile {
        /// Where.
        conversation_id: String,
        /// Which message.
        message_id: String,
        /// Into which folder; the downloads folder when absent.
        folder: Option<String>,
    },
    /// Stop a transfer for a while.
    PauseTransfer {
        /// Which.
        id: String,
    },
    /// Go on with a transfer, also with one that failed.
    ResumeTransfer {
        /// Which.
        id: String,
    },
    /// Stop a transfer for good, or forget one that is over.
    CancelTransfer {
        /// Which.
        id: String,
    },
    /// Fetch the list of one's installations.
    LoadInstallations,
    /// Name an installation.
    RenameInstallation {
        /// Which.
        device_id: String,
        /// 1 to 60 characters.
        name: String,
    },
    /// Remove an installation from the account and from every conversation.
    RevokeInstallation {
        /// Which.
        device_id: String,
    },
    /// Open the local store with its passphrase.
    UnlockVault {
        /// The passphrase.
        passphrase: String,
    },
    /// Keep the local store under a passphrase, where there is no keyring.
    SetPassphrase {
        /// The passphrase, at least 12 characters.
        passphrase: String,
    },
}

impl std::fmt::Debug for Command {
    /// The name of the command only: its content may be personal or secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = serde_json::to_value(self).ok();
        let name = name.as_ref().and_then(|v| v.get("type")).and_then(|v| v.as_str()).unwrap_or("command");
        f.write_str(name)
    }
}
