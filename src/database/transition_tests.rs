//! What each step leaves in the status.

use serde_json::json;

use super::*;
use crate::api::database::DeletionEffect;

fn database() -> Database {
    serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": "orders", "namespace": "team-a", "uid": "0f1e2d3c-aaaa"},
        "spec": {"instanceRef": {"name": "postgres"}}
    }))
    .unwrap()
}

fn backup() -> Backup {
    serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
        "metadata": {"name": "nightly", "namespace": "team-a", "uid": "b1"},
        "spec": {"databaseRef": {"name": "orders"}},
        "status": {"state": "COMPLETED", "finishedAt": "2026-01-02T03:04:05Z", "destination": "s3://bucket/key"}
    }))
    .unwrap()
}

/// The status after a step to `to`.
fn after(status: DatabaseStatus, to: DatabaseState, because: Cause) -> DatabaseStatus {
    let (database, backup) = (database(), backup());
    let known = Known {
        database: &database,
        policy: DeletionPolicy::BackupBeforeDelete,
        backup: Some(&backup),
        now: Timestamp::UNIX_EPOCH,
        spread: 1.0,
    };
    let step = Step {
        to: Some(to),
        because,
    };
    let next = super::status(status, to, step, &known);
    assert_eq!(next.state, Some(to));
    next
}

#[test]
fn a_turn_names_its_backup_until_it_ends() {
    let requested = after(
        DatabaseStatus::default(),
        DatabaseState::BackupRequested,
        Cause::BackupWaiting,
    );
    let named = requested.backup.clone().unwrap();
    assert_eq!((named.name.as_str(), named.uid.as_str()), ("nightly", "b1"));
    let running = after(
        requested,
        DatabaseState::BackupInProgress,
        Cause::BackupBegun,
    );
    assert_eq!(running.backup, Some(named));
    assert_eq!(running.last_backup, None);

    let failed = after(running.clone(), DatabaseState::Created, Cause::BackupFailed);
    assert_eq!((failed.backup, failed.last_backup), (None, None));

    let completed = after(
        running,
        DatabaseState::BackupCompleted,
        Cause::BackupCompleted,
    );
    let last = completed.last_backup.clone().unwrap();
    assert_eq!(last.name, "nightly");
    assert_eq!(last.finished_at.to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(last.destination, "s3://bucket/key");
    let created = after(completed, DatabaseState::Created, Cause::BackupNoted);
    assert_eq!((created.backup, created.last_backup), (None, Some(last)));
}

#[test]
fn a_deletion_ends_a_turn() {
    let requested = || {
        after(
            DatabaseStatus::default(),
            DatabaseState::BackupRequested,
            Cause::BackupWaiting,
        )
    };
    for to in [
        DatabaseState::DeletionRequested,
        DatabaseState::BackupBeforeDeleteRequested,
    ] {
        assert_eq!(after(requested(), to, Cause::ObjectDeleted).backup, None);
    }
}

#[test]
fn each_failed_attempt_is_followed_by_another_name() {
    let asked = after(
        DatabaseStatus::default(),
        DatabaseState::BackupBeforeDeleteRequested,
        Cause::FinalBackupWanted,
    );
    let first = asked.final_backup.clone().unwrap();
    assert_eq!((first.attempt, first.retry_at), (1, None));

    // Asked for again, it is the same one.
    let again = after(
        asked,
        DatabaseState::BackupBeforeDeleteRequested,
        Cause::FinalBackupMissing,
    );
    assert_eq!(again.final_backup.as_ref(), Some(&first));

    let failed = after(
        again,
        DatabaseState::BackupBeforeDeleteRequested,
        Cause::BackupFailed,
    );
    let second = failed.final_backup.clone().unwrap();
    assert_eq!(second.attempt, 2);
    assert_ne!(second.name, first.name);
    assert_eq!(second.retry_at, Timestamp::from_second(10).ok());
    assert!(!second.completed);

    let running = after(
        failed,
        DatabaseState::BackupBeforeDeleteInProgress,
        Cause::BackupBegun,
    );
    assert_eq!(running.final_backup.as_ref().unwrap().retry_at, None);
    let completed = after(
        running,
        DatabaseState::BackupBeforeDeleteCompleted,
        Cause::BackupCompleted,
    );
    let last = completed.final_backup.unwrap();
    assert!(last.completed);
    assert_eq!(last.name, second.name);
}

#[test]
fn what_a_deletion_does_is_persisted_as_it_begins() {
    let begun = after(
        DatabaseStatus::default(),
        DatabaseState::DeletionInProgress,
        Cause::PolicyRead,
    );
    assert_eq!(begun.deletion, Some(DeletionEffect::Drop));
}
