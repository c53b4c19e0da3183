//! Whose backups a Restore may read: those of its own namespace, and those that the platform shares with it.

use super::{Pass, prerequisites};
use crate::api::shared::SharedBackups;
use crate::api::{DatabaseInstance, RestoreMode, RestoreSpec};
use crate::store::{Folder, Readable};

/// Whose keys this restore may read in the bucket of an instance: those of its own namespace, and what the platform shares
/// with it.
pub(super) fn readable<'a>(
    pass: &'a Pass<'_>,
    instance: &'a DatabaseInstance,
    namespace: &'a str,
) -> Readable<'a> {
    let own = prerequisites::readable(pass.context, instance, namespace);
    let shared = shared(
        &pass.object.spec,
        instance,
        namespace,
        &pass.context.cluster_id,
    );
    Readable { shared, ..own }
}

/// What of others the platform lets a restore of this namespace read: of this cluster, unless it names another one.
fn shared<'a>(
    restore: &RestoreSpec,
    instance: &'a DatabaseInstance,
    namespace: &str,
    cluster_id: &'a str,
) -> Vec<Folder<'a>> {
    let backup = instance.spec.backup.as_ref();
    let Some(backup) = backup.filter(|_| restore.may_read_shared()) else {
        return Vec::new();
    };
    let folder = |shared: &'a SharedBackups| Folder {
        cluster_id: shared.cluster_id.as_deref().unwrap_or(cluster_id),
        namespace: &shared.namespace,
        database: &shared.database,
    };
    backup.shared_with(namespace).map(folder).collect()
}

/// Why the newest backup of a Database is not looked for.
pub(super) fn not_shared(
    restore: &RestoreSpec,
    of: Folder<'_>,
    namespace: &str,
    instance: &str,
) -> String {
    let Folder { cluster_id, .. } = of;
    if of.namespace == namespace {
        return format!(
            "spec.source.latest.clusterId {cluster_id} is neither this cluster nor in takeOverClaimsFrom of instance \
             {instance}, and its spec.backup.shared does not name it for this namespace and mode"
        );
    }
    let whose = format!("{}/{}", of.namespace, of.database);
    match restore.mode {
        RestoreMode::Replace => format!(
            "Database {whose} is of another namespace, and mode Replace takes backups of its own namespace alone: restore \
             into an empty Database (mode Empty)"
        ),
        RestoreMode::Empty | RestoreMode::Test => format!(
            "instance {instance} does not share the backups of Database {whose} (of cluster {cluster_id}) with namespace \
             {namespace}: the platform team says so in its spec.backup.shared"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn instance() -> DatabaseInstance {
        serde_json::from_value(json!({
            "metadata": {"name": "main"},
            "spec": {
                "provider": "postgresql", "host": "db.example", "adminSecretRef": {"name": "admin"},
                "allowedNamespaces": {"all": true},
                "backup": {"s3": {"bucket": "backups", "region": "r"}, "shared": [
                    {"namespace": "team-a", "database": "orders", "to": ["staging", "lab"]},
                    {"namespace": "team-a", "database": "orders", "clusterId": "c9", "to": ["lab"]},
                ]},
            },
        }))
        .unwrap()
    }

    fn spec(of: &Value) -> RestoreSpec {
        let mut all = json!({
            "source": {"latest": {"database": {"name": "orders", "namespace": "team-a"}}},
            "databaseRef": {"name": "copy"},
        });
        for (key, value) in of.as_object().unwrap() {
            all[key] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn the_platforms_word_counts_for_the_namespaces_that_it_names() {
        let instance = instance();
        let clusters = |of: Value, namespace: &str| -> Vec<String> {
            let all = shared(&spec(&of), &instance, namespace, "c1");
            let expected =
                |folder: &Folder<'_>| (folder.namespace, folder.database) == ("team-a", "orders");
            assert!(all.iter().all(expected), "{all:?}");
            all.iter().map(|f| f.cluster_id.to_owned()).collect()
        };
        assert_eq!(clusters(json!({}), "staging"), ["c1"]);
        assert_eq!(clusters(json!({}), "lab"), ["c1", "c9"]);
        assert_eq!(clusters(json!({}), "team-b"), [""; 0]);
        assert_eq!(clusters(json!({}), "team-a"), [""; 0]);
        let key = "c1/team-a/orders/x.dump.zst.json";
        let manifest = json!({"source": {"manifest": {"instance": "main", "key": key}}});
        assert_eq!(clusters(manifest, "staging"), ["c1"]);
        for other in [
            json!({"mode": "Replace", "confirm": "copy"}),
            json!({"source": {"backupRef": {"name": "nightly"}}}),
        ] {
            assert_eq!(clusters(other, "staging"), [""; 0]);
        }
    }

    #[test]
    fn who_is_refused_hears_whose_word_it_needs() {
        let of = |of: Value, namespace: &str| {
            let folder = Folder {
                cluster_id: "c9",
                namespace: "team-a",
                database: "orders",
            };
            not_shared(&spec(&of), folder, namespace, "main")
        };
        let empty = of(json!({}), "staging");
        assert!(
            empty.contains("team-a/orders") && empty.contains("spec.backup.shared"),
            "{empty}"
        );
        let replace = of(json!({"mode": "Replace", "confirm": "copy"}), "staging");
        assert!(replace.contains("mode Empty"), "{replace}");
        let cluster = of(json!({}), "team-a");
        assert!(
            cluster.contains("clusterId c9") && cluster.contains("takeOverClaimsFrom"),
            "{cluster}"
        );
    }
}
