//! Restores that only try a backup out.

use serde_json::{Value, json};

use super::{Case, case};

/// A Restore with mode `Test`.
fn test(field: &'static str, bad: Value, sentence: &'static str) -> Case {
    case("Restore", field, bad, sentence)
        .before("/spec/mode", json!("Test"))
        .before("/spec/instanceRef", json!({"name": "scratch-postgres"}))
        .before("/spec/databaseRef", Value::Null)
        .before("/spec/confirm", Value::Null)
        .before("/spec/keepReplaced", Value::Null)
        .before("/spec/maxDowntimeSeconds", Value::Null)
        .rule("spec")
}

/// What goes with a test, and what does not.
pub(super) fn restores() -> Vec<Case> {
    let one = "exactly one of databaseRef and instanceRef";
    vec![
        test("/spec/instanceRef", Value::Null, one).good([json!({"name": "scratch-mysql"})]),
        test("/spec/databaseRef", json!({"name": "orders"}), one),
        test(
            "/spec/instanceRef/name",
            json!("Scratch"),
            "write the object's metadata.name",
        )
        .rule("spec.instanceRef.name"),
        test(
            "/spec/mode",
            json!("Empty"),
            "mode Test and instanceRef go together",
        )
        .good([json!("Test")]),
        test(
            "/spec/maxDowntimeSeconds",
            json!(10),
            "maxDowntimeSeconds is for a database that people use",
        )
        .good([json!(15), Value::Null]),
        test(
            "/spec/confirm",
            json!("orders"),
            "confirm is for mode Replace",
        ),
        test(
            "/spec/keepReplaced",
            json!("72h"),
            "keepReplaced is for mode Replace",
        ),
        test(
            "/spec/only",
            json!({"tables": ["invoices"]}),
            "tables are named with their schemas",
        )
        .rule("spec.only.tables")
        .good([json!({"tables": ["public.invoices"]})]),
    ]
}
