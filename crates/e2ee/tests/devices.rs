//! Devices, their groups and a server between them: what holds, whatever is tried and whenever a process dies.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[path = "devices/authority.rs"]
mod authority;
#[path = "devices/beginnings.rs"]
mod beginnings;
#[path = "devices/common.rs"]
mod common;
#[path = "devices/crashes.rs"]
mod crashes;
#[path = "devices/groups.rs"]
mod groups;
#[path = "devices/interleavings.rs"]
mod interleavings;
#[path = "devices/noise.rs"]
mod noise;
