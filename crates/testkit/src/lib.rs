//! Bedside's test bench. Nothing here reaches a build that ships.

pub mod cameras;
pub mod clinic;
pub mod desk;
pub mod dice;
pub mod interloper;
pub mod keyring;
pub mod line;
pub mod mallory;
pub mod net;
pub mod peers;
pub mod programs;
pub mod sentry;
pub mod sound;
pub mod timers;
