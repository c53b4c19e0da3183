//! Limits and choices of the schema itself.

use serde_json::{Value, json};

use super::{Case, case};

/// Limits and choices of the schema itself.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn limits() -> Vec<Case> {
    vec![
        case(
            "Database",
            "/spec/instanceRef",
            Value::Null,
            "Required value",
        ),
        case(
            "Database",
            "/spec/deletionPolicy",
            json!("Drop"),
            "\"Retain\", \"Delete\", \"BackupBeforeDelete\"",
        )
        .good([
            json!("Retain"),
            json!("Delete"),
            json!("BackupBeforeDelete"),
        ]),
        case(
            "Database",
            "/spec/adoptionPolicy",
            json!("Always"),
            "\"Never\", \"IfUnclaimed\"",
        )
        .good([json!("Never")]),
        case(
            "Database",
            "/spec/connectionLimit",
            json!(0),
            "greater than or equal to 1",
        )
        .good([json!(1), json!(262_143)]),
        case("Database", "/spec/name", json!(""), "at least 1 chars"),
        case(
            "Database",
            "/spec/name",
            json!("a".repeat(64)),
            "may not be more than 63 bytes",
        ),
        case(
            "Database",
            "/spec/postgresql/schemas",
            json!([{"name": "a"}, {"name": "a"}]),
            "Duplicate value",
        )
        .rule("spec.postgresql.schemas[]"),
        case(
            "Database",
            "/spec/postgresql/localeProvider",
            json!("glibc"),
            "\"libc\", \"icu\", \"builtin\"",
        ),
        case("Backup", "/spec/databaseRef", Value::Null, "Required value"),
        case(
            "Backup",
            "/spec/deadlineSeconds",
            json!(59),
            "greater than or equal to 60",
        )
        .good([json!(604_800)]),
        case(
            "Backup",
            "/spec/stallSeconds",
            json!(29),
            "greater than or equal to 30",
        ),
        case(
            "DatabaseInstance",
            "/spec/backup/job/maxDeadlineSeconds",
            json!(59),
            "greater than or equal to 60",
        )
        .good([json!(604_800)]),
        case(
            "DatabaseInstance",
            "/spec/backup/job/maxStallSeconds",
            json!(86_401),
            "less than or equal to 86400",
        )
        .good([json!(30)]),
        case(
            "DatabaseInstance",
            "/spec/provider",
            json!("oracle"),
            "\"postgresql\", \"mysql\"",
        ),
        case(
            "DatabaseInstance",
            "/spec/adminSecretRef",
            Value::Null,
            "Required value",
        ),
        case(
            "DatabaseInstance",
            "/spec/allowedNamespaces",
            Value::Null,
            "Required value",
        ),
        case(
            "DatabaseInstance",
            "/spec/port",
            json!(65_536),
            "less than or equal to 65535",
        )
        .good([json!(1), Value::Null]),
        case(
            "DatabaseInstance",
            "/spec/maxConnections",
            json!(0),
            "greater than or equal to 1",
        )
        .good([json!(100)]),
        case(
            "DatabaseInstance",
            "/spec/tls/mode",
            json!("prefer"),
            "\"disable\", \"require\", \"verify-ca\", \"verify-full\"",
        ),
        case(
            "DatabaseInstance",
            "/spec/backup/s3/maxParts",
            json!(10_001),
            "less than or equal to 10000",
        )
        .good([json!(10_000)]),
        case(
            "DatabaseInstance",
            "/spec/adoptable",
            json!([
                {"database": "a", "user": "a", "namespace": "team-a"},
                {"database": "a", "user": "b", "namespace": "team-b"},
            ]),
            "Duplicate value",
        )
        .rule("spec.adoptable[]"),
    ]
}
