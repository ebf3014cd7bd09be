//! Token buckets: how often one side may make the other do something. Told the time.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// A budget that refills steadily.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket of `burst` that refills with `per_second`.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst.max(1));
        Self { per_second: f64::from(per_second.max(1)), burst, tokens: burst, filled_at: now }
    }

    /// A full bucket of `burst` that refills with one in `every`.
    #[must_use]
    pub fn slow(every: Duration, burst: u32, now: Instant) -> Self {
        let per_second = every.max(Duration::from_millis(1)).as_secs_f64().recip();
        let burst = f64::from(burst.max(1));
        Self { per_second, burst, tokens: burst, filled_at: now }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.take_some(1, now)
    }

    /// Takes this many at once; of a bucket that can't hold as many, all.
    ///
    /// # Errors
    /// How long until there are as many.
    pub fn take_some(&mut self, tokens: u32, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        let wanted = f64::from(tokens).min(self.burst);
        if self.tokens >= wanted {
            self.tokens -= wanted;
            return Ok(());
        }
        Err(Duration::from_secs_f64((wanted - self.tokens) / self.per_second))
    }

    /// Puts back one that was taken.
    pub fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }

    /// Whether nothing has been taken for so long that the bucket is full.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= self.burst
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = passed.mul_add(self.per_second, self.tokens).min(self.burst);
        self.filled_at = now;
    }
}

/// A bucket per key.
#[derive(Debug)]
pub struct KeyedBuckets<K> {
    every: Duration,
    burst: u32,
    buckets: HashMap<K, TokenBucket>,
}

impl<K: Hash + Eq> KeyedBuckets<K> {
    /// Buckets of `burst` that refill with `per_second` each.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self::slow(Duration::from_secs(1) / per_second.max(1), burst)
    }

    /// Buckets of `burst` that refill with one in `every` each.
    #[must_use]
    pub fn slow(every: Duration, burst: u32) -> Self {
        Self { every, burst, buckets: HashMap::new() }
    }

    /// Takes one token from the bucket of `key`.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        self.take_some(key, 1, now)
    }

    /// Takes this many at once; of a bucket that can't hold as many, all.
    ///
    /// # Errors
    /// How long until there are as many.
    pub fn take_some(&mut self, key: K, tokens: u32, now: Instant) -> Result<(), Duration> {
        let (every, burst) = (self.every, self.burst);
        let bucket = self.buckets.entry(key).or_insert_with(|| TokenBucket::slow(every, burst, now));
        bucket.take_some(tokens, now)
    }

    /// Puts back one that was taken from the bucket of `key`.
    pub fn give_back(&mut self, key: &K) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.give_back();
        }
    }

    /// Forgets buckets that are full: they are as good as new ones.
    pub fn sweep(&mut self, now: Instant) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
    }
}

/// Whole seconds for `Retry-After`: at least one, rounded up.
#[must_use]
pub fn retry_after_s(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "some moment, from which on the tests count")]
    fn beginning() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_steady_rate() {
        let start = beginning();
        let mut bucket = TokenBucket::new(10, 3, start);
        for _ in 0..3 {
            assert!(bucket.take(start).is_ok());
        }
        let wait = bucket.take(start).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(bucket.take(start + wait + Duration::from_millis(1)).is_ok());
        assert!(bucket.take(start + wait + Duration::from_millis(2)).is_err());
    }

    #[test]
    fn keys_do_not_share_a_budget_and_full_buckets_are_forgotten() {
        let start = beginning();
        let mut buckets = KeyedBuckets::new(1, 1);
        assert!(buckets.take("a", start).is_ok());
        assert!(buckets.take("a", start).is_err());
        assert!(buckets.take("b", start).is_ok());
        buckets.sweep(start + Duration::from_secs(2));
        assert!(buckets.buckets.is_empty());
    }

    #[test]
    fn the_wait_is_told_in_whole_seconds() {
        assert_eq!(retry_after_s(Duration::ZERO), 1);
        assert_eq!(retry_after_s(Duration::from_millis(1001)), 2);
    }
}
