//! Bedside's client engine: signs in, keeps the line to the server, places and answers calls, runs their media.
//!
//! The window and `bedside-headless` both drive [`Engine`]; neither holds call logic. Inside, one task owns the state
//! ([`engine`]), one the socket ([`socket`]), one each call's media ([`consultation`]); pictures and sound run on named
//! threads. Only [`peer`] knows the WebRTC library.

pub mod api;
pub mod chat;
pub mod clock;
pub mod consultation;
pub mod engine;
pub mod idle;
pub mod logging;
pub mod network;
pub mod peer;
mod private;
pub mod profile;
pub mod secrets;
pub mod signal;
pub mod socket;
pub mod studio;
pub mod tap;
pub mod tls;
pub mod transfer;
pub mod usage;

pub use engine::{Engine, EngineConfig, Frames, Sources, StreamKind, Updates, call_thread};
