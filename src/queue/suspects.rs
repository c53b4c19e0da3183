//! Namespaces whose passes recently held a slot for long: together they get half of the slots, so that the other half is
//! free for those that need one only for a moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// How long this is remembered.
const REMEMBERED: Duration = Duration::from_secs(30);

/// The namespaces whose passes waited for another session's lock, or held a connection for seconds, by instance.
#[derive(Debug, Default)]
pub struct Suspects {
    until: Mutex<Until>,
}

/// By instance and namespace.
type Until = HashMap<(Arc<str>, Arc<str>), Instant>;

impl Suspects {
    /// Records that a pass held a slot of this instance for long.
    pub fn note(&self, instance: &Arc<str>, tenant: &Arc<str>, now: Instant) {
        let mut until = self.lock();
        until.retain(|_, until| now < *until);
        until.insert((Arc::clone(instance), Arc::clone(tenant)), now + REMEMBERED);
    }

    /// Whether one did so recently.
    #[must_use]
    pub fn has(&self, instance: &Arc<str>, tenant: &Arc<str>, now: Instant) -> bool {
        let until = self.lock();
        if until.is_empty() {
            return false;
        }
        until
            .get(&(Arc::clone(instance), Arc::clone(tenant)))
            .is_some_and(|until| now < *until)
    }

    fn lock(&self) -> MutexGuard<'_, Until> {
        self.until.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_one_for_a_while_on_its_instance() {
        let (suspects, now) = (Suspects::default(), Instant::now());
        let [x, y, a, b]: [Arc<str>; 4] = ["x", "y", "a", "b"].map(Arc::from);
        suspects.note(&x, &a, now);
        assert!(suspects.has(&x, &a, now));
        assert!(!suspects.has(&y, &a, now) && !suspects.has(&x, &b, now));
        assert!(!suspects.has(&x, &a, now + REMEMBERED));
        suspects.note(&y, &b, now + REMEMBERED);
        assert_eq!(suspects.lock().len(), 1, "what is over is forgotten");
    }
}
