//! Calls: their phases, what ends them, and what is kept of them.
//!
//! ```text
//! initiated ──► ringing ──► accepted ──► connecting ──► connected ◄──► reconnecting
//!     │            │            │             │              │               │
//!     └────────────┴────────────┴─────────────┴──► ended / failed / missed ◄─┘
//! ```

use serde::{Deserialize, Serialize};

use crate::{AppointmentId, CallId, DeviceId, Pii, RoomId, Timestamp, UserId};

/// Sound alone or sound and picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum CallType {
    /// Sound and picture.
    Video,
    /// Sound alone.
    Voice,
}

/// Where a call stands. The same on client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum CallPhase {
    /// Created by the caller; nobody has been reached yet.
    Initiated,
    /// The callee's devices ring.
    Ringing,
    /// Answered on one device; the others have stopped ringing.
    Accepted,
    /// SDP and ICE are under way.
    Connecting,
    /// Media flows.
    Connected,
    /// The path is lost, the call is kept.
    Reconnecting,
    /// Over, by somebody's wish or by a rule.
    Ended,
    /// Could not be brought about.
    Failed,
    /// Nobody answered.
    Missed,
}

impl CallPhase {
    /// Every phase.
    pub const ALL: [CallPhase; 9] = [
        CallPhase::Initiated,
        CallPhase::Ringing,
        CallPhase::Accepted,
        CallPhase::Connecting,
        CallPhase::Connected,
        CallPhase::Reconnecting,
        CallPhase::Ended,
        CallPhase::Failed,
        CallPhase::Missed,
    ];

    /// Whether the call is over.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            CallPhase::Ended | CallPhase::Failed | CallPhase::Missed => true,
            CallPhase::Initiated
            | CallPhase::Ringing
            | CallPhase::Accepted
            | CallPhase::Connecting
            | CallPhase::Connected
            | CallPhase::Reconnecting => false,
        }
    }

    /// Whether the call has been answered and is not over.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        match self {
            CallPhase::Accepted | CallPhase::Connecting | CallPhase::Connected | CallPhase::Reconnecting => {
                true
            }
            CallPhase::Initiated
            | CallPhase::Ringing
            | CallPhase::Ended
            | CallPhase::Failed
            | CallPhase::Missed => false,
        }
    }

    /// Whether `next` may follow `self`. The whole table of legal transitions.
    #[must_use]
    pub const fn can_become(self, next: CallPhase) -> bool {
        use CallPhase as P;
        match self {
            P::Initiated => matches!(next, P::Ringing | P::Ended | P::Failed | P::Missed),
            P::Ringing => matches!(next, P::Accepted | P::Ended | P::Failed | P::Missed),
            P::Accepted => matches!(next, P::Connecting | P::Ended | P::Failed),
            P::Connecting => matches!(next, P::Connected | P::Ended | P::Failed),
            P::Connected => matches!(next, P::Reconnecting | P::Ended),
            P::Reconnecting => matches!(next, P::Connected | P::Ended),
            P::Ended | P::Failed | P::Missed => false,
        }
    }

    /// The name used on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            CallPhase::Initiated => "initiated",
            CallPhase::Ringing => "ringing",
            CallPhase::Accepted => "accepted",
            CallPhase::Connecting => "connecting",
            CallPhase::Connected => "connected",
            CallPhase::Reconnecting => "reconnecting",
            CallPhase::Ended => "ended",
            CallPhase::Failed => "failed",
            CallPhase::Missed => "missed",
        }
    }

    /// The phase of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<CallPhase> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

impl std::fmt::Display for CallPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Somebody hung up, or the caller cancelled.
    UserHangup,
    /// The callee declined.
    CalleeDeclined,
    /// Nobody answered, or nobody could be reached.
    Missed,
    /// The callee was in another call.
    Busy,
    /// The path was lost and did not come back.
    NetworkError,
    /// A step took longer than it may.
    Timeout,
    /// No connection could be established.
    ConnectionFailed,
    /// The longest permitted duration was reached.
    MaxDuration,
    /// A participant was removed.
    Removed,
    /// The server was shut down.
    ServerShutdown,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [EndReason; 10] = [
        EndReason::UserHangup,
        EndReason::CalleeDeclined,
        EndReason::Missed,
        EndReason::Busy,
        EndReason::NetworkError,
        EndReason::Timeout,
        EndReason::ConnectionFailed,
        EndReason::MaxDuration,
        EndReason::Removed,
        EndReason::ServerShutdown,
    ];

    /// The name used on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EndReason::UserHangup => "user_hangup",
            EndReason::CalleeDeclined => "callee_declined",
            EndReason::Missed => "missed",
            EndReason::Busy => "busy",
            EndReason::NetworkError => "network_error",
            EndReason::Timeout => "timeout",
            EndReason::ConnectionFailed => "connection_failed",
            EndReason::MaxDuration => "max_duration",
            EndReason::Removed => "removed",
            EndReason::ServerShutdown => "server_shutdown",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<EndReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// Which end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Who called; makes the first offer.
    Caller,
    /// Who was called.
    Callee,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Side {
        match self {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }
}

/// A participant as the other side sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Party {
    /// Who.
    pub user_id: UserId,
    /// Their name.
    #[serde(deserialize_with = "Pii::name")]
    pub name: Pii<String>,
    /// The device they are on; known once the call is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
}

/// A call: what is live of it, and what is kept of it afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallRecord {
    /// The call.
    pub call_id: CallId,
    /// Where its participants exchange signaling.
    pub room_id: RoomId,
    /// Who called.
    pub caller: Party,
    /// Who was called.
    pub callee: Party,
    /// Sound alone or with picture, as of now.
    pub call_type: CallType,
    /// Where it stands.
    pub phase: CallPhase,
    /// Why it is over, once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<EndReason>,
    /// The appointment it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appointment_id: Option<AppointmentId>,
    /// When the caller pressed the button.
    pub initiated_at: Timestamp,
    /// When a device began to ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ringing_at: Option<Timestamp>,
    /// When somebody answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// When media first flowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<Timestamp>,
    /// When it ends at the latest, from the first media on. An extension moves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Whole seconds from `connected_at` to `ended_at`; zero when media never flowed.
    pub duration_s: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_a_final_phase_and_every_other_phase_can_end() {
        for phase in CallPhase::ALL {
            for next in CallPhase::ALL {
                if phase.is_final() {
                    assert!(!phase.can_become(next), "{phase} → {next}");
                }
            }
            assert_eq!(phase.can_become(CallPhase::Ended), !phase.is_final(), "{phase}");
            assert!(!phase.can_become(phase), "{phase} must not follow itself");
        }
    }

    #[test]
    fn names_on_the_wire_and_in_the_database_are_the_same() {
        for phase in CallPhase::ALL {
            assert_eq!(serde_json::to_string(&phase).unwrap(), format!("\"{}\"", phase.as_str()));
            assert_eq!(CallPhase::parse(phase.as_str()), Some(phase));
        }
        for reason in EndReason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.as_str()));
            assert_eq!(EndReason::parse(reason.as_str()), Some(reason));
        }
    }
}
