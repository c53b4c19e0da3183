//! Argo CD's Application, as far as the tests read it.

use std::collections::BTreeMap;

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize)]
#[kube(
    group = "argoproj.io",
    version = "v1alpha1",
    kind = "Application",
    namespaced,
    status = "Status",
    schema = "disabled"
)]
pub(crate) struct Spec {
    /// Only ever written.
    #[serde(flatten)]
    pub all: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    pub sync: Sync,
    pub health: Health,
    pub resources: Vec<Resource>,
    pub operation_state: Option<Operation>,
    pub conditions: Vec<Value>,
    pub reconciled_at: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sync {
    pub status: String,
    pub revision: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Health {
    pub status: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Resource {
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub status: String,
    pub health: Health,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Operation {
    pub phase: String,
    pub message: String,
    pub retry_count: i64,
    pub sync_result: SyncResult,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SyncResult {
    pub revision: String,
}

impl Application {
    /// What Argo CD says about it, if it said anything yet.
    pub(crate) fn now(&self) -> Status {
        self.status.clone().unwrap_or_default()
    }

    /// The two words that people look at.
    pub(crate) fn words(&self) -> (String, String) {
        let now = self.now();
        (now.sync.status, now.health.status)
    }

    /// Whether the cluster is as Git says, all is well, and nothing is being done.
    pub(crate) fn is_at_rest(&self) -> bool {
        let now = self.now();
        now.sync.status == "Synced"
            && now.health.status == "Healthy"
            && now.operation_state.is_none_or(|it| it.phase == "Succeeded")
    }
}

impl Status {
    /// The health of one of its objects.
    pub(crate) fn health_of(&self, kind: &str, name: &str) -> Health {
        let found = self
            .resources
            .iter()
            .find(|resource| resource.kind == kind && resource.name == name);
        found.map(|found| found.health.clone()).unwrap_or_default()
    }
}
