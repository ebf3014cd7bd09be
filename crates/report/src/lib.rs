//! What the command lines of the app and of the client without a window have in common: devices and people by name
//! ([`source`], [`person`]), and one side of a call measured and reported as JSON ([`reporter`]). `docs/headless.md` tells
//! what the fields mean.

pub mod person;
mod probe;
mod recorder;
pub mod report;
pub mod reporter;
mod sound;
pub mod source;

pub use report::Report;
pub use reporter::{Measures, Reporter};
