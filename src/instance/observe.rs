//! What a pass over an instance sees before it decides. It changes nothing: a [`View`] only reads Secrets, the cache and
//! what this process knows of the server. The server itself is not asked.

use kube::ResourceExt;

use super::dependents::Dependents;
use super::state::Facts;
use super::view::View;
use crate::api::instance::DatabaseInstanceStatus;
use crate::api::{ACKNOWLEDGE_IDENTITY, DatabaseInstance, FINALIZER, RECONCILE_REQUESTED_AT};
use crate::controller::Error;
use crate::server::Finding;
use crate::server::access::{Access, Incomplete};
use crate::server::connections::Known;

/// The annotations that ask for an inspection.
pub(super) const REQUESTS: [&str; 2] = [RECONCILE_REQUESTED_AT, ACKNOWLEDGE_IDENTITY];

/// What was seen.
pub(super) struct Observation {
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
pub(super) enum Way {
    /// It was not looked for: nothing is asked of the server.
    Unread,
    /// With this.
    Complete(Box<Access>),
    /// Not at all, and why.
    Incomplete(Finding),
}

/// Observes an instance; `None` until Databases and Restores have been read, because it is unknown which refer to it.
pub(super) async fn observe(view: &View<'_>) -> Result<Option<Observation>, Error> {
    let instance = view.instance();
    let (Some(databases), Some(restores)) = (view.databases(), view.restores()) else {
        return Ok(None);
    };
    let dependents = Dependents::of(&instance.name_any(), &databases, &restores);
    let mut seen = Observation {
        facts: Facts {
            deleting: instance.metadata.deletion_timestamp.is_some(),
            in_use: !dependents.is_empty(),
            finalizer: instance.finalizers().iter().any(|name| name == FINALIZER),
            suspended: instance.spec.suspend,
            reachable: false,
            requested: is_requested(instance),
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
        seen.look_for_the_way(view).await?;
    }
    Ok(Some(seen))
}

impl Observation {
    async fn look_for_the_way(&mut self, view: &View<'_>) -> Result<(), Error> {
        self.way = match view.access().await? {
            Ok(access) => {
                self.known = view.known(&access);
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
fn is_requested(instance: &DatabaseInstance) -> bool {
    let nothing = DatabaseInstanceStatus::default();
    let status = instance.status.as_ref().unwrap_or(&nothing);
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
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::pass::Pass;
    use super::*;
    use crate::controller::fakes::{Asked, Objects, api_server, context, secret};
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
        let is_requested = |annotations: &Value, status: &DatabaseInstanceStatus| {
            let mut instance = instance(annotations);
            instance.status = Some(status.clone());
            is_requested(&instance)
        };
        assert!(is_requested(&json!({}), &status));
        status.observed_generation = Some(2);
        assert!(!is_requested(&json!({}), &status));
        for key in REQUESTS {
            let asks = json!({key: "1"});
            assert!(is_requested(&asks, &status), "{key}");
            status.handled.insert(key.to_owned(), "1".to_owned());
            assert!(!is_requested(&asks, &status), "{key}");
            assert!(is_requested(&json!({key: "2"}), &status));
        }
    }

    #[tokio::test]
    async fn observing_changes_nothing_and_opens_no_connection() {
        for (keys, reachable) in [
            (&["username", "password"][..], true),
            (&["username"], false),
        ] {
            let asked = Asked::default();
            let secret = secret("admin", keys);
            let client = api_server(&asked, [secret].into());
            let context = Arc::new(context(client, Objects::default()));
            let instance = instance(&json!({}));
            let pass = Pass::begin(&context, &instance, ());
            let seen = observe(&pass.view()).await.unwrap().unwrap();
            assert_eq!(seen.facts.reachable, reachable);
            assert!(!seen.facts.fresh && !seen.facts.refused && seen.facts.requested);
            assert_eq!(asked.count(), 1);
            asked.only_read();
            assert_eq!(context.connections.snapshot().len(), 0);
            assert!(context.instances.get("main").is_none());
        }
    }

    #[tokio::test]
    async fn nothing_is_read_for_an_instance_that_goes_or_is_left_alone() {
        let mut goes = instance(&json!({}));
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now());
        goes.metadata.deletion_timestamp = Some(now);
        let mut suspended = instance(&json!({}));
        suspended.spec.suspend = true;
        for instance in [goes, suspended] {
            let asked = Asked::default();
            let client = api_server(&asked, BTreeMap::new());
            let context = Arc::new(context(client, Objects::default()));
            let pass = Pass::begin(&context, &instance, ());
            let seen = observe(&pass.view()).await.unwrap().unwrap();
            assert!(!seen.facts.reachable);
            assert_eq!(asked.count(), 0);
        }
    }
}
