//! Rules of a DatabaseInstance.

use serde_json::{Value, json};

use super::{Case, case};

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn instances() -> Vec<Case> {
    let kind = "DatabaseInstance";
    vec![
        case(
            kind,
            "/spec/host",
            json!("postgres.databases.svc:5432"),
            "the port goes into spec.port",
        )
        .good([
            json!("10.0.0.1"),
            json!("fd00::1"),
            json!("::1"),
            json!("my_db.example.com"),
        ]),
        case(
            kind,
            "/spec/host",
            json!("postgres://db"),
            "a DNS name or an IP address without a port",
        ),
        case(
            kind,
            "/spec/host",
            json!("db.example.com/orders"),
            "a DNS name or an IP address without a port",
        ),
        case(
            kind,
            "/spec/hosts",
            json!({"reader": "replica.databases.svc:5432"}),
            "a port goes into the secretTemplate",
        )
        .good([
            json!({"reader": "replica.databases.svc", "pooler-2": "fd00::1"}),
            json!({}),
            Value::Null,
        ]),
        case(
            kind,
            "/spec/hosts",
            json!({"Reader": "replica.databases.svc"}),
            "a name in hosts consists of at most 32",
        ),
        case(
            kind,
            "/spec/hosts",
            json!({"this": "replica.databases.svc"}),
            "is not 'this'",
        ),
        case(
            kind,
            "/spec/hosts",
            json!({"a23456789012345678901234567890123": "replica.databases.svc"}),
            "a name in hosts consists of at most 32",
        ),
        case(
            kind,
            "/spec/provider",
            json!("mysql"),
            "can only be set for provider postgresql",
        )
        .rule("spec"),
        case(
            kind,
            "/spec/postgresql/allowedTemplates",
            json!(["base", "db_operator"]),
            "cannot be a template",
        )
        .good([json!(["template1"]), json!([])]),
        case(
            kind,
            "/spec/tls/mode",
            json!("require"),
            "set tls.mode to verify-full or verify-ca",
        )
        .good([json!("verify-ca")])
        .rule("spec.tls"),
        case(
            kind,
            "/spec/tls",
            json!({"mode": "disable", "ca": {"secretRef": {"name": "a", "key": "b"}}}),
            "remove tls.ca",
        )
        .good([
            json!({"mode": "disable"}),
            json!({"mode": "require"}),
            json!({"mode": "verify-full"}),
            json!({}),
            Value::Null,
        ]),
        case(
            kind,
            "/spec/allowedNamespaces",
            json!({"all": true, "names": ["team-a"]}),
            "write exactly one of",
        )
        .good([
            json!({"all": true}),
            json!({"names": []}),
            json!({"names": ["team-a", "team-b"]}),
        ]),
        case(
            kind,
            "/spec/allowedNamespaces",
            json!({}),
            "write exactly one of",
        ),
        case(
            kind,
            "/spec/allowedNamespaces",
            json!({"all": false}),
            "write names: []",
        )
        .rule("spec.allowedNamespaces.all"),
        case(
            kind,
            "/spec/allowedNamespaces/selector",
            json!({}),
            "replace selector with all: true",
        )
        .good([
            json!({"matchLabels": {"team": "a"}}),
            json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}),
        ]),
        case(
            kind,
            "/spec/allowedNamespaces/selector",
            json!({"matchLabels": {}}),
            "replace selector with all: true",
        ),
        case(
            kind,
            "/spec/allowedNamespaces/selector/matchExpressions/0",
            json!({"key": "team", "operator": "In"}),
            "In and NotIn need values",
        )
        .good([
            json!({"key": "team", "operator": "NotIn", "values": ["b"]}),
            json!({"key": "team", "operator": "DoesNotExist"}),
        ]),
        case(
            kind,
            "/spec/allowedNamespaces/selector/matchExpressions/0",
            json!({"key": "team", "operator": "Exists", "values": ["a"]}),
            "Exists and DoesNotExist must have none",
        ),
        case(
            kind,
            "/spec/takeOverClaimsFrom",
            json!(["old cluster"]),
            "write the --cluster-id of its operator",
        )
        .good([
            json!(["old-cluster", "0f1e2d3c-aaaa-bbbb-cccc-000000000000"]),
            json!([]),
        ]),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn destinations() -> Vec<Case> {
    let kind = "DatabaseInstance";
    vec![
        case(
            kind,
            "/spec/backup/job",
            json!({"maxDeadlineSeconds": 600, "maxStallSeconds": 601}),
            "maxStallSeconds must not exceed maxDeadlineSeconds",
        )
        .good([
            json!({"maxDeadlineSeconds": 600, "maxStallSeconds": 600}),
            json!({"maxStallSeconds": 601}),
            json!({"maxDeadlineSeconds": 600}),
        ]),
        case(
            kind,
            "/spec/backup/job/toolMemory",
            json!("63Mi"),
            "from 64Mi to 64Gi",
        )
        .good([json!("64Mi"), json!("1024Mi"), json!("2Gi"), json!("64Gi")]),
        case(
            kind,
            "/spec/backup/job/toolMemory",
            json!("65Gi"),
            "from 64Mi to 64Gi",
        ),
        case(
            kind,
            "/spec/backup/job/toolMemory",
            json!("much"),
            "from 64Mi to 64Gi",
        ),
        case(
            kind,
            "/spec/backup/job/resources/limits/cpu",
            json!("two"),
            "must be a number of cores",
        )
        .good([json!("2"), json!("0.5"), json!("500m")]),
        case(
            kind,
            "/spec/backup/job/resources/requests/memory",
            json!("512 MB"),
            "a number of bytes with a unit",
        )
        .good([json!("512Mi"), json!("1.5G"), json!("1000000")]),
        case(
            kind,
            "/spec/backup/job/resources/limits/ephemeral-storage",
            json!("some"),
            "a number of bytes with a unit",
        )
        .good([json!("1Gi")]),
        case(
            kind,
            "/spec/backup/job/resources/requests/cpu",
            json!("two"),
            "must be a number of cores",
        ),
        case(
            kind,
            "/spec/backup/job/resources/limits/memory",
            json!("512 MB"),
            "a number of bytes with a unit",
        ),
        case(
            kind,
            "/spec/backup/job/resources/requests/ephemeral-storage",
            json!("some"),
            "a number of bytes with a unit",
        ),
        case(
            kind,
            "/spec/backup/job/nodeSelector",
            json!({"not a key": "x"}),
            "must be the key of a node's label",
        )
        .good([json!({"kubernetes.io/arch": "arm64"}), json!({"disk": ""})]),
        case(
            kind,
            "/spec/backup/job/tolerations",
            json!([{"value": "x"}]),
            "a toleration without a key matches every taint",
        )
        .rule("spec.backup.job.tolerations[]")
        .good([
            json!([{"operator": "Exists"}]),
            json!([{"key": "backups", "operator": "Exists", "effect": "NoSchedule"}]),
            json!([{"key": "k", "value": "v"}]),
        ]),
        case(
            kind,
            "/spec/backup/job/tolerations",
            json!([{"key": "k", "operator": "Exists", "value": "v"}]),
            "operator Exists takes no value",
        )
        .rule("spec.backup.job.tolerations[]"),
        case(
            kind,
            "/spec/backup/job/priorityClassName",
            json!("Low Priority"),
            "the name of a PriorityClass",
        )
        .good([json!("low-priority")]),
        case(
            kind,
            "/spec/backup/job/runtimeClassName",
            json!("gVisor"),
            "the name of a RuntimeClass",
        )
        .good([json!("gvisor")]),
        case(
            kind,
            "/spec/backup/s3/bucket",
            json!("s3://backups"),
            "the name of a bucket",
        )
        .good([json!("my.backups-2")]),
        case(
            kind,
            "/spec/backup/s3/bucket",
            json!("backups/prod"),
            "a folder in it goes into prefix",
        ),
        case(
            kind,
            "/spec/backup/s3/prefix",
            json!("/prod/"),
            "with single slashes in between",
        )
        .good([json!("prod"), json!("env=prod/a_b/c.d"), Value::Null]),
        case(
            kind,
            "/spec/backup/s3/prefix",
            json!("prod//databases"),
            "with single slashes in between",
        ),
        case(
            kind,
            "/spec/backup/s3/prefix",
            json!("prod/../other"),
            "with single slashes in between",
        ),
        case(
            kind,
            "/spec/backup/s3/region",
            json!("EU (Ireland)"),
            "for example eu-west-1",
        )
        .good([json!("auto"), json!("us-gov-west-1")]),
        case(
            kind,
            "/spec/backup/s3/endpoint",
            json!("minio.storage.svc:9000"),
            "with scheme and port",
        )
        .good([
            json!("https://s3.example.com"),
            json!("https://[fd00::1]:9000"),
        ]),
        case(
            kind,
            "/spec/backup/s3/endpoint",
            json!("https://minio:9000/backups"),
            "the bucket goes into bucket",
        ),
        case(
            kind,
            "/spec/backup/s3/endpoint",
            json!("http://minio:9000"),
            "set endpoint to the store's https:// address",
        )
        .rule("spec.backup.s3"),
        case(
            kind,
            "/spec/backup/s3",
            json!({"bucket": "backups"}),
            "set region",
        )
        .good([
            json!({"bucket": "backups", "region": "eu-west-1"}),
            json!({"bucket": "backups", "endpoint": "http://minio:9000"}),
            json!({"bucket": "backups", "region": "eu-west-1", "serverSideEncryption": "AES256"}),
        ]),
        case(
            kind,
            "/spec/backup/s3/serverSideEncryption",
            json!("AES256"),
            "set serverSideEncryption: aws:kms",
        )
        .good([json!("aws:kms:dsse")])
        .rule("spec.backup.s3"),
        case(
            kind,
            "/spec/backup/job/image",
            json!("postgres 17"),
            "without white space",
        )
        .good([
            json!("docker.io/library/postgres:17@sha256:0123456789abcdef"),
            Value::Null,
        ]),
    ]
}
