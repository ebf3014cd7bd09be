//! The server's wall clock, in the protocol's unit. Deadlines never use it: they use `tokio::time::Instant`.

use std::time::{SystemTime, UNIX_EPOCH};

use bedside_protocol::Timestamp;

/// Now, in milliseconds since 1970 (UTC).
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
