//! Rules of a DatabaseInstance.

use serde_json::{Value, json};

use super::{Case, case};

#[expect(clippy::too_many_lines, reason = "a table")]
pub fn instances() -> Vec<Case> {
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
            "a DNS name or an IP address alone",
        ),
        case(
            kind,
            "/spec/host",
            json!("db.example.com/orders"),
            "a DNS name or an IP address alone",
        ),
        case(
            kind,
            "/spec/provider",
            json!("mysql"),
            "is for provider postgresql",
        )
        .rule("spec"),
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
            "take tls.ca away",
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
            "all: true in the place of selector",
        )
        .good([
            json!({"matchLabels": {"team": "a"}}),
            json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}),
        ]),
        case(
            kind,
            "/spec/allowedNamespaces/selector",
            json!({"matchLabels": {}}),
            "all: true in the place of selector",
        ),
        case(
            kind,
            "/spec/allowedNamespaces/selector/matchExpressions/0",
            json!({"key": "team", "operator": "In"}),
            "operators In and NotIn need values",
        )
        .good([
            json!({"key": "team", "operator": "NotIn", "values": ["b"]}),
            json!({"key": "team", "operator": "DoesNotExist"}),
        ]),
        case(
            kind,
            "/spec/allowedNamespaces/selector/matchExpressions/0",
            json!({"key": "team", "operator": "Exists", "values": ["a"]}),
            "Exists and DoesNotExist have none",
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
pub fn destinations() -> Vec<Case> {
    let kind = "DatabaseInstance";
    vec![
        case(
            kind,
            "/spec/backup/job",
            json!({"maxDeadlineSeconds": 600, "maxStallSeconds": 601}),
            "maxStallSeconds must not be more than maxDeadlineSeconds",
        )
        .good([
            json!({"maxDeadlineSeconds": 600, "maxStallSeconds": 600}),
            json!({"maxStallSeconds": 601}),
            json!({"maxDeadlineSeconds": 600}),
        ]),
        case(
            kind,
            "/spec/backup/s3/bucket",
            json!("s3://backups"),
            "the bucket's name alone",
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
            "with single slashes between",
        )
        .good([json!("prod"), json!("env=prod/a_b/c.d"), Value::Null]),
        case(
            kind,
            "/spec/backup/s3/prefix",
            json!("prod//databases"),
            "with single slashes between",
        ),
        case(
            kind,
            "/spec/backup/s3/prefix",
            json!("prod/../other"),
            "with single slashes between",
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
            "set endpoint to its https:// address",
        )
        .rule("spec.backup.s3"),
        case(
            kind,
            "/spec/backup/s3",
            json!({"bucket": "backups"}),
            "write region",
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
