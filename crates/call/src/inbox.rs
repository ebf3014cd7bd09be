//! The client's side of event numbering: every event of a session exactly once and in order.
//!
//! Remembers one number and never holds an event.

/// What an arriving event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one: handle it.
    Next,
    /// Handled already: drop it.
    Duplicate,
    /// Events before it are missing: close the socket and resume from [`Inbox::last_seq`].
    Gap {
        /// The number that should have come.
        expected: u64,
    },
}

/// Numbers the events of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inbox {
    last_seq: u64,
}

impl Inbox {
    /// For a session that has just begun: its first event is number 1.
    #[must_use]
    pub const fn new() -> Self {
        Self { last_seq: 0 }
    }

    /// Judges the event numbered `seq`. [`Arrival::Next`] counts it as handled.
    pub const fn arrived(&mut self, seq: u64) -> Arrival {
        let expected = self.last_seq.saturating_add(1);
        if seq < expected {
            Arrival::Duplicate
        } else if seq > expected {
            Arrival::Gap { expected }
        } else {
            self.last_seq = seq;
            Arrival::Next
        }
    }

    /// The last event handled: for `ping` and for resuming.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_handled_once_and_a_missing_one_is_noticed() {
        let mut inbox = Inbox::new();
        assert_eq!(inbox.arrived(1), Arrival::Next);
        assert_eq!(inbox.arrived(1), Arrival::Duplicate);
        assert_eq!(inbox.arrived(3), Arrival::Gap { expected: 2 });
        assert_eq!(inbox.last_seq(), 1, "an event after a gap does not count as handled");
        assert_eq!(inbox.arrived(2), Arrival::Next);
        assert_eq!(inbox.arrived(3), Arrival::Next);
        assert_eq!(inbox.arrived(0), Arrival::Duplicate);
    }
}
