//! Rules of a Database and of a Backup.

use serde_json::{Value, json};

use super::{Case, case};

pub fn databases() -> Vec<Case> {
    let kind = "Database";
    vec![
        case(
            kind,
            "/spec/mysql",
            json!({"characterSet": "utf8mb4"}),
            "keep the block of its kind",
        )
        .rule("spec"),
        case(
            kind,
            "/spec/postgresql/encoding",
            json!("UTF 8"),
            "for example UTF8",
        )
        .good([json!("LATIN1"), json!("SQL_ASCII")]),
        case(
            kind,
            "/spec/postgresql/locale",
            json!("C'; DROP"),
            "for example C.UTF-8",
        )
        .good([json!("de_DE.UTF-8"), json!("ca_ES@valencia")]),
        case(
            kind,
            "/spec/postgresql/extensions/0/name",
            json!("pg_trgm;"),
            "for example pg_trgm",
        )
        .good([json!("uuid-ossp")]),
        case(
            kind,
            "/spec/mysql",
            json!({"characterSet": "utf8 mb4"}),
            "SHOW CHARACTER SET lists",
        )
        .good([
            json!({"characterSet": "utf8mb4", "collation": "utf8mb4_0900_ai_ci"}),
            json!({}),
        ])
        .before("/spec/postgresql", Value::Null)
        .rule("spec.mysql.characterSet"),
        case(
            kind,
            "/spec/mysql",
            json!({"collation": "utf8mb4-bin"}),
            "SHOW COLLATION lists",
        )
        .before("/spec/postgresql", Value::Null)
        .rule("spec.mysql.collation"),
        case(
            kind,
            "/spec/secretTemplate/data",
            json!({"password": "hunter2"}),
            "are the operator's: choose other ones",
        )
        .good([
            json!({"PASSWORD": "{{password}}", "db.url": "{{uri}}"}),
            json!({}),
            Value::Null,
        ]),
        case(
            kind,
            "/spec/secretTemplate/data",
            json!({"ca.crt": ""}),
            "are the operator's: choose other ones",
        ),
        case(
            kind,
            "/spec/secretTemplate/data",
            json!({"DATABASE URL": ""}),
            "for example DATABASE_URL",
        ),
        case(
            kind,
            "/spec/secretTemplate/data",
            json!({"a".repeat(254): ""}),
            "at most 253 of them",
        )
        .good([json!({"a".repeat(253): ""})]),
        case(
            kind,
            "/spec/secretTemplate/labels",
            json!({"db-operator.dev/adopt": "true"}),
            "are the operator's: choose other ones",
        )
        .good([json!({"example.com/db-operator.dev": "x"})]),
        case(
            kind,
            "/spec/secretTemplate/annotations",
            json!({"db-operator.dev/x": "y"}),
            "are the operator's: choose other ones",
        )
        .good([json!({"reloader.example.com/match": "true"})]),
    ]
}

pub fn backups() -> Vec<Case> {
    vec![
        case(
            "Backup",
            "/spec/stallSeconds",
            json!(21_601),
            "must not be more than deadlineSeconds",
        )
        .good([json!(21_600), json!(30)])
        .rule("spec"),
    ]
}
