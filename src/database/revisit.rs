//! What this process remembers of each Database between its passes, so that an unchanged one costs nothing.
//!
//! Nothing here is needed for correctness: a process that starts without any of it looks at everything once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use parking_lot::{Mutex, MutexGuard};

use super::allowance::Allowance;
use super::backups::Fingerprint;
use super::wake::ForBackups;
use crate::api::{Database, RECONCILE_REQUESTED_AT, RECREATE_REQUESTED_AT, RELEASE};
use crate::controller::finalizer;
use crate::server::Server;
use crate::server::registry::{Availability, Entry};

/// The annotations that ask for something.
const REQUESTS: [&str; 3] = [RECONCILE_REQUESTED_AT, RECREATE_REQUESTED_AT, RELEASE];

/// What is remembered of each Database, by its UID.
#[derive(Default)]
pub struct Revisits {
    passes: Mutex<HashMap<String, Remembered>>,
    /// How often each was invalidated: one that comes during a pass is for the next.
    invalidations: Mutex<HashMap<String, u64>>,
    /// Those that are gone, and since when: a watch is behind, and still shows them for a moment.
    gone: Mutex<HashMap<String, Instant>>,
    /// What the Backups of each last heard of it, where there was anything to hear.
    announced: Mutex<HashMap<String, ForBackups>>,
}

/// How far a watch may be behind.
const BEHIND: Duration = Duration::from_secs(10);

/// What the last pass over a Database was about, and when the next is due.
#[derive(Clone)]
struct Remembered {
    about: About,
    settled: Instant,
    due: Instant,
    deep_due: Instant,
    /// It waited for a lock that someone holds. Until then, only its deletion has it looked at again.
    locked_until: Instant,
    allowance: Allowance,
}

/// How a pass ended, as far as it is remembered.
pub struct Note {
    /// What it was about.
    pub about: About,
    /// The count of [`Revisits::invalidations`] when it began: if that has moved, the Database is due again at once.
    pub invalidations: u64,
    /// How long it may rest if nothing changes.
    pub rest: Duration,
    /// When to check next what lives inside the database, if this pass did so.
    pub deep_due: Option<Instant>,
    /// The same, if no pass has done so yet.
    pub first_deep: Instant,
    /// The server was asked or changed for this Database alone. Otherwise an older view of it is still good.
    pub anew: bool,
    /// The oldest view that is good for a Database for which this process has changed nothing yet.
    pub oldest: Instant,
    /// How long it is left alone because it waited for a lock that someone holds.
    pub lock_wait: Duration,
}

/// Everything from outside that a pass depends on and that announces its changes.
#[derive(Clone)]
pub struct About {
    generation: Option<i64>,
    deleting: bool,
    finalizer_lost: bool,
    requests: Vec<Option<String>>,
    instance: Option<i64>,
    acknowledged: Option<String>,
    server: Option<Arc<Server>>,
    backups: Fingerprint,
}

impl PartialEq for About {
    fn eq(&self, other: &Self) -> bool {
        let same_server = match (&self.server, &other.server) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_server
            && self.generation == other.generation
            && self.deleting == other.deleting
            && self.finalizer_lost == other.finalizer_lost
            && self.requests == other.requests
            && self.instance == other.instance
            && self.acknowledged == other.acknowledged
            && self.backups == other.backups
    }
}

impl About {
    /// Whether `other` differs by a request of the object's owner, who may repeat it. (A deletion cannot be repeated.)
    fn is_asked_for(&self, other: &Self) -> bool {
        self.deleting == other.deleting
            && (self.generation != other.generation || self.requests != other.requests)
    }

    /// What a pass over this Database would be about now.
    #[must_use]
    pub fn of(database: &Database, instance: Option<&Entry>, backups: Fingerprint) -> Self {
        Self {
            generation: database.metadata.generation,
            deleting: database.metadata.deletion_timestamp.is_some(),
            finalizer_lost: finalizer::is_lost(&database.metadata, database.state().is_some()),
            requests: REQUESTS
                .iter()
                .map(|key| database.annotations().get(*key).cloned())
                .collect(),
            instance: instance.and_then(|entry| entry.object.metadata.generation),
            acknowledged: instance.and_then(|entry| entry.acknowledged().map(str::to_owned)),
            server: instance.and_then(|entry| match &entry.availability {
                Availability::Usable(server) => Some(Arc::clone(server)),
                Availability::Unusable { .. } => None,
            }),
            backups,
        }
    }
}

