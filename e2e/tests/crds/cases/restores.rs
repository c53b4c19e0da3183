//! Restores, and what an instance says of them.

use serde_json::{Value, json};

use super::instances::destinations;
use super::{Case, case};

/// A Restore that needs no confirmation.
fn empty(case: Case) -> Case {
    let case = case.before("/spec/mode", json!("Empty"));
    let case = case.before("/spec/confirm", Value::Null);
    case.before("/spec/keepReplaced", Value::Null)
}

/// A Restore with mode `Test`.
fn test(case: Case) -> Case {
    let case = empty(case).before("/spec/mode", json!("Test"));
    let case = case.before("/spec/instanceRef", json!({"name": "scratch"}));
    let case = case.before("/spec/databaseRef", Value::Null);
    case.before("/spec/maxDowntimeSeconds", Value::Null)
}

/// Restores as they are created.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn restores() -> Vec<Case> {
    let kind = "Restore";
    let manifest = |key: &str| json!({"manifest": {"instance": "postgres", "key": key}});
    vec![
        case(kind, "/spec/source", json!({}), "exactly one of backupRef")
            .good([
                json!({"backupRef": {"name": "nightly"}}),
                json!({"latest": {"database": {"name": "orders"}}}),
                json!({"latest": {"database": {"name": "orders"}, "before": "2026-11-23T06:00:00Z", "clusterId": "c1"}}),
                manifest("prod/c1/team-a/orders/x.dump.zst.json"),
            ]),
        case(
            kind,
            "/spec/source",
            json!({"backupRef": {"name": "b"}, "latest": {"database": {"name": "orders"}}}),
            "exactly one of backupRef",
        ),
        case(
            kind,
            "/spec/source",
            json!({"backupRef": {"name": "Nightly"}}),
            "write the object's metadata.name",
        )
        .rule("spec.source.backupRef.name"),
        case(
            kind,
            "/spec/source",
            json!({"latest": {"database": {"name": "Orders"}}}),
            "write the object's metadata.name",
        )
        .rule("spec.source.latest.database.name"),
        case(
            kind,
            "/spec/source",
            json!({"latest": {"database": {"name": "orders", "namespace": "Team.A"}}}),
            "kubectl get namespaces",
        )
        .good([json!({"latest": {"database": {"name": "orders", "namespace": "team-a"}}})])
        .rule("spec.source.latest.database.namespace"),
        case(
            kind,
            "/spec/source",
            json!({"latest": {"database": {"name": "orders"}, "clusterId": "c 1"}}),
            "leave it out for any that may be read",
        )
        .rule("spec.source.latest.clusterId"),
        case(
            kind,
            "/spec/source",
            manifest("prod/c1/team-a/orders/x.dump.zst"),
            "which ends in .json",
        )
        .rule("spec.source.manifest.key"),
        case(
            kind,
            "/spec/source",
            json!({"manifest": {"instance": "Postgres", "key": "x.json"}}),
            "write the object's metadata.name",
        )
        .rule("spec.source.manifest.instance"),
        case(
            kind,
            "/spec/databaseRef/name",
            json!("Orders"),
            "write the object's metadata.name",
        )
        .good([json!("orders-2")]),
        case(
            kind,
            "/spec/stallSeconds",
            json!(21_601),
            "must not exceed deadlineSeconds",
        )
        .good([json!(21_600), json!(30)])
        .rule("spec"),
        case(
            kind,
            "/spec/confirm",
            Value::Null,
            "set confirm to the name of the SQL database",
        )
        .good([json!("orders")])
        .rule("spec"),
        empty(case(
            kind,
            "/spec/confirm",
            json!("orders"),
            "confirm is for mode Replace",
        ))
        .good([Value::Null])
        .rule("spec"),
        empty(case(
            kind,
            "/spec/keepReplaced",
            json!("72h"),
            "keepReplaced is for mode Replace",
        ))
        .good([Value::Null])
        .rule("spec"),
        case(
            kind,
            "/spec/only",
            json!({"tables": ["public.invoices"]}),
            "mode Replace puts all of a backup",
        )
        .good([Value::Null])
        .rule("spec"),
        empty(case(kind, "/spec/only", json!({}), "only names nothing")).good([
            json!({"schemas": ["audit"]}),
            json!({"schemas": ["audit"], "tables": ["public.invoices", "\"a.b\".\"c\"\"d\"", "Public.In Voices"]}),
        ]),
        empty(case(
            kind,
            "/spec/only",
            json!({"tables": ["invoices"]}),
            "tables are named with their schemas",
        ))
        .rule("spec.only.tables"),
        empty(case(
            kind,
            "/spec/only",
            json!({"tables": ["a.b.c"]}),
            "tables are named with their schemas",
        ))
        .rule("spec.only.tables"),
        case(
            kind,
            "/spec/keepReplaced",
            json!("721h"),
            "a duration from 1m to 720h",
        )
        .good([
            json!("1m"),
            json!("720h"),
            json!("1h30m"),
            json!("90s"),
            Value::Null,
        ]),
        case(
            kind,
            "/spec/keepReplaced",
            json!("59s"),
            "a duration from 1m to 720h",
        ),
        case(
            kind,
            "/spec/keepReplaced",
            json!("3 days"),
            "a duration from 1m to 720h",
        ),
        case(
            kind,
            "/spec/check/queries/0/name",
            json!("newest order"),
            "for example newest-order",
        )
        .good([json!("newest.order_1")]),
        case(
            kind,
            "/spec/check/queries",
            json!([{"name": "a", "sql": "select true"}, {"name": "a", "sql": "select true"}]),
            "Duplicate value",
        )
        .rule("spec.check.queries[]"),
        case(
            kind,
            "/spec/check/level",
            json!("All"),
            "\"None\", \"Rows\", \"Digest\"",
        )
        .good([json!("None"), json!("Rows"), json!("Digest")]),
        case(
            kind,
            "/spec/mode",
            json!("Tests"),
            "supported values: \"Empty\", \"Replace\", \"Test\"",
        ),
        case(kind, "/spec/jobs", json!(9), "less than or equal to 8").good([json!(1), json!(8)]),
        case(
            kind,
            "/spec/maxDowntimeSeconds",
            json!(0),
            "greater than or equal to 1",
        )
        .good([json!(300)]),
        case(
            kind,
            "/spec/accept",
            json!(["Everything"]),
            "supported values: \"ExtensionData\"",
        )
        .rule("spec.accept[]")
        .good([json!([]), json!(["ExtensionData"])]),
        case(
            kind,
            "/spec/databaseRef",
            Value::Null,
            "needs exactly one of databaseRef and instanceRef",
        )
        .rule("spec"),
        case(
            kind,
            "/spec/mode",
            json!("Test"),
            "mode Test and instanceRef go together",
        )
        .rule("spec"),
        test(case(
            kind,
            "/spec/mode",
            json!("Empty"),
            "mode Test and instanceRef go together",
        ))
        .rule("spec"),
        test(case(
            kind,
            "/spec/databaseRef",
            json!({"name": "orders"}),
            "needs exactly one of databaseRef and instanceRef",
        ))
        .good([Value::Null])
        .rule("spec"),
        test(case(
            kind,
            "/spec/maxDowntimeSeconds",
            json!(16),
            "a Test touches none",
        ))
        .good([Value::Null, json!(15)])
        .rule("spec"),
        test(case(
            kind,
            "/spec/instanceRef/name",
            json!("Scratch"),
            "write the object's metadata.name",
        ))
        .good([json!("scratch.eu-1")]),
        test(case(kind, "/spec/only", json!({"schemas": []}), "only names nothing"))
            .good([json!({"tables": ["public.invoices"]}), Value::Null]),
    ]
}

