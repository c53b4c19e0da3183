//! How the custom resources name Secrets, `ConfigMap`s and each other.
//!
//! None of these can name a namespace (except [`DatabaseRef`], see there): what an object refers to is in its own
//! namespace, or, for a cluster-wide object, in the operator's.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::names;

/// Refers to a Secret by name.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SecretRef {
    /// Name of the Secret, for example `shared-postgres-admin`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = names::object_name())]
    pub name: String,
}

/// Refers to one key of a Secret.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SecretKeyRef {
    /// Name of the Secret, for example `shared-postgres-ca`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = names::object_name())]
    pub name: String,

    /// Key in the Secret's data, for example `ca.crt`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = names::data_key())]
    pub key: String,
}

/// Refers to one key of a `ConfigMap`.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConfigMapKeyRef {
    /// Name of the `ConfigMap`, for example `backup-templates`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = names::object_name())]
    pub name: String,

    /// Key in the `ConfigMap`'s data, for example `job.yaml.hbs`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = names::data_key())]
    pub key: String,
}

/// Refers to a `DatabaseInstance` by name.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InstanceRef {
    /// Name of the DatabaseInstance, for example `shared-postgres`. `kubectl get databaseinstances` lists them.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = names::object_name())]
    pub name: String,
}

/// Refers to a `Database` by name.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DatabaseRef {
    /// Name of the Database, for example `orders`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::object_name())]
    pub name: String,

    /// Namespace of the Database; default: the Backup's own.
    /// Leave it out: another namespace is only accepted for the final backups that the operator itself creates, in its
    /// own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::namespace_name())]
    pub namespace: Option<String>,
}
