//! The events of one session that the client has not yet said it has seen. Bounded: when it is full the
//! oldest go, and the session can then no longer be resumed from before them.

use std::{collections::VecDeque, sync::Arc};

/// The most events kept for a session.
pub const MAX_EVENTS: usize = 1024;
/// The most bytes of events kept for a session.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Numbered events, oldest first. Numbers begin at 1 and have no gaps.
#[derive(Debug, Default)]
pub struct EventLog {
    events: VecDeque<Arc<str>>,
    bytes: usize,
    /// How many events have left the front: the number of the last one that did.
    gone: u64,
}

impl EventLog {
    /// Adds an event and gives its number.
    pub fn push(&mut self, body: Arc<str>) -> u64 {
        self.bytes += body.len();
        self.events.push_back(body);
        while self.events.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.events.len() > 1) {
            self.drop_oldest();
        }
        self.last_seq()
    }

    /// The number of the newest event; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.gone + self.events.len() as u64
    }

    /// The event that follows number `seq`, with its own number. `None` when there is none, or when it is gone.
    #[must_use]
    pub fn after(&self, seq: u64) -> Option<(u64, Arc<str>)> {
        let index = usize::try_from(seq.checked_sub(self.gone)?).ok()?;
        self.events.get(index).map(|body| (seq + 1, Arc::clone(body)))
    }

    /// Whether everything after `seq` is still here.
    #[must_use]
    pub fn can_resume_after(&self, seq: u64) -> bool {
        (self.gone..=self.last_seq()).contains(&seq)
    }

    /// The client has seen everything up to `seq`.
    pub fn forget_until(&mut self, seq: u64) {
        while self.gone < seq && !self.events.is_empty() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(body) = self.events.pop_front() {
            self.bytes -= body.len();
            self.gone += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: usize) -> EventLog {
        let mut log = EventLog::default();
        for n in 1..=count {
            log.push(n.to_string().into());
        }
        log
    }

    #[test]
    fn events_come_in_order_from_any_point_that_is_still_known() {
        let mut log = filled(5);
        log.forget_until(2);
        assert!(!log.can_resume_after(1));
        assert!(log.can_resume_after(2) && log.can_resume_after(5));
        assert!(!log.can_resume_after(6), "a number from the future is not ours");
        assert_eq!(log.after(2), Some((3, "3".into())));
        assert_eq!(log.after(5), None);
        assert_eq!(log.after(0), None);
    }

    #[test]
    fn a_full_log_lets_go_of_the_oldest_and_admits_it() {
        let log = filled(MAX_EVENTS + 10);
        assert_eq!(log.last_seq(), MAX_EVENTS as u64 + 10);
        assert!(!log.can_resume_after(9));
        assert!(log.can_resume_after(10));
        let mut log = EventLog::default();
        for _ in 0..3 {
            log.push("x".repeat(MAX_BYTES / 2).into());
        }
        assert!(!log.can_resume_after(0));
        assert!(log.can_resume_after(1));
    }
}
