//! The desktop app: windows, permissions and the way pictures take to the web view.
//!
//! Thin on purpose. Calls, accounts and media are the engine's ([`bedside_session`]); what is shown and said is
//! the front end's (`ui/`). This crate opens windows, hands [`Command`](bedside_ui_contract::Command)s in and
//! [`Update`](bedside_ui_contract::Update)s out, and serves frames over a loopback socket.

mod app;
mod cli;
mod commands;
mod errand;
mod files;
pub mod frames;
mod idle;
mod notification;
pub mod rendering;
mod ringing;

pub use app::run;
pub use cli::Cli;
