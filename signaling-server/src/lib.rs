//! Bedside's signaling server: who is there, who may talk to whom, and the relay of what they seal for each
//! other. It never sees what is said, shown or written.
//!
//! ```text
//! routes, socket        HTTP and WebSocket: read, check who asks, answer       (no rule lives here)
//!    │
//! auth, devices, presence, calls, conversations, key packages, directory, …     one service per concern
//!    │
//! hub                   sessions and events on their way to devices            in memory
//! db                    SQLite                                                 on disk
//! ```
//!
//! [`start`] runs the whole of it inside any tokio runtime; the binary and the tests use nothing else.

pub mod accounts;
pub mod app;
pub mod attachments;
pub mod auth;
pub mod calls;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conversations;
pub mod db;
pub mod demo;
pub mod devices;
pub mod directory;
pub mod fault;
pub mod hub;
pub mod ice;
pub mod idempotency;
pub mod identity;
pub mod key_packages;
pub mod limits;
mod listener;
pub mod openapi;
pub mod presence;
pub mod rest;
pub mod routes;
pub mod server;
mod shares;
pub mod socket;
pub mod turn_service;
mod watch;

pub use config::Config;
pub use server::{RunningServer, StartError, start};
