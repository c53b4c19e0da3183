//! What this process remembers of each Database between its passes, so that an unchanged one costs nothing.
//!
//! Nothing here is needed for correctness: a process that starts with an empty memory looks at everything once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;

use super::turn::{Digest, Told};
use crate::api::{Database, RECONCILE_REQUESTED_AT, RECREATE_REQUESTED_AT, RELEASE};
use crate::instance::registry::{Entry, Standing};
use crate::instance::server::Server;

/// The annotations that ask for something.
const REQUESTS: [&str; 3] = [RECONCILE_REQUESTED_AT, RECREATE_REQUESTED_AT, RELEASE];

/// Every Database that was looked at, by its UID.
#[derive(Default)]
pub struct Memory {
    passes: Mutex<HashMap<String, Remembered>>,
    /// Those that were let go, and when: a watch is behind, and still shows them for a moment.
    gone: Mutex<HashMap<String, Instant>>,
    /// What the Backups of each were last told, where that is more than nothing.
    told: Mutex<HashMap<String, Told>>,
}

/// How far a watch may be behind.
const BEHIND: Duration = Duration::from_mins(1);

/// What the last pass over a Database was about, and when the next is due.
#[derive(Clone)]
struct Remembered {
    about: About,
    settled: Instant,
    due: Instant,
    deep_due: Instant,
}

/// Everything from outside that a pass depends on and that announces its changes.
#[derive(Clone)]
pub struct About {
    generation: Option<i64>,
    deleting: bool,
    requests: Vec<Option<String>>,
    instance: Option<i64>,
    server: Option<Arc<Server>>,
    backups: Digest,
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
            && self.requests == other.requests
            && self.instance == other.instance
            && self.backups == other.backups
    }
}

impl About {
    /// What a pass over this Database would be about now.
    #[must_use]
    pub fn of(database: &Database, instance: Option<&Entry>, backups: Digest) -> Self {
        Self {
            generation: database.metadata.generation,
            deleting: database.metadata.deletion_timestamp.is_some(),
            requests: REQUESTS
                .iter()
                .map(|key| database.annotations().get(*key).cloned())
                .collect(),
            instance: instance.and_then(|entry| entry.object.metadata.generation),
            server: instance.and_then(|entry| match &entry.standing {
                Standing::Usable(server) => Some(Arc::clone(server)),
                Standing::Unusable { .. } => None,
            }),
            backups,
        }
    }
}

impl Memory {
    /// How long nothing has to be done about a Database, if that is so.
    #[must_use]
    pub fn rest(&self, uid: &str, about: &About, now: Instant) -> Option<Duration> {
        let passes = self.lock();
        let known = passes.get(uid).filter(|known| known.about == *about)?;
        Some(known.due.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// When its server was last changed or looked at for a Database. A view of the server must not be older.
    #[must_use]
    pub fn settled(&self, uid: &str) -> Option<Instant> {
        self.lock().get(uid).map(|known| known.settled)
    }

    /// Whether what lives inside the database, and its password, are to be checked; the first time within `period`.
    #[must_use]
    pub fn is_deep_due(&self, uid: &str, now: Instant) -> bool {
        self.lock()
            .get(uid)
            .is_some_and(|known| now >= known.deep_due)
    }

    /// Notes a pass. `deep` is when the next deep one is due; `None` leaves that as it was, or makes it `otherwise`.
    /// After a pass that was not `anew`, an older view of the server is still good.
    pub fn note(
        &self,
        uid: &str,
        about: About,
        due: Instant,
        deep: Option<Instant>,
        otherwise: Instant,
        anew: bool,
    ) {
        let mut passes = self.lock();
        let before = passes.get(uid).filter(|_| !anew);
        let settled = before.map_or_else(Instant::now, |known| known.settled);
        let deep_due = deep
            .or_else(|| passes.get(uid).map(|known| known.deep_due))
            .unwrap_or(otherwise);
        passes.insert(
            uid.to_owned(),
            Remembered {
                about,
                settled,
                due,
                deep_due,
            },
        );
    }

    /// Makes a Database due at once.
    pub fn suspect(&self, uid: &str) {
        if let Some(known) = self.lock().get_mut(uid) {
            known.due = Instant::now();
        }
    }

    /// Forgets a Database that was let go, but for that.
    pub fn let_go(&self, uid: &str, now: Instant) {
        self.lock().remove(uid);
        self.told_lock().remove(uid);
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|_, since| now.saturating_duration_since(*since) < BEHIND);
        gone.insert(uid.to_owned(), now);
    }

    /// Whether a Database was let go, and is only still shown.
    #[must_use]
    pub fn is_gone(&self, uid: &str) -> bool {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.contains_key(uid)
    }

    /// Whether the Backups of a Database were told something else than this. It is taken down as told.
    #[must_use]
    pub fn is_news(&self, uid: &str, now: Told) -> bool {
        let mut told = self.told_lock();
        let nothing = Told::default();
        if *told.get(uid).unwrap_or(&nothing) == now {
            return false;
        }
        if now == nothing {
            told.remove(uid);
        } else {
            told.insert(uid.to_owned(), now);
        }
        true
    }

    fn told_lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Remembered>> {
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            generation: Some(1),
            deleting: false,
            requests: Vec::new(),
            instance: None,
            server: None,
            backups: Digest::default(),
        }
    }

    #[test]
    fn an_older_view_stays_good_until_something_is_done() {
        let memory = Memory::default();
        let now = Instant::now();
        let note = |anew| {
            memory.note("a", about(), now, None, now, anew);
            memory.settled("a").unwrap()
        };
        let first = note(false);
        assert_eq!(note(false), first);
        assert!(note(true) > first);
    }

    #[test]
    fn what_was_let_go_is_known_for_a_while() {
        let memory = Memory::default();
        let now = Instant::now();
        memory.let_go("a", now);
        assert!(memory.is_gone("a") && !memory.is_gone("b"));
        memory.let_go("b", now + BEHIND);
        assert!(!memory.is_gone("a") && memory.is_gone("b"));
    }
}
