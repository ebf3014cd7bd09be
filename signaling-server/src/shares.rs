//! Shares of what there is only so much of: each holds a number of it, and nobody may take it all.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts what each holds. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shares<K> {
    most: u32,
    held: Arc<Mutex<HashMap<K, u32>>>,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// Each may hold `most`.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, held: Arc::default() }
    }

    /// One more for `key`, unless it has as many as it may.
    pub(crate) fn take(&self, key: K) -> Option<Share<K>> {
        let mut held = self.lock();
        let count = held.get(&key).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        held.insert(key.clone(), count + 1);
        Some(Share { of: self.clone(), key })
    }
}

impl<K> Shares<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of what somebody holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Eq + Hash> {
    of: Shares<K>,
    key: K,
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.of.lock();
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_their_share_and_gets_back_what_is_given_back() {
        let shares = Shares::new(2);
        let first = shares.take("ward").unwrap();
        let _second = shares.take("ward").unwrap();
        assert!(shares.take("ward").is_none());
        drop(shares.take("home").unwrap());
        drop(first);
        assert!(shares.take("ward").is_some());
        assert_eq!(shares.lock().len(), 1, "who has none is forgotten");
    }
}
