//! What people see when the server is hostile. Each test is one thing that it tries; `docs/security.md` lists them.
//!
//! The engines are genuine, and so is the server behind the one that lies ([`bedside_testkit::mallory`]).

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[path = "hostile_server/ghost.rs"]
mod ghost;
#[path = "hostile_server/scene.rs"]
mod scene;

#[path = "hostile_server/archive.rs"]
mod archive;
#[path = "hostile_server/calls.rs"]
mod calls;
#[path = "hostile_server/comparing.rs"]
mod comparing;
#[path = "hostile_server/files.rs"]
mod files;
#[path = "hostile_server/groups.rs"]
mod groups;
#[path = "hostile_server/identity.rs"]
mod identity;
#[path = "hostile_server/logs.rs"]
mod logs;
#[path = "hostile_server/lured.rs"]
mod lured;
#[path = "hostile_server/noise.rs"]
mod noise;
#[path = "hostile_server/participant.rs"]
mod participant;
#[path = "hostile_server/past.rs"]
mod past;
#[path = "hostile_server/pestering.rs"]
mod pestering;
