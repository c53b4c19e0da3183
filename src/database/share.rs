//! How many passes may be about one instance at a time: a server that answers slowly does not hold up the databases of
//! the others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// About how long a Database waits where its instance has its share. Far less than a slow server takes for an answer.
const WAIT: Duration = Duration::from_secs(1);

/// How many passes are under way on each instance.
#[derive(Debug)]
pub struct Shares {
    limit: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// One pass on an instance, for as long as this lives.
#[derive(Debug)]
pub struct Share<'a> {
    shares: &'a Shares,
    instance: String,
}

impl Shares {
    /// Half of all passes that may run at a time, for each instance.
    #[must_use]
    pub fn of(concurrency: u16) -> Self {
        Self {
            limit: usize::from(concurrency / 2).max(1),
            taken: Mutex::default(),
        }
    }

    /// How long to wait where an instance has its share. `spread` is from 0 to 1, so that those who wait come one by one.
    #[must_use]
    pub fn wait(&self, instance: &str, spread: f64) -> Option<Duration> {
        let taken = self.lock().get(instance).copied().unwrap_or_default();
        (taken >= self.limit).then(|| WAIT.mul_f64(0.5 + spread.clamp(0.0, 1.0)))
    }

    /// Takes part of an instance's share. Two that both saw the last part free both get one: nobody is counted exactly.
    #[must_use]
    pub fn take(&self, instance: &str) -> Share<'_> {
        *self.lock().entry(instance.to_owned()).or_default() += 1;
        Share {
            shares: self,
            instance: instance.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut taken = self.shares.lock();
        let Some(count) = taken.get_mut(&self.instance) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            taken.remove(&self.instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instance_gets_half_and_leaves_the_rest_to_others() {
        let shares = Shares::of(4);
        let first = shares.take("slow");
        assert_eq!(shares.wait("slow", 0.5), None);
        let second = shares.take("slow");
        assert_eq!(shares.wait("slow", 0.5), Some(WAIT));
        assert_eq!(shares.wait("other", 0.5), None);
        drop(first);
        assert_eq!(shares.wait("slow", 0.5), None);
        drop(second);
        assert!(shares.lock().is_empty());
    }

    #[test]
    fn whoever_waits_comes_after_half_to_one_and_a_half_seconds() {
        let shares = Shares::of(1);
        let _only = shares.take("a");
        assert_eq!(shares.wait("a", 0.0), Some(WAIT / 2));
        assert_eq!(shares.wait("a", 1.0), Some(WAIT * 3 / 2));
    }
}
