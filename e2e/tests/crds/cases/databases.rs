//! Rules of a Database and of a Backup.

use serde_json::{Value, json};

use super::{Case, case};

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn databases() -> Vec<Case> {
    let kind = "Database";
    vec![
        case(
            kind,
            "/spec/mysql",
            json!({"characterSet": "utf8mb4"}),
            "keep the one that matches the instance's server",
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
            "/spec/postgresql/icuLocale",
            json!("de_DE"),
            "must be a language tag",
        )
        .good([json!("de-DE-u-co-phonebk"), json!("und")]),
        case(
            kind,
            "/spec/postgresql",
            json!({"localeProvider": "builtin", "builtinLocale": "de"}),
            "builtinLocale must be C, C.UTF-8",
        )
        .good([
            json!({"localeProvider": "builtin", "builtinLocale": "C.UTF-8"}),
            json!({"localeProvider": "builtin", "builtinLocale": "PG_UNICODE_FAST"}),
        ])
        .rule("spec.postgresql.builtinLocale"),
        case(
            kind,
            "/spec/postgresql",
            json!({"icuLocale": "de-DE"}),
            "localeProvider icu and icuLocale go together",
        )
        .good([json!({"localeProvider": "libc"}), json!({})])
        .rule("spec.postgresql"),
        case(
            kind,
            "/spec/postgresql",
            json!({"localeProvider": "builtin"}),
            "localeProvider builtin and builtinLocale go together",
        )
        .rule("spec.postgresql"),
        case(
            kind,
            "/spec/postgresql/extensions/0/version",
            json!("1.6; DROP"),
            "pg_available_extension_versions",
        )
        .good([json!("1.6"), json!("2.0-rc1")]),
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
            "are reserved for the operator: choose others",
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
            "are reserved for the operator: choose others",
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
            "are reserved for the operator: choose others",
        )
        .good([json!({"example.com/db-operator.dev": "x"})]),
        case(
            kind,
            "/spec/secretTemplate/annotations",
            json!({"db-operator.dev/x": "y"}),
            "are reserved for the operator: choose others",
        )
        .good([json!({"reloader.example.com/match": "true"})]),
    ]
}

/// What the API server would refuse of the Secret later is refused of the Database, before anything is claimed.
pub(super) fn secret_templates() -> Vec<Case> {
    let kind = "Database";
    let of =
        |part: &'static str, bad: Value, sentence: &'static str| case(kind, part, bad, sentence);
    let (labels, annotations) = (
        "/spec/secretTemplate/labels",
        "/spec/secretTemplate/annotations",
    );
    let long = |length: usize| "x".repeat(length);
    let label_key = "a label's key consists of letters, digits";
    let label_value = "a label's value consists of letters, digits";
    let annotation_key = "an annotation's key consists of letters, digits";
    vec![
        of(labels, json!({"team": "with space"}), label_value).good([
            json!({"team": ""}),
            json!({"team": "a"}),
            json!({"team": "A-b_c.9"}),
            json!({"team": long(63)}),
        ]),
        of(labels, json!({"team": "-a"}), label_value),
        of(labels, json!({"team": "ä"}), label_value),
        of(labels, json!({"team": long(64)}), "may not be more than 63")
            .rule("spec.secretTemplate.labels.team"),
        of(labels, json!({"the team": "a"}), label_key).good([
            json!({"example.com/team": "a"}),
            json!({"app.kubernetes.io/part-of": "a"}),
            json!({"T_e.am": "a"}),
            json!({long(63): "a"}),
            json!({format!("{}/{}", format!("{}.", long(63)).repeat(3) + &long(61), long(63)): "a"}),
        ]),
        of(labels, json!({"Example.com/team": "a"}), label_key),
        of(labels, json!({"example..com/team": "a"}), label_key),
        of(labels, json!({"/team": "a"}), label_key),
        of(labels, json!({"a/b/c": "a"}), label_key),
        of(labels, json!({long(64): "a"}), label_key),
        of(labels, json!({format!("{}/a", long(254)): "a"}), label_key),
        of(annotations, json!({"the team": "a"}), annotation_key).good([
            json!({"Example.com/Team": "any text: with spaces\nand lines"}),
            json!({"a": long(8192), "b": long(8192)}),
        ]),
        of(
            annotations,
            json!({"a": long(8192), "b": long(8192), "c": "x"}),
            "annotations have at most 16384 characters in all",
        ),
        of(
            "/spec/secretTemplate/data",
            json!((0..9).map(|n| (format!("K{n}"), long(7282))).collect::<std::collections::BTreeMap<_, _>>()),
            "at most 65536 characters in all",
        )
        .good([json!(
            (0..8)
                .map(|n| (format!("K{n}"), long(8192)))
                .collect::<std::collections::BTreeMap<_, _>>()
        )]),
    ]
}

pub(super) fn backups() -> Vec<Case> {
    vec![
        case(
            "Backup",
            "/spec/stallSeconds",
            json!(21_601),
            "must not exceed deadlineSeconds",
        )
        .good([json!(21_600), json!(30)])
        .rule("spec"),
    ]
}
