//! H.264 over RTP (RFC 6184): pictures into packets and packets into whole pictures.
//!
//! Nothing here looks inside a slice beyond its first bits, and a picture with a hole never leaves.

pub mod assembler;
pub mod h264;
pub mod packetizer;
pub mod sealed;

mod access_unit;

pub use assembler::{AssembledFrame, Assembler, AssemblerStats};
pub use packetizer::Packetizer;
