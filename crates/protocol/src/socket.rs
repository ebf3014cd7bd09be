//! The WebSocket protocol of `GET /ws`: one connection per device, JSON text frames.
//!
//! ```text
//! client → server   {"id": 7, "type": "initiate_call", "data": {…}}
//! server → client   {"re": 7, "type": "ok" | "error", "data": {…}}       the answer to 7
//! server → client   {"seq": 31, "type": "call:ringing", "data": {…}}     an event
//! ```
//!
//! The first message is [`Request::Hello`]. Events carry a sequence number per session; a client that comes
//! back with its session and the last number it saw gets every event it missed, in order, exactly once.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    CallId, CallType, ConversationId, DeviceId, EndReason, Problem, SessionId, Timestamp, UserId,
    call::{CallRecord, Side},
    conversation::{Acknowledge, Append, EntryKind, KeyPackagesLeft, LogEntry, Typing, WaitingWelcome},
    rest::{AcceptCall, DeclineCall, ExtendCall, HangupCall, InitiateCall, UpdatePresence},
    user::{Presence, UserProfile},
};

/// A frame from a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientFrame {
    /// Chosen by the client, grows by one; the answer carries it as `re`.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
}

/// What a client asks. Every request is answered, `ok` or `error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Request {
    /// Must be first. Answer: [`Welcome`].
    #[serde(rename = "hello")]
    Hello(Hello),
    /// Heartbeat; also lets the server forget events that have arrived. Answer: [`Pong`].
    #[serde(rename = "ping")]
    Ping {
        /// The last event seen.
        last_seq: u64,
    },
    /// Call somebody. Answer: [`crate::rest::CallTicket`].
    #[serde(rename = "initiate_call")]
    InitiateCall(InitiateCall),
    /// Answer a ringing call. Answer: [`crate::rest::CallTicket`].
    #[serde(rename = "accept_call")]
    AcceptCall {
        /// Which call.
        call_id: CallId,
        /// How.
        #[serde(flatten)]
        accept: AcceptCall,
    },
    /// Refuse a ringing call. Answer: [`crate::rest::CallClosed`].
    #[serde(rename = "decline_call")]
    DeclineCall {
        /// Which call.
        call_id: CallId,
        /// Why.
        #[serde(flatten)]
        decline: DeclineCall,
    },
    /// End or cancel a call. Answer: [`crate::rest::CallClosed`].
    #[serde(rename = "hangup_call")]
    HangupCall {
        /// Which call.
        call_id: CallId,
        /// Why.
        #[serde(flatten)]
        hangup: HangupCall,
    },
    /// Put off the end of a call. Answer: [`CallRecord`].
    #[serde(rename = "extend_call")]
    ExtendCall {
        /// Which call.
        call_id: CallId,
        /// Which end of it.
        #[serde(flatten)]
        extend: ExtendCall,
    },
    /// Tell whether this side's media flows; drives `connecting → connected ↔ reconnecting`.
    #[serde(rename = "call:media")]
    CallMedia {
        /// Which call.
        call_id: CallId,
        /// Whether packets arrive from the peer.
        flowing: bool,
    },
    /// Turn a voice call into a video call or back.
    #[serde(rename = "call:switch_type")]
    SwitchType {
        /// Which call.
        call_id: CallId,
        /// What it becomes.
        call_type: CallType,
    },
    /// A sealed SDP offer, into the log of the conversation of the call's two people. Answer:
    /// [`crate::conversation::Appended`], as for every entry of a log.
    #[serde(rename = "webrtc:offer")]
    Offer(Append),
    /// A sealed SDP answer.
    #[serde(rename = "webrtc:answer")]
    Answer(Append),
    /// Sealed ICE candidates.
    #[serde(rename = "webrtc:ice")]
    Ice(Append),
    /// A sealed message, edit, deletion or file.
    #[serde(rename = "chat:message")]
    ChatMessage(Append),
    /// A sealed receipt: up to where this device has received.
    #[serde(rename = "chat:delivered")]
    ChatDelivered(Append),
    /// A sealed receipt: up to where its user has read.
    #[serde(rename = "chat:read")]
    ChatRead(Append),
    /// Somebody writes. Not kept.
    #[serde(rename = "chat:typing")]
    ChatTyping(Typing),
    /// What this device has on its disk.
    #[serde(rename = "chat:ack")]
    ChatAck(Acknowledge),
    /// This device's presence.
    #[serde(rename = "presence:update")]
    UpdatePresence(UpdatePresence),
}

/// Opens or resumes a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Versions the client speaks, newest first.
    pub versions: Vec<u16>,
    /// The session to resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// Which session, and how far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The session from the last `welcome`.
    pub session: SessionId,
    /// The last event handled.
    pub last_seq: u64,
}

