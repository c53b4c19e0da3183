//! What the controller of instances knows, for the controllers of what lives on them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::server::Server;
use crate::api::{DatabaseInstance, InstanceReason};

/// Every instance that was looked at since this process leads.
#[derive(Default)]
pub struct Instances {
    entries: RwLock<HashMap<String, Entry>>,
}

/// One instance.
#[derive(Clone)]
pub struct Entry {
    /// The object as it was when it was last looked at.
    pub object: Arc<DatabaseInstance>,
    /// Whether its server may be used.
    pub standing: Standing,
}

/// Whether a server may be used.
#[derive(Clone)]
pub enum Standing {
    /// It may.
    Usable(Arc<Server>),
    /// It may not, for the reason that the instance's own conditions give.
    Unusable {
        /// Their reason.
        reason: InstanceReason,
        /// Their message.
        message: String,
    },
}

impl Instances {
    /// The instance of this name, if it was looked at.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Notes what was found. Tells whether the databases on it have to know: it became usable, or its object changed.
    pub(super) fn put(&self, name: &str, entry: Entry) -> bool {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let concerns = entries.get(name).is_none_or(|known| known.differs(&entry));
        entries.insert(name.to_owned(), entry);
        concerns
    }

    /// Forgets an instance that is gone.
    pub(super) fn remove(&self, name: &str) {
        self.entries
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }
}

impl Entry {
    fn differs(&self, other: &Self) -> bool {
        let same_standing = match (&self.standing, &other.standing) {
            (Standing::Usable(one), Standing::Usable(two)) => Arc::ptr_eq(one, two),
            (Standing::Unusable { reason: one, .. }, Standing::Unusable { reason: two, .. }) => {
                one == two
            }
            (Standing::Usable(_), Standing::Unusable { .. })
            | (Standing::Unusable { .. }, Standing::Usable(_)) => false,
        };
        !same_standing || self.object.metadata.generation != other.object.metadata.generation
    }
}
