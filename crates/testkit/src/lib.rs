//! Bedside's test bench. Nothing here reaches a build that ships.

pub mod clinic;
pub mod peers;
pub mod sound;
