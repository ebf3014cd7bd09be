//! Failed sign-ins make the next ones wait longer: per account and per address. Pure; the caller gives the time.
//!
//! An attempt is counted before the password is looked at, so that many attempts at once gain nothing.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// The longest wait between two attempts.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(300);
/// How long after the last attempt a count is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// More keys than this and the oldest are forgotten.
const MAX_KEYS: usize = 100_000;

/// Counts attempts per key.
#[derive(Debug)]
pub(super) struct Throttle<K> {
    free: u32,
    entries: HashMap<K, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    attempts: u32,
    last: Instant,
}

impl<K: Hash + Eq + Clone> Throttle<K> {
    /// `free` attempts without a wait; then 1, 2, 4 … seconds.
    pub(super) fn new(free: u32) -> Self {
        Self { free, entries: HashMap::new() }
    }

    /// How long `key` has to wait before its next attempt.
    pub(super) fn wait(&self, key: &K, now: Instant) -> Duration {
        let Some(entry) = self.entries.get(key) else { return Duration::ZERO };
        let delay = delay_after(entry.attempts, self.free);
        // Who came at the same moment and was counted first has not made this one wait.
        if delay.is_zero() { delay } else { (entry.last + delay).saturating_duration_since(now) }
    }

    /// Counts an attempt.
    pub(super) fn count(&mut self, key: K, now: Instant) {
        if self.entries.len() >= MAX_KEYS {
            self.sweep(now);
        }
        if self.entries.len() >= MAX_KEYS
            && let Some(oldest) = self.entries.iter().min_by_key(|(_, e)| e.last).map(|(key, _)| key.clone())
        {
            self.entries.remove(&oldest);
        }
        let entry = self.entries.entry(key).or_insert(Entry { attempts: 0, last: now });
        entry.attempts = entry.attempts.saturating_add(1);
        entry.last = now;
    }

    /// The attempt was right: all is forgiven.
    pub(super) fn forgive(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// The attempt was right, but others from the same place may not have been: takes back this one.
    pub(super) fn take_back(&mut self, key: &K) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.attempts = entry.attempts.saturating_sub(1);
        }
    }

    /// Forgets old counts.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.entries.retain(|_, entry| now.saturating_duration_since(entry.last) < FORGET_AFTER);
    }
}

/// The wait after so many attempts of which `free` cost nothing.
fn delay_after(attempts: u32, free: u32) -> Duration {
    match attempts.checked_sub(free) {
        None => Duration::ZERO,
        Some(over) => Duration::from_secs(1 << over.min(20)).min(MAX_DELAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_the_same_moment_do_not_make_each_other_wait() {
        let earlier = Instant::now();
        let mut throttle = Throttle::new(3);
        throttle.count(1, earlier + Duration::from_millis(1));
        assert_eq!(throttle.wait(&1, earlier), Duration::ZERO);
    }

    #[test]
    fn the_wait_grows_with_every_failure_up_to_a_limit() {
        let now = Instant::now();
        let mut throttle = Throttle::new(3);
        let mut waits = Vec::new();
        for _ in 0..6 {
            throttle.count("ana", now);
            waits.push(throttle.wait(&"ana", now).as_secs());
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8]);
        for _ in 0..40 {
            throttle.count("ana", now);
        }
        assert_eq!(throttle.wait(&"ana", now), MAX_DELAY);
        assert_eq!(throttle.wait(&"ana", now + MAX_DELAY), Duration::ZERO);
        assert_eq!(throttle.wait(&"tom", now), Duration::ZERO);
    }

    #[test]
    fn the_right_password_and_time_forgive() {
        let now = Instant::now();
        let mut throttle = Throttle::new(0);
        throttle.count("ana", now);
        throttle.forgive(&"ana");
        assert_eq!(throttle.wait(&"ana", now), Duration::ZERO);
        throttle.count("ana", now);
        throttle.sweep(now + FORGET_AFTER);
        assert!(throttle.entries.is_empty());
    }
}