/// The answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version spoken from now on.
    pub version: u16,
    /// Names this session at the next `hello`.
    pub session: SessionId,
    /// Whether the session was resumed: missed events follow. If not, fetch anew.
    pub resumed: bool,
    /// Who is signed in.
    pub user: UserProfile,
    /// This device.
    pub device_id: DeviceId,
    /// Calls this user is in that are not over.
    pub calls: Vec<CallRecord>,
    /// Send `ping` this often, ms.
    pub heartbeat_ms: u64,
    /// The server's clock.
    pub server_time: Timestamp,
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The server's clock.
    pub server_time: Timestamp,
}

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "a frame is read, looked at once and dropped; boxing would only cost"
)]
pub enum ServerFrame {
    /// The answer to a request.
    Reply(Reply),
    /// Something happened.
    Event(EventFrame),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The request's id; absent when a frame was so broken that it had none.
    pub re: Option<u64>,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a request went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Outcome {
    /// Done; the shape depends on the request.
    Ok(Value),
    /// Not done, and why.
    Error(Box<Problem>),
}

/// An event with its place in the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventFrame {
    /// From 1, without gaps, per session.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Event {
    /// The entry of a log that this event brings.
    #[must_use]
    pub const fn log_entry(&self) -> Option<&LogEntry> {
        match self {
            Event::Offer(entry)
            | Event::Answer(entry)
            | Event::Ice(entry)
            | Event::ChatMessage(entry)
            | Event::ChatDelivered(entry)
            | Event::ChatRead(entry)
            | Event::GroupCommit(entry)
            | Event::GroupFounded(entry) => Some(entry),
            _ => None,
        }
    }

    /// The call whose record this event brings.
    #[must_use]
    pub const fn call(&self) -> Option<&CallRecord> {
        match self {
            Event::CallRinging { call }
            | Event::CallAccepted { call, .. }
            | Event::CallDeclined { call }
            | Event::CallBusy { call }
            | Event::CallConnecting { call }
            | Event::CallConnected { call }
            | Event::CallReconnecting { call, .. }
            | Event::CallTypeChanged { call, .. }
            | Event::CallExtended { call, .. }
            | Event::CallEnded { call, .. }
            | Event::CallMissed { call } => Some(call),
            _ => None,
        }
    }

    /// The event that brings an entry of a log.
    #[must_use]
    pub const fn of_entry(entry: LogEntry) -> Self {
        match entry.kind {
            EntryKind::Message => Event::ChatMessage(entry),
            EntryKind::Delivered => Event::ChatDelivered(entry),
            EntryKind::Read => Event::ChatRead(entry),
            EntryKind::Offer => Event::Offer(entry),
            EntryKind::Answer => Event::Answer(entry),
            EntryKind::Ice => Event::Ice(entry),
            EntryKind::Commit => Event::GroupCommit(entry),
            EntryKind::Founded => Event::GroupFounded(entry),
        }
    }
}

