//! Objects with every field, all of them right.

use serde_json::{Value, json};

/// An object with every field, all of them right.
pub(crate) fn fixture(kind: &str) -> Value {
    match kind {
        "DatabaseInstance" => json!({
            "metadata": {"name": "e2e-crds-fixture"},
            "spec": {
                "provider": "postgresql",
                "host": "postgres.databases.svc",
                "hosts": {"reader": "replica.databases.svc"},
                "port": 5432,
                "tls": {"mode": "verify-full", "ca": {"secretRef": {"name": "postgres-ca", "key": "ca.crt"}}},
                "adminSecretRef": {"name": "postgres-admin"},
                "allowedNamespaces": {"selector": {
                    "matchLabels": {"team": "a"},
                    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["prod"]}],
                }},
                "adoptable": [{"database": "legacy", "user": "legacy", "namespace": "team-a", "drop": false}],
                "takeOverClaimsFrom": ["old-cluster"],
                "maxConnections": 4,
                "postgresql": {"maintenanceDatabase": "postgres", "allowedExtensions": ["postgis"], "allowedTemplates": ["base"]},
                "backup": {
                    "s3": {
                        "bucket": "backups", "prefix": "prod/databases", "region": "eu-west-1",
                        "endpoint": "https://minio.storage.svc:9000", "pathStyle": true,
                        "credentialsSecretRef": {"name": "backups-s3"},
                        "caSecretRef": {"name": "minio-ca", "key": "ca.crt"},
                        "serverSideEncryption": "aws:kms", "kmsKeyId": "alias/backups",
                        "maxParts": 1000, "equalParts": true, "conditionalWrites": false,
                    },
                    "shared": [{"namespace": "team-a", "database": "orders", "clusterId": "c1", "to": ["team-b"]}],
                    "job": job(),
                },
                "restore": {
                    "maxConcurrent": 2, "maxKeepReplaced": "24h", "maxBytes": "500Gi",
                    "job": job(),
                },
                // The operator of the cluster, if one runs, shall leave it alone.
                "suspend": true,
            },
        }),
        "Database" => json!({
            "metadata": {"name": "e2e-crds-fixture"},
            "spec": {
                "instanceRef": {"name": "e2e-crds-none"},
                "name": "orders",
                "user": "orders-owner",
                "deletionPolicy": "Retain",
                "adoptionPolicy": "IfUnclaimed",
                "connectionLimit": 50,
                "postgresql": {
                    "template": "base", "encoding": "UTF8", "locale": "C.UTF-8",
                    "localeProvider": "icu", "icuLocale": "de-DE",
                    "extensions": [{"name": "pg_trgm", "schema": "audit", "version": "1.6"}], "schemas": [{"name": "audit"}],
                },
                "secretTemplate": {
                    "labels": {"team": "a"}, "annotations": {"example.com/a": "b"},
                    "data": {"DATABASE_URL": "postgres://{{uriencode username}}@{{host}}"},
                },
                "suspend": true,
            },
        }),
        "Backup" => json!({
            "metadata": {"name": "e2e-crds-fixture"},
            "spec": {
                "databaseRef": {"name": "orders", "namespace": "team-a"},
                "deadlineSeconds": 21600,
                "stallSeconds": 600,
            },
        }),
        "Restore" => json!({
            "metadata": {"name": "e2e-crds-fixture"},
            "spec": {
                "source": {"backupRef": {"name": "nightly"}},
                "databaseRef": {"name": "orders"},
                "mode": "Replace",
                "confirm": "orders",
                "check": {"level": "Digest", "queries": [{"name": "any", "sql": "select count(*) > 0 from orders"}]},
                "jobs": 4,
                "keepReplaced": "36h",
                "maxDowntimeSeconds": 10,
                "accept": ["ExtensionData"],
                "deadlineSeconds": 21600,
                "stallSeconds": 600,
            },
        }),
        other => panic!("{other} is not a kind of db-operator"),
    }
}

/// Every field of the Jobs of backups and restores.
fn job() -> Value {
    json!({
        "image": "registry.example:5000/postgres:17",
        "templateRef": {"name": "my-templates", "key": "job.yaml.hbs"},
        "maxDeadlineSeconds": 43200, "maxStallSeconds": 900, "toolMemory": "512Mi",
        "resources": {
            "requests": {"cpu": "100m", "memory": "512Mi", "ephemeral-storage": "1Gi"},
            "limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
        },
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "backups", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
        "priorityClassName": "background", "runtimeClassName": "gvisor",
    })
}
