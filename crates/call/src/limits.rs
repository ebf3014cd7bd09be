//! How long each step of a call may take. Configuration on the server, defaults everywhere else.

/// Time limits of a call, all in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// How long a call waits for a callee who is expected back (their socket has only just dropped).
    pub reach_ms: u64,
    /// How long the callee's devices ring before the call is missed.
    pub ring_ms: u64,
    /// How long an answered call may take to begin negotiating, and then again to connect.
    pub connect_ms: u64,
    /// How long a call is kept for a device whose socket is gone while no media flows.
    pub grace_ms: u64,
    /// How long a call without media is kept while both devices are signed in and trying.
    pub reconnect_ms: u64,
    /// The longest call, from the first media on, unless it is extended.
    pub max_duration_ms: u64,
    /// How long before the end of the longest call both sides are warned; at once where the call is shorter than that.
    pub expiry_warning_ms: u64,
    /// By how much one extension puts off the end.
    pub extension_ms: u64,
    /// The longest call with all its extensions, from the first media on. Not more than `max_duration_ms`: no extensions.
    pub max_extended_ms: u64,
}

impl CallLimits {
    /// How long a server remembers a call that is over, to answer events that raced with its end. Later ones are
    /// answered from the history.
    pub const LINGER_MS: u64 = 60_000;

    /// How long a call can be live at most: every step takes as long as it may, and then the longest conversation, ms.
    #[must_use]
    pub const fn longest_life_ms(&self) -> u64 {
        let set_up = self
            .reach_ms
            .saturating_add(self.ring_ms)
            .saturating_add(self.connect_ms)
            .saturating_add(self.connect_ms);
        let longest = if self.max_extended_ms > self.max_duration_ms {
            self.max_extended_ms
        } else {
            self.max_duration_ms
        };
        set_up.saturating_add(longest)
    }
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            reach_ms: 10_000,
            ring_ms: 60_000,
            connect_ms: 30_000,
            grace_ms: 30_000,
            reconnect_ms: 120_000,
            max_duration_ms: 3_600_000,
            expiry_warning_ms: 300_000,
            extension_ms: 1_800_000,
            max_extended_ms: 14_400_000,
        }
    }
}
