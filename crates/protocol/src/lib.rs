//! The contract between Bedside's client and server: every message, body, id and error code, once.
//!
//! This crate holds data and the rules that belong to the data (which call phase may follow which). It never
//! performs I/O, never reads a clock and never draws a random number; ids are made by whoever owns the thing.
//! `docs/protocol.md` tells the same story in prose.

pub mod attachment;
pub mod call;
pub mod conversation;
pub mod id;
pub mod mls;
pub mod problem;
pub mod quality;
pub mod rest;
pub mod secret;
pub mod socket;
pub mod time;
pub mod user;

pub use call::{CallPhase, CallType, EndReason};
pub use conversation::{Conversation, ConversationKind};
pub use id::{
    AppointmentId, AttachmentId, CallId, ConversationId, DeviceId, EntryId, RoomId, SessionId, UserId,
};
pub use problem::{ErrorCode, Problem};
pub use secret::{Pii, Plaintext, Sealed, Secret};
pub use time::Timestamp;
pub use user::{DeviceType, PresenceStatus, Role};

/// The socket protocol versions this build speaks, newest first.
///
/// A client lists its versions in `hello`; the server answers with the newest that both know.
pub const PROTOCOL_VERSIONS: &[u16] = &[1];

/// The largest socket text frame either side accepts, in bytes. An SDP with its candidates is under 16 KiB.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
