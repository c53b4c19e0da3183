//! Which backup a `Restore`, or a `Database` with `initFrom`, asks for.

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::names;

/// Which backup is brought back.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.backupRef) ? 1 : 0) + (has(self.latest) ? 1 : 0) + (has(self.manifest) ? 1 : 0) == 1")
    .message("source needs exactly one of backupRef, latest and manifest: write one of them, for example backupRef: {name: nightly-orders}"))]
pub struct RestoreSource {
    /// A Backup of the same namespace. The restore waits until it is COMPLETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_ref: Option<BackupRef>,

    /// The newest backup of a Database in the bucket of `databaseRef`'s instance (with mode `Test`, of `instanceRef`), by the
    /// manifests there. Needs no Backup object: for after a cluster was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<LatestBackup>,

    /// One manifest in an instance's bucket, by its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestRef>,
}

/// Refers to a `Backup` by name.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BackupRef {
    /// Name of the Backup, for example `nightly-orders-202611230100`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::object_name())]
    pub name: String,
}

/// The `Database` that was backed up.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BackedUpDatabase {
    /// Name of the Database, for example `orders`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::object_name())]
    pub name: String,

    /// Its namespace. Default: the one of this object. Backups of another one are read only where the instance's
    /// `spec.backup.shared` says so, and never for mode `Replace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::namespace_name())]
    pub namespace: Option<String>,
}

/// The newest backup of a Database.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestBackup {
    /// The Database that was backed up. It need not exist any more.
    pub database: BackedUpDatabase,

    /// Only backups that began before this time, for example `2026-11-23T06:00:00Z`. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub before: Option<Timestamp>,

    /// The id of the cluster that made the backup: this one, one of the instance's `takeOverClaimsFrom`, or one that its
    /// `spec.backup.shared` names. Default: any of this cluster and `takeOverClaimsFrom`; for a Database of another
    /// namespace, any of those that `spec.backup.shared` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$')")
        .message("clusterId may contain only letters, digits, '-', '_' and '.': write status.clusterId of an instance of that cluster, or leave it out for any that may be read"))]
    pub cluster_id: Option<String>,
}

/// One manifest in a bucket.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ManifestRef {
    /// The DatabaseInstance whose `spec.backup` names the bucket, for example `shared-postgres`. It has to allow the
    /// namespace of this object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = names::object_name())]
    pub instance: String,

    /// The manifest's whole key in the bucket, for example
    /// `prod/9f1c2d3e/team-a/orders/20261123T010000Z-nightly-0f1e2d3c.dump.zst.json`. It has to be of this namespace, and of
    /// this cluster or of one in the instance's `takeOverClaimsFrom`; or else the instance's `spec.backup.shared` names its
    /// Database and this namespace, which is not for mode `Replace`.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.endsWith('.json')")
        .message("key must be the key of a backup's manifest, which ends in .json: write that of the object with .json behind it"))]
    pub key: String,
}
