//! What a handful of objects adds up to.

use serde_json::{Value, json};

use super::*;

fn object<K: serde::de::DeserializeOwned>(
    kind: &str,
    name: &str,
    spec: &Value,
    status: &Value,
) -> K {
    let metadata = json!({
        "name": name, "namespace": "team-a", "uid": format!("uid-{name}"), "creationTimestamp": "2026-01-01T00:00:00Z",
    });
    let object = json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, "status": status,
    });
    serde_json::from_value(object).unwrap()
}

fn database(name: &str, status: &Value) -> Database {
    object(
        "Database",
        name,
        &json!({"instanceRef": {"name": "main"}}),
        status,
    )
}

fn backup(name: &str, status: &Value) -> Backup {
    object(
        "Backup",
        name,
        &json!({"databaseRef": {"name": "orders"}}),
        status,
    )
}

fn restore(name: &str, status: &Value) -> Restore {
    let source = json!({"backupRef": {"name": "b"}});
    let spec = json!({"source": source, "databaseRef": {"name": "elsewhere"}});
    object("Restore", name, &spec, status)
}

fn failed(at: &str, reason: &str) -> Value {
    json!({
        "state": "FAILED", "finishedAt": at, "failure": {"reason": reason, "message": "why"},
        "conditions": [condition("Ready", "False", reason), condition("Stalled", "True", reason)],
    })
}

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

fn of(databases: &[Database], backups: &[Backup]) -> Figures {
    let none = std::iter::empty();
    Figures::of(std::iter::empty(), databases.iter(), backups.iter(), none)
}

fn last_of(database: &Database, backups: &[Backup]) -> Option<LastBackups> {
    let figures = of(std::slice::from_ref(database), backups);
    figures.last_backups.into_values().next()
}

#[test]
fn objects_are_counted_by_state_instance_and_reason() {
    let stalled = json!({"state": "CREATING", "conditions": [
        condition("Ready", "False", "ClaimedByAnother"), condition("Stalled", "True", "ClaimedByAnother"),
    ]});
    let usable = json!({"state": "CREATED", "conditions": [
        condition("Ready", "True", "Created"), condition("Stalled", "True", "SomethingNew"),
    ]});
    let instance: DatabaseInstance = object(
        "DatabaseInstance",
        "main",
        &json!({"provider": "postgresql", "host": "h", "adminSecretRef": {"name": "s"}, "allowedNamespaces": {"all": true}}),
        &json!({"conditions": [condition("Ready", "False", "Unreachable"), condition("Reconciling", "True", "Unreachable")]}),
    );
    let databases = [
        database("a", &stalled),
        database("b", &stalled),
        database("c", &usable),
        database("d", &json!({})),
    ];
    let backups = [
        backup(
            "waits",
            &json!({"conditions": [condition("Reconciling", "True", "WaitingForTurn")]}),
        ),
        backup(
            "runs",
            &json!({"state": "BACKING_UP", "source": {
            "instance": "main", "database": "orders", "serverVersion": "PostgreSQL 17.6", "databaseUid": "u",
        }, "conditions": [condition("Reconciling", "True", "BackingUp")]}),
        ),
        backup("failed", &failed("2026-01-02T00:00:00Z", "DumpFailed")),
    ];
    let restores = [
        restore(
            "waits",
            &json!({"conditions": [condition("Reconciling", "True", "WaitingForTurn")]}),
        ),
        restore("done", &json!({"state": "COMPLETED"})),
        restore("failed", &failed("2026-01-02T00:00:00Z", "LoadFailed")),
    ];
    let figures = Figures::of(
        [instance].iter(),
        databases.iter(),
        backups.iter(),
        restores.iter(),
    );

    let main = |state| ("main".to_owned(), state);
    assert_eq!(figures.instances, [("main".to_owned(), false)].into());
    assert_eq!(
        figures.databases,
        [
            (main("CREATED"), 1),
            (main("CREATING"), 2),
            (main(NO_STATE), 1)
        ]
        .into()
    );
    assert_eq!(
        figures.backups,
        [("BACKING_UP", 1), ("FAILED", 1), (NO_STATE, 1)].into()
    );
    assert_eq!(
        figures.restores,
        [("COMPLETED", 1), ("FAILED", 1), (NO_STATE, 1)].into()
    );
    let trouble = |kind, instance: &str, reason| Trouble {
        kind,
        instance: instance.to_owned(),
        reason,
    };
    assert_eq!(
        figures.reconciling,
        [
            (trouble("DatabaseInstance", "main", "Unreachable"), 1),
            (trouble("Backup", "", "WaitingForTurn"), 1),
            (trouble("Backup", "main", "BackingUp"), 1),
            (trouble("Restore", "", "WaitingForTurn"), 1),
        ]
        .into()
    );
    // A failed Backup is no waiting one, and a word that we never wrote is not repeated.
    assert_eq!(
        figures.stalled,
        [
            (trouble("Database", "main", "ClaimedByAnother"), 2),
            (trouble("Database", "main", UNKNOWN), 1),
        ]
        .into()
    );
}

