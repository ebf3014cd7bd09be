//! What the unit tests share.

use std::time::Instant;

/// The instant that a test counts from.
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; tests only add to it")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
