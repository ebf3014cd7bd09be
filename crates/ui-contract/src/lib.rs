//! The contract between the engine and the window: what a person sees and what a person can ask for.
//!
//! The engine publishes a whole [`Snapshot`] with a growing revision; the window renders it and sends
//! [`Command`]s. TypeScript is generated from these types (`cargo xtask bindings`) and never sees the wire
//! protocol. Nothing here holds a token, an SDP or an address. Words are the window's: the engine names
//! situations ([`Notice`], [`Failure`]), the message catalogue says them.

pub mod call;
pub mod chat;
pub mod command;
pub mod device;
pub mod snapshot;

pub use call::{CallView, StatsSample};
pub use chat::{ChatView, MessagePage, SearchHit};
pub use command::Command;
pub use device::{DeviceKind, DeviceView, DevicesView, Levels};
pub use snapshot::{Failure, Notice, Snapshot, Update};
