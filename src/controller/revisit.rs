//! When an object is looked at again, so that one that did not change costs nothing.
//!
//! Nothing here is needed for correctness: a process that remembers nothing looks at everything once.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// When each object is looked at again, by its UID. `A` is what a pass over an object is about: what it depends on, as far
/// as that announces its changes.
pub struct Revisit<A>(Mutex<HashMap<String, Look<A>>>);

/// The last look at an object.
struct Look<A> {
    about: Option<A>,
    due: Option<Instant>,
    /// How often something woke the object: what wakes it during a pass is for the next one.
    invalidations: u64,
}

impl<A> Default for Revisit<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A> Default for Look<A> {
    fn default() -> Self {
        Self {
            about: None,
            due: None,
            invalidations: 0,
        }
    }
}

/// A pass that has begun, as [`Revisit::begin`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun(u64);

impl<A: PartialEq> Revisit<A> {
    /// Begins a pass: to be called before it looks at anything.
    pub fn begin(&self, uid: &str) -> Begun {
        let mut looks = self.lock();
        Begun(looks.entry(uid.to_owned()).or_default().invalidations)
    }

    /// Notes what a pass was about, and when the next one is due. If something woke the object meanwhile, that is now.
    pub fn note(&self, uid: &str, about: A, due: Instant, begun: Begun) {
        let mut looks = self.lock();
        let look = looks.entry(uid.to_owned()).or_default();
        look.about = Some(about);
        look.due = (look.invalidations == begun.0).then_some(due);
    }

    /// How long nothing is to be done for an object, if a pass over it would be about the same as the last one.
    pub fn rest(&self, uid: &str, about: &A, now: Instant) -> Option<Duration> {
        let looks = self.lock();
        let look = looks.get(uid)?;
        let due = look.due.filter(|_| look.about.as_ref() == Some(about))?;
        Some(due.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// Makes an object due now, also one that a pass is looking at in this moment.
    pub fn invalidate(&self, uid: &str) {
        if let Some(look) = self.lock().get_mut(uid) {
            look.due = None;
            look.invalidations = look.invalidations.wrapping_add(1);
        }
    }

    /// Forgets an object: it is gone, or is looked at whenever something wakes it.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets the objects that are not among these.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Look<A>>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(2);

    #[test]
    fn an_object_rests_until_it_is_due_or_something_about_it_changes() {
        let (revisit, now) = (Revisit::default(), Instant::now());
        assert_eq!(revisit.rest("a", &1, now), None);
        let begun = revisit.begin("a");
        assert_eq!(revisit.rest("a", &1, now), None);
        revisit.note("a", 1, now + REST, begun);
        assert_eq!(revisit.rest("a", &1, now), Some(REST));
        assert_eq!(revisit.rest("a", &2, now), None, "it changed");
        assert_eq!(revisit.rest("a", &1, now + REST), None, "it is due");
        revisit.invalidate("a");
        assert_eq!(revisit.rest("a", &1, now), None, "it was woken");
    }

    #[test]
    fn one_that_is_woken_during_a_pass_is_looked_at_again() {
        let (revisit, now) = (Revisit::default(), Instant::now());
        // Also during the first one, when nothing is remembered yet.
        for _ in 0..2 {
            let begun = revisit.begin("a");
            revisit.invalidate("a");
            revisit.note("a", 1, now + REST, begun);
            assert_eq!(revisit.rest("a", &1, now), None);
            revisit.note("a", 1, now + REST, revisit.begin("a"));
            assert_eq!(revisit.rest("a", &1, now), Some(REST));
        }
    }

    #[test]
    fn what_is_gone_is_forgotten_and_what_was_never_looked_at_is_not_remembered() {
        let (revisit, now) = (Revisit::default(), Instant::now());
        revisit.invalidate("never");
        for uid in ["gone", "there", "ended"] {
            revisit.note(uid, 1, now + REST, revisit.begin(uid));
        }
        revisit.forget("ended");
        revisit.keep_only(&HashSet::from(["there".to_owned()]));
        assert_eq!(revisit.lock().len(), 1);
        assert_eq!(revisit.rest("there", &1, now), Some(REST));
    }
}
