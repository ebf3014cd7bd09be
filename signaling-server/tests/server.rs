//! The server as its clients see it: over HTTP and WebSocket, against a real database.
#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

#[path = "common/fixture.rs"]
mod fixture;
#[path = "common/log.rs"]
mod log;
#[path = "common/mls.rs"]
mod mls;

#[path = "server/attachments.rs"]
mod attachments;
#[path = "server/auth.rs"]
mod auth;
#[path = "server/calls.rs"]
mod calls;
#[path = "server/conversations.rs"]
mod conversations;
#[path = "server/delivery.rs"]
mod delivery;
#[path = "server/devices.rs"]
mod devices;
#[path = "server/entries.rs"]
mod entries;
#[path = "server/extensions.rs"]
mod extensions;
#[path = "server/key_packages.rs"]
mod key_packages;
#[path = "server/presence.rs"]
mod presence;
#[path = "server/process.rs"]
mod process;
#[path = "server/quality.rs"]
mod quality;
#[path = "server/rest.rs"]
mod rest;
#[path = "server/socket.rs"]
mod socket;
