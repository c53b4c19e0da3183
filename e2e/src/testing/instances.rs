//! Instances of a test's own, and their Secrets in the operator's namespace.

use db_operator::api::{DatabaseInstance, RECONCILE_REQUESTED_AT};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Fixture, SOON, condition, eventually};
use crate::servers::OPERATOR_NAMESPACE;

impl Fixture {
    /// The instances.
    #[must_use]
    pub fn instances(&self) -> Api<DatabaseInstance> {
        Api::all(self.client.clone())
    }

    /// Makes an instance like the shared one, with `change` merged into its spec. Returns its name.
    pub async fn make_instance(&self, name: &str, change: Value) -> String {
        let name = self.name(name);
        let shared = self.instances().get(self.server.instance()).await.unwrap();
        let mut spec = serde_json::to_value(&shared.spec).unwrap();
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let object = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance",
            "metadata": {"name": name}, "spec": spec,
        });
        let object = serde_json::from_value(object).unwrap();
        self.instances()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        name
    }

    /// Merges into the spec of an instance; null takes a field away.
    pub async fn patch_instance(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.instances()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Waits until an instance's `Ready` has this reason, for its spec as it is now. Returns the message.
    pub async fn instance_is(&self, name: &str, reason: &str) -> String {
        eventually(&format!("{name}: {reason}"), SOON, async || {
            let found = self.instances().get(name).await.unwrap();
            let status = found.status.unwrap_or_default();
            let current = status.observed_generation == found.metadata.generation;
            condition(&status.conditions, "Ready")
                .filter(|ready| current && ready.reason == reason)
                .map(|ready| ready.message.clone())
                .ok_or_else(|| serde_json::to_string(&status).unwrap())
        })
        .await
    }

    /// Writes a Secret of the test's own into the operator's namespace. Returns its name.
    pub async fn operator_secret(&self, name: &str, data: Value) -> String {
        let name = self.name(name);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let params = PatchParams::apply("e2e").force();
        secrets
            .patch(&name, &params, &Patch::Apply(secret))
            .await
            .unwrap();
        name
    }

    /// Asks for a look at an instance.
    pub async fn touch_instance(&self, name: &str) {
        let request = json!({"metadata": {"annotations": {RECONCILE_REQUESTED_AT: "now"}}});
        self.instances()
            .patch(name, &PatchParams::default(), &Patch::Merge(request))
            .await
            .unwrap();
    }
}
