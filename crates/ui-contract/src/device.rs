//! Cameras, microphones, speakers.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Video in.
    Camera,
    /// Sound in.
    Microphone,
    /// Sound out.
    Speaker,
}

/// One device that can be picked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct DeviceView {
    /// Stable while plugged in; what [`crate::Command::SelectDevice`] takes.
    pub id: String,
    /// As the system names it.
    pub name: String,
    /// A pattern, film or file that plays where there is no hardware.
    pub is_virtual: bool,
}

/// All devices of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct DeviceList {
    /// What there is.
    pub available: Vec<DeviceView>,
    /// What the person chose; absent where they follow the system.
    pub selected: Option<String>,
    /// What is used, or was last: another one than was chosen while that does not work.
    pub in_use: Option<String>,
    /// Why the one that was chosen does not work.
    pub trouble: Option<DeviceTrouble>,
}

/// Why a device does not work, each with its own words and its own way on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum DeviceTrouble {
    /// There is none.
    NoneFound,
    /// The system does not let this app use it.
    PermissionDenied,
    /// Another program uses it.
    InUse,
    /// It was unplugged.
    Unplugged,
    /// It is there and gives nothing.
    Stalled,
    /// It failed in a way the system does not explain.
    Failed,
}

/// Every kind of device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct DevicesView {
    /// Cameras.
    pub cameras: DeviceList,
    /// Microphones.
    pub microphones: DeviceList,
    /// Speakers.
    pub speakers: DeviceList,
}

/// Sound levels, ten times a second while somebody looks at a meter or is in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct Levels {
    /// Microphone, 0..=1, after processing.
    pub microphone: f32,
    /// Speaker, 0..=1.
    pub speaker: f32,
}
