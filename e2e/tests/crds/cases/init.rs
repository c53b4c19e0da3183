//! What a Database says of the backup that it begins with.

use serde_json::{Value, json};

use super::{Case, case};

/// A Database without the template that says the same as a backup.
fn database(bad: Value, sentence: &'static str) -> Case {
    case("Database", "/spec/initFrom", bad, sentence)
        .before("/spec/postgresql/template", Value::Null)
}

/// Databases as they are created.
pub(super) fn databases() -> Vec<Case> {
    let manifest = |key: &str| json!({"manifest": {"instance": "postgres", "key": key}});
    let latest = |name: &str| json!({"latest": {"database": {"name": name}}});
    let one = "initFrom needs exactly one of backupRef";
    vec![
        database(json!({}), one).good([
            json!({"backupRef": {"name": "nightly"}, "otherwise": "Fail"}),
            json!({"latest": {"database": {"name": "orders"}}, "otherwise": "Empty"}),
            json!({"latest": {"database": {"name": "orders"}, "before": "2026-11-23T06:00:00Z", "clusterId": "c1"}}),
            manifest("prod/c1/team-a/orders/x.dump.zst.json"),
            Value::Null,
        ]),
        database(
            json!({"backupRef": {"name": "b"}, "latest": {"database": {"name": "orders"}}}),
            one,
        ),
        database(
            json!({"backupRef": {"name": "b"}, "otherwise": "Empty"}),
            "otherwise: Empty goes with latest",
        ),
        database(
            json!({"latest": {"database": {"name": "orders"}}, "otherwise": "Ignore"}),
            "supported values: \"Fail\", \"Empty\"",
        )
        .rule("spec.initFrom.otherwise"),
        database(
            json!({"backupRef": {"name": "Nightly"}}),
            "write the object's metadata.name",
        )
        .rule("spec.initFrom.backupRef.name"),
        database(latest("Orders"), "write the object's metadata.name")
            .rule("spec.initFrom.latest.database.name"),
        database(
            json!({"latest": {"database": {"name": "orders", "namespace": "Team.A"}}}),
            "kubectl get namespaces",
        )
        .good([json!({"latest": {"database": {"name": "orders", "namespace": "team-a"}}})])
        .rule("spec.initFrom.latest.database.namespace"),
        database(
            json!({"latest": {"database": {"name": "orders"}, "clusterId": "c 1"}}),
            "leave it out for any that may be read",
        )
        .rule("spec.initFrom.latest.clusterId"),
        database(
            manifest("prod/c1/team-a/orders/x.dump.zst"),
            "which ends in .json",
        )
        .rule("spec.initFrom.manifest.key"),
        database(
            json!({"manifest": {"instance": "Postgres", "key": "x.json"}}),
            "write the object's metadata.name",
        )
        .rule("spec.initFrom.manifest.instance"),
        case(
            "Database",
            "/spec/initFrom",
            latest("orders"),
            "initFrom and postgresql.template both say",
        )
        .rule("spec"),
    ]
}

/// Databases as they are changed: while a backup is being loaded, what was asked for stays.
pub(super) fn updates() -> Vec<Case> {
    let from = |name: &str| json!({"backupRef": {"name": name}, "otherwise": "Fail"});
    let change = |bad| {
        case(
            "Database",
            "/spec/initFrom",
            bad,
            "initFrom cannot be changed while",
        )
        .before("/spec/postgresql/template", Value::Null)
        .before("/spec/initFrom", from("nightly"))
        .rule("")
    };
    let loading = || {
        json!({
            "init": {"restore": "orders-init-0", "restoreUid": "r"},
            "restore": {"name": "orders-init-0", "uid": "r", "state": "LOADING"},
        })
    };
    let failed = json!({
        "init": {"restore": "orders-init-0", "restoreUid": "r", "outcome": "Failed"},
        "restore": {"name": "orders-init-0", "uid": "r", "state": "FAILED"},
    });
    vec![
        change(from("other"))
            .good([from("nightly")])
            .state("CREATING")
            .status(loading()),
        change(Value::Null).state("CREATING").status(loading()),
        // After its end it may be corrected (another rule refuses the last value).
        case(
            "Database",
            "/spec/initFrom",
            json!({"backupRef": {"name": "Other"}}),
            "write the object's metadata.name",
        )
        .before("/spec/postgresql/template", Value::Null)
        .before("/spec/initFrom", from("nightly"))
        .rule("spec.initFrom.backupRef.name")
        .good([from("other"), Value::Null])
        .state("CREATING")
        .status(failed),
    ]
}
