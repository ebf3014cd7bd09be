//! Bodies of the REST API under `/api`.

use serde::{Deserialize, Serialize};

use crate::{
    AppointmentId, CallId, CallType, DeviceId, EndReason, Pii, PresenceStatus, RoomId, Secret, SessionId,
    Timestamp, UserId,
    call::CallRecord,
    quality::QualityMetrics,
    user::{DeviceInfo, UserProfile},
};

/// `GET /api/clinic`: what an app may know before anybody has signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClinicInfo {
    /// The clinic's name.
    pub name: String,
    /// The server's version.
    pub server_version: String,
    /// Socket protocol versions it speaks.
    pub protocol_versions: Vec<u16>,
    /// The account that holds the clinic's archive key, where the clinic must keep records. Its devices are members of
    /// every conversation, and every window says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<UserProfile>,
}

/// `POST /api/auth/sign-in`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignInRequest {
    /// The account's login name.
    pub login: Pii<String>,
    /// Its password.
    pub password: Secret,
    /// The device that signs in.
    pub device: DeviceInfo,
}

/// Tokens after signing in or refreshing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedIn {
    /// For the `Authorization: Bearer` header; lives for minutes.
    pub access_token: Secret,
    /// When the access token runs out.
    pub access_expires_at: Timestamp,
    /// Exchanged once for the next pair; kept in the OS keyring and nowhere else.
    pub refresh_token: Secret,
    /// Who signed in.
    pub user: UserProfile,
    /// The device's id from now on.
    pub device_id: DeviceId,
}

/// `POST /api/auth/refresh`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The newest refresh token.
    pub refresh_token: Secret,
}

/// One signed-in device: an entry of `GET /api/auth/sessions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignInSession {
    /// For `DELETE /api/auth/sessions/{id}`.
    pub id: SessionId,
    /// The device.
    pub device: DeviceInfo,
    /// When it signed in.
    pub signed_in_at: Timestamp,
    /// When it last refreshed.
    pub last_used_at: Timestamp,
    /// Whether it is the one asking.
    pub current: bool,
}

/// Where to reach STUN and TURN; the shape of `RTCIceServer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IceServer {
    /// `stun:…`, `turn:…?transport=udp`, `turns:…`.
    pub urls: Vec<String>,
    /// `<expiry>:<account>` (TURN REST convention).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// HMAC-SHA1 of the user name under the shared secret, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Secret>,
}

/// `POST /api/calls/initiate` and `initiate_call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InitiateCall {
    /// Who is to be called.
    pub callee_id: UserId,
    /// The appointment it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appointment_id: Option<AppointmentId>,
    /// Sound alone or with picture.
    pub call_type: CallType,
}

/// What a participant's device needs to take part in a call: the answer to initiating and to accepting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallTicket {
    /// The call.
    pub call_id: CallId,
    /// Its room.
    pub room_id: RoomId,
    /// Entitles this device, for this call, to signal in the room; short-lived.
    pub room_token: Secret,
    /// STUN and TURN with credentials of this device's own.
    pub ice_servers: Vec<IceServer>,
    /// The call as it stands.
    pub call: CallRecord,
}

/// `POST /api/calls/{call_id}/accept`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AcceptCall {
    /// Answer with picture or with sound alone.
    pub call_type: CallType,
}

/// Why a callee declines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeclineReason {
    /// Does not want to, or can't now.
    #[default]
    Declined,
    /// Is in another call.
    Busy,
}

/// `POST /api/calls/{call_id}/decline`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeclineCall {
    /// Why.
    #[serde(default)]
    pub reason: DeclineReason,
}

/// `POST /api/calls/{call_id}/hangup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HangupCall {
    /// `user_hangup` from a person; `connection_failed` or `network_error` from an engine that gives up.
    pub reason: EndReason,
    /// Seconds of conversation by the client's count; the server keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
}

/// Puts off the end of a call. For a clinician who takes part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExtendCall {
    /// The end that is to be put off: the call's `ends_at`, as the asker knows it. If it has been put off already, the
    /// request changes nothing: it may be repeated, and two who ask at once extend the call once.
    pub ends_at: Timestamp,
}

/// The answer to declining and hanging up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallClosed {
    /// The call as it will be found in the history.
    pub call_summary: CallRecord,
}

/// `GET /api/call-history?…`. Parameters of the query string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct CallHistoryQuery {
    /// From 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// 1..=100; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_page: Option<u32>,
    /// Only this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_type: Option<CallType>,
    /// Only calls in this phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<crate::CallPhase>,
    /// Initiated at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_from: Option<Timestamp>,
    /// Initiated before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_to: Option<Timestamp>,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The entries of this page.
    pub items: Vec<T>,
    /// Entries in all.
    pub total: u64,
    /// Pages in all.
    pub pages: u64,
    /// This page, from 1.
    pub current_page: u64,
}

/// `GET /api/call-statistics?period=30d`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallStatistics {
    /// Calls that began in the period.
    pub total_calls: u64,
    /// Those in which media flowed.
    pub completed_calls: u64,
    /// Not answered.
    pub missed_calls: u64,
    /// Declined, busy included.
    pub declined_calls: u64,
    /// Video calls.
    pub video_calls: u64,
    /// Voice calls.
    pub voice_calls: u64,
    /// Mean seconds of the completed ones.
    pub average_duration: f64,
}

/// `POST /api/presence/update` and `presence:update` from a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdatePresence {
    /// What this device says; `busy` and `offline` follow from facts and are not accepted.
    pub status: PresenceStatus,
    /// The call this device is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_call_id: Option<CallId>,
    /// The appointment this device is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_appointment_id: Option<AppointmentId>,
}

/// `POST /api/calls/{call_id}/quality-metrics`: one or a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum PostQualityMetrics {
    /// Several seconds; at most 60.
    Batch(Vec<QualityMetrics>),
    /// One second.
    One(Box<QualityMetrics>),
}