/// What the server tells a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Event {
    /// To the callee's devices: ring. To the caller: it rings there.
    #[serde(rename = "call:ringing")]
    CallRinging {
        /// The call.
        call: CallRecord,
    },
    /// Answered. Devices of the callee other than `by_device` stop ringing.
    #[serde(rename = "call:accepted")]
    CallAccepted {
        /// The call.
        call: CallRecord,
        /// Where it was answered.
        by_device: DeviceId,
    },
    /// The callee declined.
    #[serde(rename = "call:declined")]
    CallDeclined {
        /// The call.
        call: CallRecord,
    },
    /// The callee is in another call.
    #[serde(rename = "call:busy")]
    CallBusy {
        /// The call.
        call: CallRecord,
    },
    /// SDP and ICE are under way.
    #[serde(rename = "call:connecting")]
    CallConnecting {
        /// The call.
        call: CallRecord,
    },
    /// Media flows both ways.
    #[serde(rename = "call:connected")]
    CallConnected {
        /// The call.
        call: CallRecord,
    },
    /// A side lost its path or its socket; the call is kept until `until`.
    #[serde(rename = "call:reconnecting")]
    CallReconnecting {
        /// The call.
        call: CallRecord,
        /// Which side is gone.
        lost: Side,
        /// When the call ends unless it recovers.
        until: Timestamp,
    },
    /// Voice became video or the reverse.
    #[serde(rename = "call:type_changed")]
    CallTypeChanged {
        /// The call.
        call: CallRecord,
        /// Who changed it.
        by: Side,
    },
    /// The longest permitted duration comes near.
    #[serde(rename = "call:expiring")]
    CallExpiring {
        /// The call.
        call_id: CallId,
        /// When it will be ended.
        ends_at: Timestamp,
        /// Where a clinician who takes part may move the end; absent when the call may last no longer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extends_to: Option<Timestamp>,
    },
    /// The end was put off: `ends_at` of the call says until when.
    #[serde(rename = "call:extended")]
    CallExtended {
        /// The call.
        call: CallRecord,
        /// Who put it off.
        by: Side,
    },
    /// Over.
    #[serde(rename = "call:ended")]
    CallEnded {
        /// The call.
        call: CallRecord,
        /// Why; also in the record.
        reason: EndReason,
    },
    /// Nobody answered.
    #[serde(rename = "call:missed")]
    CallMissed {
        /// The call.
        call: CallRecord,
    },
    /// Something about a call went wrong that no request can carry.
    #[serde(rename = "call:error")]
    CallError {
        /// Which call.
        call_id: CallId,
        /// What.
        problem: Box<Problem>,
    },
    /// An entry of a log: a sealed SDP offer.
    #[serde(rename = "webrtc:offer")]
    Offer(LogEntry),
    /// An entry of a log: a sealed SDP answer.
    #[serde(rename = "webrtc:answer")]
    Answer(LogEntry),
    /// An entry of a log: sealed ICE candidates.
    #[serde(rename = "webrtc:ice")]
    Ice(LogEntry),
    /// An entry of a log: a sealed message, edit, deletion or file.
    #[serde(rename = "chat:message")]
    ChatMessage(LogEntry),
    /// An entry of a log: a sealed receipt.
    #[serde(rename = "chat:delivered")]
    ChatDelivered(LogEntry),
    /// An entry of a log: a sealed receipt.
    #[serde(rename = "chat:read")]
    ChatRead(LogEntry),
    /// An entry of a log: a change of the group.
    #[serde(rename = "group:commit")]
    GroupCommit(LogEntry),
    /// The group was founded anew.
    #[serde(rename = "group:founded")]
    GroupFounded(LogEntry),
    /// Somebody writes.
    #[serde(rename = "chat:typing")]
    ChatTyping(Typing),
    /// This device can join a group.
    #[serde(rename = "group:welcome")]
    GroupWelcome(WaitingWelcome),
    /// A conversation is new, or its participants changed, or its group was founded: fetch it anew.
    #[serde(rename = "conversation:changed")]
    ConversationChanged {
        /// Which.
        conversation_id: ConversationId,
    },
    /// One's own devices changed: fetch them anew.
    #[serde(rename = "devices:changed")]
    DevicesChanged,
    /// This device's key packages run out.
    #[serde(rename = "key_packages:low")]
    KeyPackagesLow(KeyPackagesLeft),
    /// A device of somebody in a common conversation had no key package, and has some now.
    #[serde(rename = "key_packages:published")]
    KeyPackagesPublished {
        /// Whose it is.
        user_id: UserId,
    },
    /// A contact's presence changed in some way.
    #[serde(rename = "presence:update")]
    PresenceUpdate(Presence),
    /// A contact came online.
    #[serde(rename = "user:online")]
    UserOnline {
        /// Who.
        user_id: UserId,
    },
    /// A contact went offline.
    #[serde(rename = "user:offline")]
    UserOffline {
        /// Who.
        user_id: UserId,
        /// When a device of theirs was last heard from.
        last_seen: Option<Timestamp>,
    },
    /// The list of contacts changed: fetch it anew.
    #[serde(rename = "contacts:changed")]
    ContactsChanged,
    /// The server goes away; reconnect after the pause, with the session.
    #[serde(rename = "server:going_away")]
    GoingAway {
        /// How long to wait, ms.
        retry_after_ms: u64,
    },
}

/// Reads a client's frame, telling broken JSON from an unknown type.
///
/// # Errors
/// The problem to answer with and, where it could be read, the frame's id.
pub fn parse_client_frame(text: &str) -> Result<ClientFrame, (Option<u64>, Box<Problem>)> {
    use crate::ErrorCode;
    match serde_json::from_str::<ClientFrame>(text) {
        Ok(frame) => Ok(frame),
        Err(error) => {
            let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
            let id = value.get("id").and_then(Value::as_u64);
            // serde names the unknown variant and lists the known ones; the position says nothing of the content.
            let unknown = error.to_string().starts_with("unknown variant")
                && value
                    .get("type")
                    .and_then(Value::as_str)
                    .is_some_and(|name| !KNOWN_REQUESTS.contains(&name));
            let problem = if unknown {
                Problem::new(ErrorCode::UnknownType)
                    .with_detail("This server does not know this message type; it may be older than the app.")
            } else {
                Problem::new(ErrorCode::MalformedMessage)
                    .with_detail("The frame must be {\"id\", \"type\", \"data\"} as docs/protocol.md says.")
            };
            Err((id, Box::new(problem)))
        }
    }
}

/// The names of all requests.
pub const KNOWN_REQUESTS: &[&str] = &[
    "hello",
    "ping",
    "initiate_call",
    "accept_call",
    "decline_call",
    "hangup_call",
    "extend_call",
    "call:media",
    "call:switch_type",
    "webrtc:offer",
    "webrtc:answer",
    "webrtc:ice",
    "chat:message",
    "chat:delivered",
    "chat:read",
    "chat:typing",
    "chat:ack",
    "presence:update",
];

#[cfg(test)]
mod tests;
