//! Databases, Secrets and Events: written, read, waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use db_operator::api::{
    Condition, ConditionStatus, Database, DatabaseState, RECONCILE_REQUESTED_AT,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::{Fixture, SOON, eventually, object_until};

/// The condition of this type, if it is there.
#[must_use]
pub fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is true for this reason.
fn holds(conditions: &[Condition], type_: &str, reason: &str) -> bool {
    condition(conditions, type_).is_some_and(|condition| {
        condition.status == ConditionStatus::True && condition.reason == reason
    })
}

/// Whether a Database says that it can be used.
#[must_use]
pub fn is_ready(database: &Database) -> bool {
    let status = database.status.as_ref();
    let ready = status.and_then(|status| condition(&status.conditions, "Ready"));
    ready.is_some_and(|ready| ready.status == ConditionStatus::True)
}

/// A password in the data of a Secret.
#[must_use]
pub fn password(secret: &BTreeMap<String, String>) -> String {
    secret["password"].clone()
}

impl Fixture {
    /// The Databases of the test's namespace.
    #[must_use]
    pub fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Secrets of the test's namespace.
    #[must_use]
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a Database on the shared instance, unless the spec names another. Returns its name.
    pub async fn make(&self, name: &str, mut spec: Value) -> String {
        let name = self.name(name);
        if spec["instanceRef"].is_null() {
            spec["instanceRef"] = json!({"name": self.server.instance()});
        }
        let object = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
            "metadata": {"name": name}, "spec": spec,
        });
        let object: Database = serde_json::from_value(object).unwrap();
        self.databases()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        name
    }

    /// Makes a Database and waits until it is `CREATED`. Returns its name.
    pub async fn make_usable(&self, name: &str, spec: Value) -> String {
        let name = self.make(name, spec).await;
        self.usable(&name).await;
        name
    }

    /// Waits until a Database is as wanted.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Database) -> bool,
    ) -> Database {
        object_until(&self.databases(), name, what, limit, wanted).await
    }

    /// Waits until a Database is `CREATED` and ready, with nothing to complain about, for its spec as it is now.
    pub async fn usable(&self, name: &str) -> Database {
        self.until(name, "usable", SOON, |database| {
            let Some(status) = &database.status else {
                return false;
            };
            status.state == Some(DatabaseState::Created)
                && status.observed_generation == database.metadata.generation
                && holds(&status.conditions, "Ready", "Created")
                && condition(&status.conditions, "Stalled").is_none()
        })
        .await
    }

    /// Waits until a Database is stalled for this reason. Returns the message.
    pub async fn stalled(&self, name: &str, reason: &str) -> String {
        self.stalled_within(name, reason, SOON).await
    }

    /// The same, with a limit of one's own.
    pub async fn stalled_within(&self, name: &str, reason: &str, limit: Duration) -> String {
        self.condition_within(name, "Stalled", reason, limit).await
    }

    /// Waits until a Database waits for this reason. Returns the message.
    pub async fn reconciling(&self, name: &str, reason: &str) -> String {
        self.condition_within(name, "Reconciling", reason, SOON)
            .await
    }

    async fn condition_within(
        &self,
        name: &str,
        type_: &str,
        reason: &str,
        limit: Duration,
    ) -> String {
        let what = format!("{type_} {reason}");
        let found = self
            .until(name, &what, limit, |database| {
                database
                    .status
                    .as_ref()
                    .is_some_and(|status| holds(&status.conditions, type_, reason))
            })
            .await;
        let conditions = found.status.unwrap().conditions;
        condition(&conditions, type_).unwrap().message.clone()
    }

    /// Merges into a Database.
    pub async fn patch(&self, name: &str, patch: Value) -> Database {
        let patch = Patch::Merge(patch);
        self.databases()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap()
    }

    /// Sets an annotation of a Database.
    pub async fn annotate(&self, name: &str, key: &str, value: &str) {
        self.patch(name, json!({"metadata": {"annotations": {key: value}}}))
            .await;
    }

    /// Asks for a look at a Database, and waits until it was taken. `value` is to be another one each time.
    pub async fn ask_for_a_look(&self, name: &str, value: &str) {
        self.annotate(name, RECONCILE_REQUESTED_AT, value).await;
        self.until(name, "looked at", SOON, |database| {
            database.status.as_ref().is_some_and(|status| {
                status
                    .handled
                    .get(RECONCILE_REQUESTED_AT)
                    .is_some_and(|handled| handled == value)
            })
        })
        .await;
    }

    /// Asks for the deletion of a Database.
    pub async fn delete(&self, name: &str) {
        self.databases()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until a Database is gone.
    pub async fn gone(&self, name: &str) {
        eventually(&format!("{name} is gone"), SOON, async || {
            let left = self.databases().get_opt(name).await.unwrap();
            left.map_or(Ok(()), |left| {
                Err(serde_json::to_string(&left.status).unwrap())
            })
        })
        .await;
    }

    /// The data of a Secret.
    pub async fn secret(&self, name: &str) -> BTreeMap<String, String> {
        let secret = self.secrets().get(name).await.unwrap();
        let data = secret.data.unwrap_or_default().into_iter();
        data.map(|(key, value)| (key, String::from_utf8(value.0).unwrap()))
            .collect()
    }

    /// Deletes a Secret of the test's namespace.
    pub async fn delete_secret(&self, name: &str) {
        self.secrets()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until the Secret of an object that is gone was collected.
    pub async fn without_secret(&self, name: &str) {
        eventually(&format!("the Secret {name} is gone"), SOON, async || {
            let left = self.secrets().get_opt(name).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.metadata)))
        })
        .await;
    }

    /// Makes a Secret in the test's namespace.
    pub async fn make_secret(&self, name: &str, labels: Value, data: Value) {
        let secret = json!({"metadata": {"name": name, "labels": labels}, "stringData": data});
        let secret = serde_json::from_value(secret).unwrap();
        self.secrets()
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }

    /// Reasons and notes of the Events about an object of the test's namespace.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let events = events.list(&ListParams::default()).await.unwrap();
        events
            .into_iter()
            .filter(|event| {
                event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name)
            })
            .map(|event| {
                format!(
                    "{}: {}",
                    event.reason.unwrap_or_default(),
                    event.note.unwrap_or_default()
                )
            })
            .collect()
    }

    /// Waits for an Event that begins like this. Returns it.
    pub async fn told(&self, name: &str, begin: &str) -> String {
        eventually(&format!("Event {begin} on {name}"), SOON, async || {
            let events = self.events(name).await;
            let found = events.iter().find(|event| event.starts_with(begin));
            found.cloned().ok_or_else(|| format!("{events:?}"))
        })
        .await
    }

    /// The uid of an object, to see whether it is still the same.
    #[must_use]
    pub fn uid(object: &impl ResourceExt) -> String {
        object.uid().unwrap_or_default()
    }
}
