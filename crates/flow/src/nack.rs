//! Repair by asking again (generic NACK, RFC 4585 §6.2.1): who asks when, and who still has what.

pub mod generator;
pub mod history;

pub use generator::{Generator, GeneratorStats};
pub use history::History;
