//! Rules about changes.

use serde_json::{Value, json};

use super::{Case, case, fixture, init};

/// Objects as they are changed.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn updates() -> Vec<Case> {
    let own_name = fixture("Database")["metadata"]["name"].clone();
    let mut cases = vec![
        case(
            "DatabaseInstance",
            "/spec/provider",
            json!("mysql"),
            "create a new DatabaseInstance",
        )
        .good([json!("postgresql")]),
        case(
            "Database",
            "/spec/instanceRef/name",
            json!("other"),
            "create a new Database on the other instance",
        )
        .good([json!("e2e-crds-none")])
        .rule("spec.instanceRef"),
        case(
            "Database",
            "/spec/name",
            json!("other"),
            "spec.name, by default metadata.name",
        )
        .good([json!("orders")])
        .rule(""),
        // Taken away, the name would be metadata.name.
        case(
            "Database",
            "/spec/name",
            Value::Null,
            "spec.name, by default metadata.name",
        )
        .rule(""),
        // Without a name it is metadata.name: saying so changes nothing, another one does.
        case(
            "Database",
            "/spec/name",
            json!("other"),
            "spec.name, by default metadata.name",
        )
        .before("/spec/name", Value::Null)
        .good([own_name.clone()])
        .rule(""),
        case(
            "Database",
            "/spec/user",
            json!("other"),
            "spec.user, by default the database's name",
        )
        .good([json!("orders-owner")])
        .rule(""),
        case(
            "Database",
            "/spec/user",
            Value::Null,
            "spec.user, by default the database's name",
        )
        .rule(""),
        case(
            "Database",
            "/spec/user",
            json!("other"),
            "spec.user, by default the database's name",
        )
        .before("/spec/user", Value::Null)
        .good([json!("orders")])
        .rule(""),
        case(
            "Database",
            "/spec/postgresql/encoding",
            json!("LATIN1"),
            "the encoding of an existing PostgreSQL database",
        )
        .state("CREATED")
        .good([json!("UTF8")])
        .rule(""),
        case(
            "Database",
            "/spec/postgresql",
            Value::Null,
            "the locale of an existing PostgreSQL database",
        )
        .state("BACKUP_IN_PROGRESS")
        .rule(""),
        case(
            "Database",
            "/spec/postgresql",
            json!({"localeProvider": "libc", "icuLocale": null}),
            "the locale provider of an existing PostgreSQL database",
        )
        .state("CREATED")
        .rule(""),
        case(
            "Database",
            "/spec/postgresql/icuLocale",
            json!("de-AT"),
            "the ICU locale of an existing PostgreSQL database",
        )
        .state("CREATED")
        .good([json!("de-DE")])
        .rule(""),
        case(
            "Database",
            "/spec/postgresql/builtinLocale",
            json!("C"),
            "the builtin locale of an existing PostgreSQL database",
        )
        .before(
            "/spec/postgresql",
            json!({"localeProvider": "builtin", "builtinLocale": "C.UTF-8"}),
        )
        .state("CREATED")
        .good([json!("C.UTF-8")])
        .rule(""),
        case(
            "Database",
            "/spec/postgresql/template",
            Value::Null,
            "the template of an existing PostgreSQL database",
        )
        .state("CREATED")
        .good([json!("base")])
        .rule(""),
        // Before the database exists a wrong one can be corrected (another rule refuses the last value).
        case(
            "Database",
            "/spec/postgresql/encoding",
            json!("UTF 8"),
            "for example UTF8",
        )
        .state("CREATING")
        .good([json!("LATIN1")]),
        case(
            "Backup",
            "/spec/stallSeconds",
            json!(601),
            "a Backup's spec cannot be changed",
        )
        .good([json!(600)])
        .rule("spec"),
        case(
            "Backup",
            "/spec/databaseRef/namespace",
            Value::Null,
            "a Backup's spec cannot be changed",
        )
        .rule("spec"),
        case(
            "Restore",
            "/spec/jobs",
            json!(3),
            "a Restore's spec cannot be changed",
        )
        .good([json!(4)])
        .rule("spec"),
    ];
    cases.extend(init::updates());
    cases
}
