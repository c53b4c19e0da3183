//! What this process has seen of each Database, and remembers between its passes. Nothing here is needed for correctness.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt;
use parking_lot::Mutex;

use super::backups::Fingerprint;
use super::concerns::Notice;
use super::wake::ForBackups;
use crate::api::{Database, RECONCILE_REQUESTED_AT, RECREATE_REQUESTED_AT, RELEASE};
use crate::controller::{finalizer, revisit};
use crate::server::Server;
use crate::server::registry::{Availability, Entry};

/// The annotations that ask for something.
const REQUESTS: [&str; 3] = [RECONCILE_REQUESTED_AT, RECREATE_REQUESTED_AT, RELEASE];

/// What a pass over a Database is about. What else it writes into its own status is no reason for another one.
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

impl revisit::About for About {
    fn is_deleting(&self) -> bool {
        self.deleting
    }

    /// A deletion cannot be repeated.
    fn is_asked_for(&self, next: &Self) -> bool {
        self.deleting == next.deleting
            && (self.generation != next.generation || self.requests != next.requests)
    }
}

/// What is remembered, by the Database's UID.
#[derive(Default)]
pub struct Remembered {
    looks: Mutex<HashMap<String, Look>>,
    /// What the Backups of each last heard of it, where there was anything to hear.
    announced: Mutex<HashMap<String, ForBackups>>,
}

/// What is known of the looks at the server for one Database.
#[derive(Clone)]
struct Look {
    settled: Instant,
    deep_due: Instant,
    proof_due: Instant,
    inside: Option<Notice>,
}

/// How a pass looked at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What lives inside the database was checked, too.
    pub deep: bool,
    /// The server was asked or changed for this Database alone. Otherwise an older view of it is still good.
    pub anew: bool,
    /// That the user can log in was found out, in whichever way.
    pub proved: bool,
    /// What a person has to know of what is inside, as the last look there found it. Counts with `proved`.
    pub inside: Option<Notice>,
}

impl Default for Looked {
    /// Without knowing better: no view from before this pass is good any more, and nothing was checked.
    fn default() -> Self {
        Self {
            deep: false,
            anew: true,
            proved: false,
            inside: None,
        }
    }
}

/// When looks are due, as of the beginning of a pass.
pub struct Due {
    /// When to look deeply next, after a pass that did so.
    pub next_deep: Instant,
    /// The same, if no pass has done so yet.
    pub first_deep: Instant,
    /// When to prove next that the user can log in, after a pass that did so.
    pub next_proof: Instant,
    /// The same, if no pass has done so yet.
    pub first_proof: Instant,
    /// The oldest view that is good for a Database for which this process has changed nothing yet.
    pub oldest: Instant,
}

impl Remembered {
    /// When its server was last asked or changed for a Database. A view of the server must not be older.
    #[must_use]
    pub fn settled(&self, uid: &str) -> Option<Instant> {
        self.looks.lock().get(uid).map(|look| look.settled)
    }

    /// Whether it is time to check what lives inside the database, and its password.
    #[must_use]
    pub fn is_deep_due(&self, uid: &str, now: Instant) -> bool {
        let looks = self.looks.lock();
        looks.get(uid).is_some_and(|look| now >= look.deep_due)
    }

    /// When to prove that the user can log in, if this process has looked at the Database.
    #[must_use]
    pub fn proof_due(&self, uid: &str) -> Option<Instant> {
        self.looks.lock().get(uid).map(|look| look.proof_due)
    }

    /// What the last look inside found that a person has to know.
    #[must_use]
    pub fn inside(&self, uid: &str) -> Option<Notice> {
        self.looks.lock().get(uid)?.inside.clone()
    }

    /// Notes how a pass that ended `now` looked at the server.
    pub fn note(&self, uid: &str, looked: Looked, due: &Due, now: Instant) {
        let mut looks = self.looks.lock();
        let look = looks.entry(uid.to_owned()).or_insert_with(|| Look {
            settled: due.oldest,
            deep_due: due.first_deep,
            proof_due: due.first_proof,
            inside: None,
        });
        if looked.anew {
            look.settled = now;
        }
        if looked.deep {
            look.deep_due = due.next_deep;
        }
        if looked.proved {
            look.proof_due = due.next_proof;
            look.inside = looked.inside;
        }
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

    /// Forgets a Database that is gone.
    pub fn forget(&self, uid: &str) {
        self.looks.lock().remove(uid);
        self.announced.lock().remove(uid);
    }
}

#[cfg(test)]
#[path = "remembered_tests.rs"]
mod tests;
