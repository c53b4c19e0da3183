//! Names of Kubernetes objects, and names of SQL databases, users and schemas.

use serde_json::{Value, json};

use super::{Case, case};

/// Names of Kubernetes objects, their own and those that they refer to.
pub(super) fn object_names() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in ["DatabaseInstance", "Database", "Backup", "Restore"] {
        cases.push(
            case(
                kind,
                "/metadata/name",
                json!("a".repeat(64)),
                "at most 63 characters",
            )
            .good([json!("a".repeat(63)), json!("orders.eu-1")])
            .rule(""),
        );
    }
    let instance = "DatabaseInstance";
    for (kind, field) in [
        ("Database", "/spec/instanceRef/name"),
        ("Backup", "/spec/databaseRef/name"),
        (instance, "/spec/adminSecretRef/name"),
        (instance, "/spec/tls/ca/secretRef/name"),
        (instance, "/spec/backup/s3/credentialsSecretRef/name"),
        (instance, "/spec/backup/s3/caSecretRef/name"),
        (instance, "/spec/backup/job/templateRef/name"),
    ] {
        cases.push(
            case(
                kind,
                field,
                json!("Shared_Postgres"),
                "write the object's metadata.name",
            )
            .good([json!("shared-postgres"), json!("a.b")]),
        );
    }
    for (kind, field) in [
        ("Backup", "/spec/databaseRef/namespace"),
        (instance, "/spec/adoptable/0/namespace"),
    ] {
        cases.push(
            case(
                kind,
                field,
                json!("team.a"),
                "`kubectl get namespaces` lists",
            )
            .good([json!("team-b")]),
        );
    }
    for field in [
        "/spec/tls/ca/secretRef/key",
        "/spec/backup/s3/caSecretRef/key",
        "/spec/backup/job/templateRef/key",
    ] {
        cases.push(
            case(instance, field, json!("ca/crt"), "for example ca.crt").good([json!("CA_2.pem")]),
        );
    }
    cases
}

/// Names of SQL databases, users and schemas.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn sql_names() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, field) in [
        ("Database", "/spec/name"),
        ("Database", "/spec/user"),
        ("DatabaseInstance", "/spec/adoptable/0/database"),
        ("DatabaseInstance", "/spec/adoptable/0/user"),
        ("DatabaseInstance", "/spec/postgresql/maintenanceDatabase"),
        ("Database", "/spec/postgresql/schemas/0/name"),
        ("Database", "/spec/postgresql/extensions/0/schema"),
        ("Database", "/spec/postgresql/template"),
    ] {
        cases.push(
            // 32 letters of two bytes: not too long for the schema, which counts characters.
            case(kind, field, json!("é".repeat(32)), "has at most 63 bytes").good([
                json!("é".repeat(31)),
                json!("a".repeat(63)),
                json!("Mixed Case"),
                json!("quote'\"`\\back"),
                json!("select"),
                json!("数据库"),
                json!("per%cent_under"),
            ]),
        );
        for bad in ["a\u{0}b", "tab\tbed", " leading", "trailing ", "line\n"] {
            cases.push(case(
                kind,
                field,
                json!(bad),
                "must not contain control characters",
            ));
        }
    }
    for (kind, field) in [
        ("Database", "/spec/name"),
        ("Database", "/spec/user"),
        ("DatabaseInstance", "/spec/adoptable/0/database"),
        ("DatabaseInstance", "/spec/adoptable/0/user"),
    ] {
        for bad in [
            "postgres",
            "Template1",
            "template0",
            "mysql",
            "INFORMATION_SCHEMA",
            "performance_schema",
            "sys",
            "ndbinfo",
            "root",
            "mysql.session",
            "mariadb.sys",
            "db_operator",
            "pg_monitor",
            "rdsadmin",
            "cloudsqlsuperuser",
            "azure_pg_admin",
            "#mysql50#orders",
            "public",
            "none",
        ] {
            cases.push(case(kind, field, json!(bad), "choose another one"));
        }
        cases.push(
            case(kind, field, json!("root"), "choose another one").good([
                json!("postgres_app"),
                json!("mypg_"),
                json!("systems"),
                json!("rootless"),
            ]),
        );
    }
    for field in [
        "/spec/postgresql/schemas/0/name",
        "/spec/postgresql/extensions/0/schema",
    ] {
        for bad in ["pg_temp", "information_schema", "db_operator"] {
            cases.push(
                case(
                    "Database",
                    field,
                    json!(bad),
                    "are reserved: choose another name",
                )
                .good([json!("app_pg")]),
            );
        }
    }
    cases.push(
        case(
            "Database",
            "/spec/postgresql/template",
            json!("db_operator"),
            "cannot be a template",
        )
        .good([json!("template0"), json!("template1")]),
    );
    // The name that the SQL database has when none is given.
    for bad in [
        "postgres",
        "root",
        "rds-orders",
        "mysql.orders",
        "mariadb.sys",
    ] {
        cases.push(
            case(
                "Database",
                "/metadata/name",
                json!(bad),
                "set spec.name to another name",
            )
            .good([json!("orders"), json!("postgres-app")])
            .before("/spec/name", Value::Null)
            .rule(""),
        );
    }
    cases
}
