//! When a connection has been tried for long enough.

use std::time::{Duration, Instant};

/// A path that does not come up in this time will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// For how long a connection has been tried: from the answer on, since what rang before was up to a person.
#[derive(Default)]
pub(super) struct Connecting {
    since: Option<Instant>,
}

impl Connecting {
    /// Whether the time for it has passed, once each time that it has. Asked as long as it goes on.
    pub(super) fn takes_too_long(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let late = now.saturating_duration_since(since) > CONNECT_TIMEOUT;
        if late {
            self.since = Some(now);
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_connect_begins_with_the_answer_and_is_over_once_at_a_time() {
        let mut connecting = Connecting::default();
        // First asked when the call was answered, however long it had rung.
        let answered = Instant::now();
        let after = |seconds| answered + Duration::from_secs(seconds);
        assert!(!connecting.takes_too_long(answered));
        assert!(!connecting.takes_too_long(after(30)));
        assert!(connecting.takes_too_long(after(31)));
        assert!(!connecting.takes_too_long(after(32)));
    }
}
