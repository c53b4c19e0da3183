//! What a Backup is to a Database.

use serde_json::{Value, json};

use super::*;

const HOME: &str = "operators";

fn database(namespace: &str, status: &Value) -> Database {
    serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": "orders", "namespace": namespace, "uid": "u1"},
        "spec": {"instanceRef": {"name": "postgres"}}, "status": status
    }))
    .unwrap()
}

fn backup(namespace: &str, of: &Value, status: &Value) -> Backup {
    serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
        "metadata": {"name": "b", "namespace": namespace, "uid": "b1"},
        "spec": {"databaseRef": of}, "status": status
    }))
    .unwrap()
}

#[test]
fn another_namespace_is_named_in_the_operators_own_alone() {
    let of = json!({"name": "orders"});
    let of_a = json!({"name": "orders", "namespace": "a"});
    for (place, reference, expected) in [
        ("a", &of, true),
        ("b", &of, false),
        (HOME, &of, false),
        (HOME, &of_a, true),
        ("b", &of_a, false),
        ("a", &of_a, false),
        ("a", &json!({"name": "other"}), false),
    ] {
        let backup = backup(place, reference, &Value::Null);
        let database = database("a", &Value::Null);
        assert_eq!(is_of(&backup, &database, HOME), expected, "{backup:?}");
    }
    // A Database of the operator's own namespace has both kinds there.
    let at_home = database(HOME, &Value::Null);
    let of_home = json!({"name": "orders", "namespace": HOME});
    for (reference, is_final_one) in [(of, false), (of_home, true)] {
        let backup = backup(HOME, &reference, &Value::Null);
        assert!(is_of(&backup, &at_home, HOME));
        assert_eq!(is_final(&backup), is_final_one);
    }
}

#[test]
fn what_is_deleted_before_its_turn_is_not_waited_for() {
    let of = |state: Value| backup("a", &json!({"name": "orders"}), &json!({"state": state}));
    for (state, expected) in [
        (Value::Null, BackupSeen::Waiting),
        (json!("STARTING"), BackupSeen::Active),
        (json!("BACKING_UP"), BackupSeen::Active),
        (json!("COMPLETED"), BackupSeen::Completed),
        (json!("FAILED"), BackupSeen::Failed),
    ] {
        let mut backup = of(state.clone());
        assert_eq!(seen(Some(&backup)), expected);
        backup.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let deleted = if state.is_null() {
            BackupSeen::None
        } else {
            expected
        };
        assert_eq!(seen(Some(&backup)), deleted, "{state}");
    }
    assert_eq!(seen(None), BackupSeen::None);
}

#[test]
fn who_waits_for_a_backup_does_not_rest_long() {
    let hour = Duration::from_hours(1);
    let named = json!({"name": "b", "uid": "b1"});
    let last =
        |completed: bool| json!({"name": "orders-final-1", "attempt": 1, "completed": completed});
    for (status, waits) in [
        (json!({"state": "CREATED"}), false),
        (json!({"state": "BACKUP_REQUESTED", "backup": named}), true),
        (
            json!({"state": "BACKUP_IN_PROGRESS", "backup": named}),
            true,
        ),
        (
            json!({"state": "BACKUP_BEFORE_DELETE_IN_PROGRESS", "finalBackup": last(false)}),
            true,
        ),
        (
            json!({"state": "DELETION_IN_PROGRESS", "finalBackup": last(true)}),
            false,
        ),
    ] {
        let expected = if waits { LOOK } else { hour };
        let database = database("a", &status);
        assert_eq!(rest(&database, hour), expected, "{status}");
        let moment = Duration::from_secs(1);
        assert_eq!(rest(&database, moment), moment);
    }
}