/// Whose backups an instance shares.
fn shared() -> Vec<Case> {
    let kind = "DatabaseInstance";
    let field = |name: &str| &*format!("/spec/backup/shared/0/{name}").leak();
    vec![
        case(
            kind,
            field("namespace"),
            json!("Team A"),
            "kubectl get namespaces",
        )
        .good([json!("team-b")]),
        case(
            kind,
            field("database"),
            json!("../orders"),
            "write the object's metadata.name",
        )
        .good([json!("orders-2")]),
        case(
            kind,
            field("clusterId"),
            json!("c/1"),
            "status.clusterId of an instance of that cluster",
        )
        .good([json!("9f1c"), Value::Null]),
        case(
            kind,
            field("to"),
            json!(["*"]),
            "for example [team-a-staging]",
        )
        .good([json!(["a"]), json!(["team-b", "team-c"])]),
    ]
}

/// What an instance says of restores: the rules about Jobs are those for backups.
pub(super) fn instances() -> Vec<Case> {
    let kind = "DatabaseInstance";
    let mut cases = vec![
        case(
            kind,
            "/spec/restore/maxKeepReplaced",
            json!("31d"),
            "a duration from 1m to 720h",
        )
        .good([json!("24h"), Value::Null]),
        case(
            kind,
            "/spec/restore/maxConcurrent",
            json!(0),
            "greater than or equal to 1",
        )
        .good([json!(16)]),
        case(
            kind,
            "/spec/restore/maxBytes",
            json!("500 GB"),
            "for example 500Gi",
        )
        .good([json!("500Gi"), json!("1.5T"), json!("1000000"), Value::Null]),
        case(
            kind,
            "/spec/restore/maxBytes",
            json!("0Gi"),
            "more than nothing",
        ),
        case(
            kind,
            "/spec/restore/job/templateRef/name",
            json!("Shared_Postgres"),
            "write the object's metadata.name",
        ),
        case(
            kind,
            "/spec/restore/job/templateRef/key",
            json!("ca/crt"),
            "for example ca.crt",
        ),
    ];
    cases.extend(shared());
    let of_jobs = destinations().into_iter();
    let of_jobs = of_jobs.filter(|case| case.field.starts_with("/spec/backup/job"));
    cases.extend(of_jobs.map(|case| case.moved("backup", "restore")));
    cases
}
