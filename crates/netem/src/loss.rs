//! Which packets a link loses.

/// A Gilbert–Elliott channel: it is in a good or in a bad state, and each state loses its own share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Chance per packet to leave the good state.
    pub to_bad: f64,
    /// Chance per packet to leave the bad state.
    pub to_good: f64,
    /// Share lost in the good state.
    pub in_good: f64,
    /// Share lost in the bad state.
    pub in_bad: f64,
}

impl Loss {
    /// Everything arrives.
    pub const NONE: Self = Self::independent(0.0);

    /// Each packet is lost with the same chance, 0.0..=1.0, whatever became of its neighbours.
    #[must_use]
    pub const fn independent(share: f64) -> Self {
        Self { to_bad: 0.0, to_good: 1.0, in_good: share, in_bad: 1.0 }
    }

    /// A share of all packets, below 1.0, is lost in runs of this mean length, at least 1.0.
    #[must_use]
    pub const fn bursts(share: f64, mean_length: f64) -> Self {
        let to_bad = share / (mean_length * (1.0 - share));
        Self { to_bad, to_good: 1.0 / mean_length, in_good: 0.0, in_bad: 1.0 }
    }

    /// The share of all packets that is lost in the long run.
    #[must_use]
    pub fn share(&self) -> f64 {
        let bad = if self.to_bad > 0.0 { self.to_bad / (self.to_bad + self.to_good) } else { 0.0 };
        self.in_good * (1.0 - bad) + self.in_bad * bad
    }
}