impl Revisits {
    /// How long a Database may rest; `None` if a pass is due.
    #[must_use]
    pub fn rest(&self, uid: &str, about: &About, now: Instant) -> Option<Duration> {
        let passes = self.lock();
        let known = passes.get(uid)?;
        let rest = if known.about == *about {
            known.due.saturating_duration_since(now)
        } else if known.about.is_asked_for(about) {
            known.allowance.wait(now)
        } else {
            Duration::ZERO
        };
        Some(rest).filter(|rest| !rest.is_zero())
    }

    /// How long a Database that waited for a lock is left alone, whatever is asked for but its deletion. What is asked for
    /// meanwhile is done then.
    #[must_use]
    pub fn lock_wait(&self, uid: &str, deleting: bool, now: Instant) -> Option<Duration> {
        let passes = self.lock();
        let known = passes
            .get(uid)
            .filter(|known| known.about.deleting == deleting)?;
        Some(known.locked_until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// When its server was last asked or changed for a Database. A view of the server must not be older.
    #[must_use]
    pub fn settled(&self, uid: &str) -> Option<Instant> {
        self.lock().get(uid).map(|known| known.settled)
    }

    /// Whether it is time to check what lives inside the database, and its password.
    #[must_use]
    pub fn is_deep_due(&self, uid: &str, now: Instant) -> bool {
        self.lock()
            .get(uid)
            .is_some_and(|known| now >= known.deep_due)
    }

    /// How often a Database was invalidated. To be read before a pass looks at anything.
    #[must_use]
    pub fn invalidations(&self, uid: &str) -> u64 {
        let invalidations = self.invalidations.lock();
        invalidations.get(uid).copied().unwrap_or_default()
    }

    /// Notes a pass that ended `now`.
    pub fn note(&self, uid: &str, note: Note, now: Instant) {
        let suspected = self.invalidations(uid) != note.invalidations;
        let mut passes = self.lock();
        let before = passes.get(uid);
        let settled = if note.anew {
            now
        } else {
            before.map_or(note.oldest, |known| known.settled)
        };
        let deep_due = note
            .deep_due
            .or_else(|| before.map(|known| known.deep_due))
            .unwrap_or(note.first_deep);
        let allowance = match before {
            None => Allowance::new(now).used(now),
            Some(known) if known.about.is_asked_for(&note.about) => known.allowance.used(now),
            Some(known) => known.allowance,
        };
        passes.insert(
            uid.to_owned(),
            Remembered {
                about: note.about,
                settled,
                due: if suspected { now } else { now + note.rest },
                deep_due,
                locked_until: now + note.lock_wait,
                allowance,
            },
        );
    }

    /// Makes a Database due at once, even while a pass is looking at it.
    pub fn invalidate(&self, uid: &str) {
        let mut invalidations = self.invalidations.lock();
        let count = invalidations.entry(uid.to_owned()).or_default();
        *count = count.wrapping_add(1);
        drop(invalidations);
        if let Some(known) = self.lock().get_mut(uid) {
            known.due = Instant::now();
        }
    }

    /// Forgets a Database that is gone, except that it is.
    pub fn let_go(&self, uid: &str, now: Instant) {
        self.lock().remove(uid);
        self.invalidations.lock().remove(uid);
        self.announced.lock().remove(uid);
        let mut gone = self.gone.lock();
        gone.retain(|_, since| now.saturating_duration_since(*since) < BEHIND);
        gone.insert(uid.to_owned(), now);
    }

    /// How long the watch may still show a Database that is gone. One that is there after that was kept from going: someone
    /// put the finalizer back.
    #[must_use]
    pub fn gone(&self, uid: &str, now: Instant) -> Option<Duration> {
        let gone = self.gone.lock();
        let since = gone.get(uid)?;
        let rest = (*since + BEHIND).saturating_duration_since(now);
        (!rest.is_zero()).then_some(rest)
    }

    /// Whether this is news to the Backups of a Database. From now on it is not.
    #[must_use]
    pub fn is_news(&self, uid: &str, now: ForBackups) -> bool {
        let mut announced = self.announced.lock();
        let nothing = ForBackups::default();
        if *announced.get(uid).unwrap_or(&nothing) == now {
            return false;
        }
        if now == nothing {
            announced.remove(uid);
        } else {
            announced.insert(uid.to_owned(), now);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.passes.lock()
    }
}

#[cfg(test)]
#[path = "revisit_tests.rs"]
mod tests;