/// The alert for a Backup that cannot start names the instance and what it lacks.
#[test]
fn a_backup_before_its_turn_is_counted_on_the_instance_of_its_database() {
    let waits = json!({"conditions": [condition("Stalled", "True", "NoDestination")]});
    let ordinary = backup("ordinary", &waits);
    let mut last = backup("final", &waits);
    last.metadata.namespace = Some("db-operator-system".to_owned());
    last.spec.database_ref.namespace = Some("team-a".to_owned());
    let mut elsewhere = backup("elsewhere", &waits);
    elsewhere.metadata.namespace = Some("team-b".to_owned());

    let figures = of(
        &[database("orders", &json!({"state": "CREATED"}))],
        &[ordinary, last, elsewhere],
    );
    let on = |instance: &str| Trouble {
        kind: "Backup",
        instance: instance.to_owned(),
        reason: "NoDestination",
    };
    assert_eq!(figures.stalled, [(on("main"), 2), (on(""), 1)].into());
}

#[test]
fn a_failure_counts_until_a_backup_is_complete_again() {
    let backed_up = |at: &str| {
        let last = json!({"name": "b", "finishedAt": at, "destination": "s3://b/k"});
        database("orders", &json!({"state": "CREATED", "lastBackup": last}))
    };
    let never = database("orders", &json!({"state": "CREATED"}));
    let failure = [backup("x", &failed("2026-02-02T00:00:00Z", "DumpFailed"))];

    assert_eq!(last_of(&never, &[]), None);
    assert!(last_of(&never, &failure).unwrap().failed);
    assert!(
        last_of(&backed_up("2026-02-01T00:00:00Z"), &failure)
            .unwrap()
            .failed
    );
    let since = last_of(&backed_up("2026-02-03T00:00:00Z"), &failure).unwrap();
    assert!(!since.failed);
    assert_eq!(
        since.completed,
        Some("2026-02-03T00:00:00Z".parse().unwrap())
    );
}

#[test]
fn what_was_given_up_on_purpose_or_is_of_another_is_no_failure() {
    let never = database("orders", &json!({"state": "CREATED"}));
    let mut last = backup("last", &failed("2026-02-02T00:00:00Z", "DumpFailed"));
    last.spec.database_ref.namespace = Some("team-a".to_owned());
    for other in [
        backup("cancelled", &failed("2026-02-02T00:00:00Z", "Cancelled")),
        backup(
            "deleted",
            &failed("2026-02-02T00:00:00Z", "DatabaseDeleted"),
        ),
        // Of a former Database of this name.
        backup("old", &failed("2025-12-31T00:00:00Z", "DumpFailed")),
        last,
    ] {
        assert_eq!(last_of(&never, &[other]), None);
    }
}

#[test]
fn a_final_backup_fails_from_its_second_attempt_on() {
    let waiting = |state: &str, attempt: i32, completed: bool| {
        let last = json!({"name": "f", "attempt": attempt, "completed": completed});
        let status = json!({"state": state, "finalBackup": last});
        of(&[database("orders", &status)], &[])
            .final_backups_failing
            .get("main")
            .copied()
    };
    assert_eq!(waiting("BACKUP_BEFORE_DELETE_IN_PROGRESS", 1, false), None);
    assert_eq!(
        waiting("BACKUP_BEFORE_DELETE_IN_PROGRESS", 2, false),
        Some(1)
    );
    assert_eq!(waiting("BACKUP_BEFORE_DELETE_REQUESTED", 2, false), Some(1));
    assert_eq!(waiting("BACKUP_BEFORE_DELETE_COMPLETED", 2, true), None);
    assert_eq!(waiting("DELETION_IN_PROGRESS", 2, true), None);
}
