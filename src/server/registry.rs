//! What the instance controller knows, for the controllers of the objects on those instances.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::handle::Server;
use crate::api::{ACKNOWLEDGE_IDENTITY, DatabaseInstance, InstanceReason};

/// Every instance that was reconciled since this process leads.
#[derive(Default)]
pub struct Instances {
    entries: RwLock<HashMap<String, Entry>>,
}

/// One instance.
#[derive(Clone)]
pub struct Entry {
    /// The object as it was when it was last reconciled.
    pub object: Arc<DatabaseInstance>,
    /// Whether its server may be used.
    pub availability: Availability,
}

/// Whether a server may be used.
#[derive(Clone)]
pub enum Availability {
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
    /// The instance of this name, if it was reconciled.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.entries.read().get(name).cloned()
    }

    /// Notes what was found. Tells whether the databases on it have to know: it became usable, or its object changed.
    pub fn put(&self, name: &str, entry: Entry) -> bool {
        let mut entries = self.entries.write();
        let concerns = entries.get(name).is_none_or(|known| known.differs(&entry));
        entries.insert(name.to_owned(), entry);
        concerns
    }

    /// Forgets an instance that is gone.
    pub fn remove(&self, name: &str) {
        self.entries.write().remove(name);
    }
}

impl Entry {
    /// The identity of the server that was acknowledged as the right one.
    #[must_use]
    pub fn acknowledged(&self) -> Option<&str> {
        let annotations = self.object.metadata.annotations.as_ref();
        annotations?.get(ACKNOWLEDGE_IDENTITY).map(String::as_str)
    }

    fn differs(&self, other: &Self) -> bool {
        let same_standing = match (&self.availability, &other.availability) {
            (Availability::Usable(one), Availability::Usable(two)) => Arc::ptr_eq(one, two),
            (
                Availability::Unusable { reason: one, .. },
                Availability::Unusable { reason: two, .. },
            ) => one == two,
            (Availability::Usable(_), Availability::Unusable { .. })
            | (Availability::Unusable { .. }, Availability::Usable(_)) => false,
        };
        !same_standing
            || self.object.metadata.generation != other.object.metadata.generation
            || self.acknowledged() != other.acknowledged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn databases_have_to_know_what_changes_something_for_them() {
        let entry = |annotations, reason| {
            Entry {
            object: Arc::new(
                serde_json::from_value(json!({
                    "apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance",
                    "metadata": {"name": "a", "generation": 1, "annotations": annotations},
                    "spec": {"provider": "postgresql", "host": "h", "adminSecretRef": {"name": "s"}, "allowedNamespaces": {"all": true}},
                }))
                .unwrap(),
            ),
            availability: Availability::Unusable {
                reason,
                message: String::new(),
            },
        }
        };
        let plain = || entry(json!({"other": "x"}), InstanceReason::Unreachable);
        let instances = Instances::default();
        assert!(instances.put("a", plain()), "the first look");
        assert!(!instances.put("a", plain()));
        let acknowledged = json!({ACKNOWLEDGE_IDENTITY: "two"});
        let acknowledged = entry(acknowledged, InstanceReason::Unreachable);
        assert!(instances.put("a", acknowledged.clone()));
        assert!(!instances.put("a", acknowledged));
        assert!(instances.put("a", entry(json!({}), InstanceReason::ReadOnly)));
    }
}
