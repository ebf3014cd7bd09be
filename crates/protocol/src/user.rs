//! People, their devices and whether they can be reached.

use serde::{Deserialize, Serialize};

use crate::{CallId, DeviceId, Pii, Timestamp, UserId};

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Receives care.
    Patient,
    /// Gives care.
    Clinician,
    /// Invited into one consultation: interpreter, relative, second clinician.
    Guest,
    /// Runs the clinic's installation.
    Admin,
}

impl Role {
    /// The name used on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Patient => "patient",
            Role::Clinician => "clinician",
            Role::Guest => "guest",
            Role::Admin => "admin",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Role> {
        [Role::Patient, Role::Clinician, Role::Guest, Role::Admin].into_iter().find(|r| r.as_str() == name)
    }
}

/// Whether somebody can be reached. Several devices of one user merge into one status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum PresenceStatus {
    /// At the computer.
    Online,
    /// Said to be away.
    Away,
    /// Signed in, nobody has touched the computer for a while.
    Idle,
    /// In a call.
    Busy,
    /// No device is connected.
    #[default]
    Offline,
    /// Connected, does not want to be called.
    DoNotDisturb,
}

/// The kind of device somebody is reachable on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// The installed app.
    #[default]
    Desktop,
    /// A browser.
    Web,
    /// A phone or tablet.
    Mobile,
}

/// One person's presence as their contacts see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Presence {
    /// Whose presence.
    pub user_id: UserId,
    /// The merged status of all their devices.
    pub status: PresenceStatus,
    /// The call they are in; shown only as "in a call".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_call_id: Option<CallId>,
    /// When a device of theirs was last heard from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// The device used most recently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<DeviceType>,
}

/// A person's public face: what those who may talk to them see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserProfile {
    /// The account.
    pub id: UserId,
    /// "Dr Amara Osei".
    #[serde(deserialize_with = "Pii::name")]
    pub name: Pii<String>,
    /// What they may do.
    pub role: Role,
    /// "Cardiology", for clinicians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specialty: Option<String>,
}

/// Somebody one may call, with their presence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Contact {
    /// Who.
    pub user: UserProfile,
    /// Whether they can be reached.
    pub presence: Presence,
}

/// A device as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceInfo {
    /// The id the server gave this installation; absent at its first sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DeviceId>,
    /// "Ana's laptop".
    #[serde(deserialize_with = "Pii::name")]
    pub name: Pii<String>,
    /// Its kind.
    #[serde(default)]
    pub device_type: DeviceType,
}
