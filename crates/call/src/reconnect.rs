//! When a client tries its lost socket again.
//!
//! 1, 2, 4, 8, 16 s and then every 30 s, each spread by ±25 % so that a clinic's devices do not come back in one
//! wave; at once when the operating system tells of a changed network; after ten attempts in a row the person is
//! asked, while a change of network still starts anew and a server that comes back is found within a minute or so. Counts
//! attempts and never waits itself.

use std::time::Duration;

/// Attempts in a row before a person is asked.
pub const MAX_ATTEMPTS: u32 = 10;
/// The first pause.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause between attempts that nobody sees, once the person is asked.
pub const UNSEEN_PAUSE: Duration = Duration::from_secs(60);
/// Pauses are spread by this many per mille to either side.
const SPREAD_PER_MILLE: u64 = 250;

/// The pause before attempt number `attempt` (from 0), without jitter.
#[must_use]
pub const fn nominal(attempt: u32) -> Duration {
    let shift = if attempt < 5 { attempt } else { 5 };
    let pause = Duration::from_secs(FIRST_PAUSE.as_secs() << shift);
    if pause.as_secs() < LONGEST_PAUSE.as_secs() { pause } else { LONGEST_PAUSE }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTry {
    /// Connect after this pause.
    After(Duration),
    /// Ask the person; go on listening for a change of network, and look after this pause whether the server is back.
    Ask(Duration),
}

/// Counts the attempts of one client.
#[derive(Clone, Debug)]
pub struct Reconnect {
    attempt: u32,
    random: u64,
}

impl Reconnect {
    /// A policy whose jitter comes from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { attempt: 0, random: seed }
    }

    /// The socket was lost, or an attempt failed.
    pub fn failed(&mut self) -> NextTry {
        if self.attempt >= MAX_ATTEMPTS {
            return NextTry::Ask(self.spread(UNSEEN_PAUSE));
        }
        let pause = nominal(self.attempt);
        self.attempt += 1;
        NextTry::After(self.spread(pause))
    }

    /// A session is established: the next loss starts from the shortest pause.
    pub const fn succeeded(&mut self) {
        self.attempt = 0;
    }

    /// The network changed, or the person pressed "Try again": at once, and with all attempts anew.
    pub const fn network_changed(&mut self) -> NextTry {
        self.attempt = 0;
        NextTry::After(Duration::ZERO)
    }

    /// Attempts since the last success.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempt
    }

    fn spread(&mut self, pause: Duration) -> Duration {
        // SplitMix64 (Steele, Lea, Flood 2014): small and good enough to spread pauses.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let per_mille = 1000 - SPREAD_PER_MILLE + z % (2 * SPREAD_PER_MILLE + 1);
        Duration::from_micros(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).saturating_mul(per_mille))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_thirty_seconds() {
        let seconds: Vec<u64> = (0..MAX_ATTEMPTS).map(|attempt| nominal(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]);
        assert_eq!(nominal(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn ten_attempts_are_made_and_then_the_person_is_asked() {
        let mut policy = Reconnect::new(1);
        let seen = |next: &NextTry| matches!(next, NextTry::After(_));
        assert_eq!(std::iter::from_fn(|| Some(policy.failed())).take_while(seen).count(), 10);
        let NextTry::Ask(pause) = policy.failed() else { panic!("an eleventh attempt") };
        assert!(pause >= UNSEEN_PAUSE * 3 / 4 && pause <= UNSEEN_PAUSE * 5 / 4, "{pause:?}");
    }

    #[test]
    fn a_changed_network_starts_at_once_even_after_giving_up() {
        let mut policy = Reconnect::new(2);
        while matches!(policy.failed(), NextTry::After(_)) {}
        assert_eq!(policy.network_changed(), NextTry::After(Duration::ZERO));
        assert!(matches!(policy.failed(), NextTry::After(pause) if pause < Duration::from_millis(1251)));
    }

    #[test]
    fn success_returns_to_the_shortest_pause() {
        let mut policy = Reconnect::new(3);
        for _ in 0..6 {
            policy.failed();
        }
        policy.succeeded();
        assert_eq!(policy.attempts(), 0);
        assert!(matches!(policy.failed(), NextTry::After(pause) if pause < Duration::from_millis(1251)));
    }

    #[test]
    fn jitter_stays_within_a_quarter_and_differs_between_clients() {
        let mut pauses = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut policy = Reconnect::new(seed);
            for attempt in 0..MAX_ATTEMPTS {
                let NextTry::After(pause) = policy.failed() else { panic!("gave up early") };
                let nominal = nominal(attempt);
                assert!(pause >= nominal * 3 / 4 && pause <= nominal * 5 / 4, "seed {seed}: {pause:?}");
                if attempt == 0 {
                    pauses.insert(pause);
                }
            }
        }
        assert!(pauses.len() > 80, "200 clients share {} first pauses", pauses.len());
    }
}
