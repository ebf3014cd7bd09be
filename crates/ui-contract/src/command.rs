//! What a person can ask of the engine.

use bedside_protocol::{CallType, PresenceStatus};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{device::DeviceKind, snapshot::Settings};

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
}

impl std::fmt::Debug for Command {
    /// The name of the command only: its content may be personal or secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = serde_json::to_value(self).ok();
        let name = name.as_ref().and_then(|v| v.get("type")).and_then(|v| v.as_str()).unwrap_or("command");
        f.write_str(name)
    }
}
