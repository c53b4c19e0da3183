//! One at a time for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// The number of unused keys that are kept.
const KEPT: usize = 64;

/// A lock for each key, made when it is asked for.
#[derive(Debug)]
pub struct Keyed<K> {
    locks: Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>,
}

impl<K> Default for Keyed<K> {
    fn default() -> Self {
        Self {
            locks: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash> Keyed<K> {
    /// Waits for exclusive use of this key. First come, first served.
    pub async fn lock(&self, key: K) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock();
            if locks.len() >= KEPT {
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(locks.entry(key).or_default())
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn each_key_is_locked_alone_and_unused_ones_are_forgotten() {
        let keyed = Keyed::default();
        // Whatever the task did before: tokio would have it wait once it did much.
        let lock = |key| tokio::task::unconstrained(keyed.lock(key)).now_or_never();
        let held = lock(0).unwrap();
        assert!(lock(0).is_none());
        for key in 1..10 * KEPT {
            drop(lock(key).unwrap());
        }
        assert!(keyed.locks.lock().len() <= KEPT);
        assert!(lock(0).is_none(), "still locked");
        drop(held);
        assert!(lock(0).is_some());
    }
}
