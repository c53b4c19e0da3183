//! What a pass over an instance sees before it decides. Reads Secrets, the cache and what this process knows of the
//! server; the server itself is not asked, and nothing is changed.

use std::time::Instant;

use kube::ResourceExt;

use super::dependents::Dependents;
use super::pass::Pass;
use super::state::Facts;
use crate::api::instance::DatabaseInstanceStatus;
use crate::api::{ACKNOWLEDGE_IDENTITY, DatabaseInstance, FINALIZER, RECONCILE_REQUESTED_AT};
use crate::controller::Error;
use crate::server::Finding;
use crate::server::access::{self, Access, Incomplete};
use crate::server::connections::Known;
use crate::server::refusal::SpecFingerprint;

/// The annotations that ask for an inspection.
pub const REQUESTS: [&str; 2] = [RECONCILE_REQUESTED_AT, ACKNOWLEDGE_IDENTITY];

/// What was seen.
pub struct Observation {
    /// What a decision needs.
    pub facts: Facts,
    /// The Databases that refer to the instance.
    pub dependents: Dependents,
    /// How the server is reached.
    pub way: Way,
    /// What is known of the server without asking it.
    pub known: Known,
}

/// How a server is reached.
pub enum Way {
    /// It was not looked for: nothing is asked of the server.
    Unread,
    /// With this.
    Complete(Box<Access>),
    /// Not at all, and why.
    Incomplete(Finding),
}

/// Observes an instance; `None` until the Databases have been read, because it is unknown which refer to it.
pub async fn observe(pass: &Pass<'_>) -> Result<Option<Observation>, Error> {
    let (context, instance) = (pass.context, &pass.instance);
    let Some(databases) = context.cache.all_databases() else {
        return Ok(None);
    };
    let dependents = Dependents::of(&instance.name_any(), &databases);
    let mut seen = Observation {
        facts: Facts {
            deleting: instance.metadata.deletion_timestamp.is_some(),
            in_use: !dependents.is_empty(),
            finalizer: instance.finalizers().iter().any(|name| name == FINALIZER),
            suspended: instance.spec.suspend,
            reachable: false,
            requested: is_requested(instance, &pass.status()),
            fresh: false,
            refused: false,
            asked: false,
        },
        dependents,
        way: Way::Unread,
        known: Known::default(),
    };
    let leaves = seen.facts.deleting && !seen.facts.in_use;
    if !leaves && !seen.facts.suspended {
        seen.look_for_the_way(pass).await?;
    }
    Ok(Some(seen))
}

impl Observation {
    async fn look_for_the_way(&mut self, pass: &Pass<'_>) -> Result<(), Error> {
        let (context, instance) = (pass.context, &pass.instance);
        let read = access::read(&context.client, &context.namespace, instance).await?;
        self.way = match read {
            Ok(access) => {
                self.known = context.connections.known(
                    &instance.name_any(),
                    &access,
                    &SpecFingerprint::of(instance),
                    context.resync,
                    Instant::now(),
                );
                Way::Complete(Box::new(access))
            }
            Err(Incomplete { reason, message }) => Way::Incomplete((reason, message)),
        };
        self.facts.reachable = matches!(self.way, Way::Complete(_));
        self.facts.fresh = self.known.is_fresh();
        self.facts.refused = self.known.refusal.is_some();
        Ok(())
    }
}

/// Whether someone asked for an inspection that did not happen yet.
fn is_requested(instance: &DatabaseInstance, status: &DatabaseInstanceStatus) -> bool {
    status.observed_generation != instance.metadata.generation
        || REQUESTS.into_iter().any(|key| {
            instance
                .annotations()
                .get(key)
                .is_some_and(|value| status.handled.get(key) != Some(value))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn instance(annotations: &Value) -> DatabaseInstance {
        serde_json::from_value(json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance",
            "metadata": {"name": "main", "generation": 2, "annotations": annotations},
            "spec": {"provider": "postgresql", "host": "db", "adminSecretRef": {"name": "admin"},
                     "allowedNamespaces": {"all": true}},
        }))
        .unwrap()
    }

    #[test]
    fn a_change_and_each_annotation_ask_once() {
        let mut status = DatabaseInstanceStatus::default();
        assert!(is_requested(&instance(&json!({})), &status));
        status.observed_generation = Some(2);
        assert!(!is_requested(&instance(&json!({})), &status));
        for key in REQUESTS {
            let asks = instance(&json!({key: "1"}));
            assert!(is_requested(&asks, &status), "{key}");
            status.handled.insert(key.to_owned(), "1".to_owned());
            assert!(!is_requested(&asks, &status), "{key}");
            assert!(is_requested(&instance(&json!({key: "2"})), &status));
        }
    }
}
