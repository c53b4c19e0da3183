//! What a platform team sets of the pods of backup Jobs without a template of its own: how much they may use, and which
//! nodes they run on. Part of `spec.backup.job` of a `DatabaseInstance`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the dump tool may need, in bytes, unless the instance says otherwise: it holds single rows, and the catalog of a
/// large schema.
pub const TOOL_MEMORY: u64 = 256 * MIB;

const MIB: u64 = 1024 * 1024;

/// What a container reserves and may use at most.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct JobResources {
    /// What is reserved on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Amounts>,

    /// The most that may be used. A limit of memory below what the backup needs is raised to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Amounts>,
}

/// Amounts of what a node has.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Amounts {
    /// Processor cores, for example `500m` or `"2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+([.][0-9]+)?m?$')")
        .message("cpu must be a number of cores, in quotes, for example 500m or \"2\""))]
    pub cpu: Option<String>,

    /// Bytes of memory, for example `512Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+([.][0-9]+)?([KMGT]i|[kMGT])?$')")
        .message("memory must be a number of bytes with a unit, for example 512Mi"))]
    pub memory: Option<String>,

    /// Bytes of the node's disk, for example `1Gi`. A backup writes its log there and nothing else.
    #[serde(
        default,
        rename = "ephemeral-storage",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+([.][0-9]+)?([KMGT]i|[kMGT])?$')")
        .message("ephemeral-storage must be a number of bytes with a unit, for example 1Gi"))]
    pub ephemeral_storage: Option<String>,
}

impl Amounts {
    /// Those that are set, with the names that Kubernetes has for them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("cpu", &self.cpu),
            ("memory", &self.memory),
            ("ephemeral-storage", &self.ephemeral_storage),
        ]
        .into_iter()
        .filter_map(|(name, amount)| Some((name, amount.as_deref()?)))
    }
}

/// A taint that the pod may be placed in spite of, as in a pod's spec.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')")
        .message("a toleration without a key matches every taint: set operator: Exists, or a key"),
    validation = Rule::new("!has(self.value) || !has(self.operator) || self.operator == 'Equal'")
        .message("operator Exists takes no value: remove it, or set operator: Equal")
)]
pub struct Toleration {
    /// The taint's key. Not set: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub key: Option<String>,

    /// `Equal`: the taint has this value. `Exists`: it has any. Default: `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,

    /// The taint's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,

    /// The taint's effect. Not set: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// How a taint is compared.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum TolerationOperator {
    /// It has this value.
    Equal,
    /// It has any value.
    Exists,
}

/// What a taint does to pods.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum TaintEffect {
    /// None is placed there.
    NoSchedule,
    /// None is placed there if there is another node.
    PreferNoSchedule,
    /// None is placed there, and those that run there have to go.
    NoExecute,
}

/// The labels that a node must have.
pub type NodeSelector = BTreeMap<String, String>;

/// The schema of a label's value.
pub(super) fn label_value() -> Value {
    json!({"type": "string", "maxLength": 63})
}

/// The bytes of an amount as `toolMemory` writes it: `64Mi`, `1Gi`. `None` for anything else.
#[must_use]
pub(super) fn bytes(amount: &str) -> Option<u64> {
    let (number, unit) = match (amount.strip_suffix("Mi"), amount.strip_suffix("Gi")) {
        (Some(number), _) => (number, MIB),
        (None, Some(number)) => (number, 1024 * MIB),
        (None, None) => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_kubernetes_names() {
        let amounts: Amounts =
            serde_yaml_ng::from_str("{cpu: '2', ephemeral-storage: 1Gi}").unwrap();
        let named: Vec<_> = amounts.named().collect();
        assert_eq!(named, [("cpu", "2"), ("ephemeral-storage", "1Gi")]);
    }

    #[test]
    fn the_tools_memory_is_counted_in_bytes() {
        for (amount, expected) in [
            ("256Mi", Some(TOOL_MEMORY)),
            ("1Gi", Some(1 << 30)),
            ("256", None),
            ("xMi", None),
        ] {
            assert_eq!(bytes(amount), expected, "{amount}");
        }
    }
}
