//! What Bedside's tests across crates share: peers and a store that nobody here wrote, and calls with them.

pub mod browser;
pub mod bucket;
pub mod call;
pub mod media;
pub mod outside;
pub mod process;
pub mod python;
pub mod relay;
