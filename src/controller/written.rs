//! What this process last wrote of each object: a pass over an older copy would do the same again, and be refused.
//!
//! The cache follows what was written a moment later, and something else may wake the object before. Nothing here is needed
//! for correctness.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::core::ObjectMeta;
use parking_lot::Mutex;

/// How far a watch may be behind. What it shows after that is taken for what there is.
const BEHIND: Duration = Duration::from_secs(10);

/// What this process last wrote of each object, by its UID, until the cache shows it.
#[derive(Default)]
pub struct Written(Mutex<HashMap<String, Latest>>);

struct Latest {
    what: What,
    at: Instant,
}

enum What {
    /// The object, as of this resource version.
    Version(String),
    /// Its finalizer was removed while it was being deleted: it is gone.
    Gone,
}

impl Written {
    /// Notes an object as it was written.
    pub fn note(&self, object: &ObjectMeta, now: Instant) {
        if let (Some(uid), Some(version)) = (&object.uid, &object.resource_version) {
            self.put(uid, What::Version(version.clone()), now);
        }
    }

    /// Notes that an object is gone.
    pub fn let_go(&self, uid: &str, now: Instant) {
        self.put(uid, What::Gone, now);
    }

    /// How long to wait at most for the cache to show what was written of an object; `None` if it is not behind. An object
    /// that was let go and is still there after that was kept: somebody put the finalizer back.
    #[must_use]
    pub fn wait(&self, shown: &ObjectMeta, now: Instant) -> Option<Duration> {
        let uid = shown.uid.as_ref()?;
        let mut written = self.0.lock();
        let latest = written.get(uid)?;
        let is_behind = match &latest.what {
            What::Gone => true,
            What::Version(version) => is_older(shown.resource_version.as_deref(), version),
        };
        let left = (latest.at + BEHIND).saturating_duration_since(now);
        if is_behind && !left.is_zero() {
            return Some(left);
        }
        written.remove(uid);
        None
    }

    fn put(&self, uid: &str, what: What, now: Instant) {
        let mut written = self.0.lock();
        written.retain(|_, latest| now.saturating_duration_since(latest.at) < BEHIND);
        written.insert(uid.to_owned(), Latest { what, at: now });
    }
}

/// Whether a version of an object is older than another one of it. Versions are decimal numbers that grow
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>); nothing follows from one that is not.
fn is_older(shown: Option<&str>, written: &str) -> bool {
    let number = |version: &str| version.parse::<u64>().ok();
    match (shown.and_then(number), number(written)) {
        (Some(shown), Some(written)) => shown < written,
        (_, None) | (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uid: &str, version: &str) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn an_older_copy_waits_for_what_was_written_and_no_other_one_does() {
        let (written, now) = (Written::default(), Instant::now());
        assert_eq!(written.wait(&object("a", "9"), now), None);
        written.note(&object("a", "10"), now);
        assert_eq!(written.wait(&object("a", "9"), now), Some(BEHIND));
        assert_eq!(
            written.wait(&object("b", "9"), now),
            None,
            "another of its name"
        );
        assert_eq!(written.wait(&object("a", "10"), now), None);
        written.note(&object("a", "12"), now);
        assert_eq!(
            written.wait(&object("a", "13"), now),
            None,
            "others wrote, too"
        );
    }

    #[test]
    fn a_watch_that_stays_behind_is_believed_in_the_end() {
        let (written, now) = (Written::default(), Instant::now());
        written.note(&object("a", "10"), now);
        assert_eq!(written.wait(&object("a", "9"), now + BEHIND), None);
        written.note(&object("a", "word"), now);
        assert_eq!(written.wait(&object("a", "9"), now), None);
    }

    #[test]
    fn what_was_let_go_is_known_for_a_while() {
        let (written, now) = (Written::default(), Instant::now());
        written.let_go("a", now);
        assert_eq!(written.wait(&object("a", "11"), now), Some(BEHIND));
        assert_eq!(written.wait(&object("b", "11"), now), None);
        let later = now + BEHIND;
        written.let_go("b", later);
        assert_eq!(written.0.lock().len(), 1, "what is over takes no memory");
        assert_eq!(
            written.wait(&object("a", "11"), later),
            None,
            "somebody put it back"
        );
    }
}
