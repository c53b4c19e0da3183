//! Whose backups Restores of other namespaces may read: `spec.backup.shared` of a `DatabaseInstance`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::names;

/// Backups of one Database that Restores of other namespaces may read.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedBackups {
    /// Namespace of the Database that was backed up, for example `team-a`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::namespace_name())]
    pub namespace: String,

    /// Name of that Database, for example `orders`. It need not exist any more.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::object_name())]
    pub database: String,

    /// The id of the cluster that made the backups (`status.clusterId` of an instance there). Default: this cluster's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$')")
        .message("clusterId may contain only letters, digits, '-', '_' and '.': write status.clusterId of an instance of that cluster, or leave it out for this cluster's own"))]
    pub cluster_id: Option<String>,

    /// The namespaces whose Restores may read these backups, for example `[team-a-staging]`. At most 64.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))")
        .message("to lists namespaces by name: write those that `kubectl get namespaces` lists, for example [team-a-staging]"))]
    pub to: Vec<String>,
}
