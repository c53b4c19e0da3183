//! When an object is looked at again, so that one that did not change costs nothing.
//!
//! Nothing here is needed for correctness: a process that remembers nothing looks at everything once.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::allowance::Allowance;

/// What a pass over an object depends on, as far as that announces its changes.
pub trait About: PartialEq {
    /// Whether the object is being deleted.
    fn is_deleting(&self) -> bool;

    /// Whether `next` differs by a request of the object's owner, who may repeat it.
    fn is_asked_for(&self, _next: &Self) -> bool {
        false
    }
}

/// When each object is looked at again, by its UID.
pub struct Revisit<A>(Mutex<HashMap<String, Look<A>>>);

/// What is remembered of an object.
struct Look<A> {
    last: Option<Last<A>>,
    /// How often something woke the object: what wakes it during a pass is for the next one.
    invalidations: u64,
}

/// The last pass over an object.
struct Last<A> {
    about: A,
    /// When the next one is due; `None`: now.
    due: Option<Instant>,
    /// Until when only the object's deletion has it looked at again.
    locked_until: Option<Instant>,
    allowance: Allowance,
}

impl<A> Default for Revisit<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A> Default for Look<A> {
    fn default() -> Self {
        Self {
            last: None,
            invalidations: 0,
        }
    }
}

/// A pass that has begun.
#[derive(Debug)]
pub struct Begun<A> {
    uid: String,
    /// When it began.
    pub at: Instant,
    /// What it is about. What the pass itself changes of that, it changes here, too.
    pub about: A,
    invalidations: u64,
}

impl<A> Begun<A> {
    /// The object's UID.
    pub fn uid(&self) -> &str {
        &self.uid
    }
}

impl<A: About> Revisit<A> {
    /// Begins a pass: to be called before it looks at anything.
    pub fn begin(&self, uid: &str, about: A, now: Instant) -> Begun<A> {
        let mut looks = self.lock();
        Begun {
            uid: uid.to_owned(),
            at: now,
            about,
            invalidations: looks.entry(uid.to_owned()).or_default().invalidations,
        }
    }

    /// Notes a pass that ended `now`, and when the next one is due. If something woke the object meanwhile, that is now.
    pub fn note(&self, begun: Begun<A>, due: Instant, now: Instant) {
        let mut looks = self.lock();
        let look = looks.entry(begun.uid).or_default();
        let allowance = match &look.last {
            None => Allowance::new(now).used(now),
            Some(last) if last.about.is_asked_for(&begun.about) => last.allowance.used(now),
            Some(last) => last.allowance,
        };
        look.last = Some(Last {
            about: begun.about,
            due: (look.invalidations == begun.invalidations).then_some(due),
            locked_until: None,
            allowance,
        });
    }

    /// Notes that the last pass waited for a lock that somebody holds. Until this moment only the object's deletion has it
    /// looked at again; what is asked for meanwhile is done then.
    pub fn lock_out(&self, uid: &str, until: Instant) {
        if let Some(last) = self.lock().get_mut(uid).and_then(|look| look.last.as_mut()) {
            last.locked_until = Some(until);
        }
    }

    /// How long an object is left alone whose last pass waited for a lock, whatever is asked for but its deletion.
    pub fn locked_out(&self, uid: &str, about: &A, now: Instant) -> Option<Duration> {
        let looks = self.lock();
        let last = looks.get(uid)?.last.as_ref()?;
        let until =
            (last.locked_until).filter(|_| last.about.is_deleting() == about.is_deleting())?;
        some_time(until.saturating_duration_since(now))
    }

    /// How long nothing is to be done for an object: while a pass over it would be about the same as the last one, or its
    /// owner asks too often.
    pub fn rest(&self, uid: &str, about: &A, now: Instant) -> Option<Duration> {
        let looks = self.lock();
        let last = looks.get(uid)?.last.as_ref()?;
        if last.about == *about {
            some_time(last.due?.saturating_duration_since(now))
        } else if last.about.is_asked_for(about) {
            some_time(last.allowance.wait(now))
        } else {
            None
        }
    }

    /// Makes an object due now, also one that a pass is looking at in this moment.
    pub fn invalidate(&self, uid: &str) {
        if let Some(look) = self.lock().get_mut(uid) {
            look.invalidations = look.invalidations.wrapping_add(1);
            if let Some(last) = &mut look.last {
                last.due = None;
            }
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

fn some_time(rest: Duration) -> Option<Duration> {
    (!rest.is_zero()).then_some(rest)
}

#[cfg(test)]
#[path = "revisit_tests.rs"]
mod tests;
