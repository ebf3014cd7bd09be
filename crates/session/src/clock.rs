//! The wall clock, for what is shown to people and sent to the server. Media runs on `Instant`.

use std::time::{SystemTime, UNIX_EPOCH};

use bedside_protocol::Timestamp;

/// Now, by the system's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// When somebody else says that something happened; now, where that time has not come.
#[must_use]
pub(crate) fn past(said: Timestamp) -> Timestamp {
    said.min(now())
}
