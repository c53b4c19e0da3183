//! Objects with every field, all of them right.

use serde_json::{Value, json};

/// An object with every field, all of them right.
pub fn fixture(kind: &str) -> Value {
    match kind {
        "DatabaseInstance" => json!({
            "metadata": {"name": "e2e-crds-fixture"},
            "spec": {
                "provider": "postgresql",
                "host": "postgres.databases.svc",
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
                "postgresql": {"maintenanceDatabase": "postgres", "allowedExtensions": ["postgis"]},
                "backup": {
                    "s3": {
                        "bucket": "backups", "prefix": "prod/databases", "region": "eu-west-1",
                        "endpoint": "https://minio.storage.svc:9000", "pathStyle": true,
                        "credentialsSecretRef": {"name": "backups-s3"},
                        "caSecretRef": {"name": "minio-ca", "key": "ca.crt"},
                        "serverSideEncryption": "aws:kms", "kmsKeyId": "alias/backups",
                        "maxParts": 1000, "equalParts": true, "conditionalWrites": false,
                    },
                    "job": {
                        "image": "registry.example:5000/postgres:17",
                        "templateRef": {"name": "my-templates", "key": "job.yaml.hbs"},
                        "maxDeadlineSeconds": 43200, "maxStallSeconds": 900,
                    },
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
                    "encoding": "UTF8", "locale": "C.UTF-8",
                    "extensions": [{"name": "pg_trgm"}], "schemas": [{"name": "audit"}],
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
        other => panic!("{other} is not a kind of db-operator"),
    }
}
