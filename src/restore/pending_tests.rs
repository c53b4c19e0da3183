//! What a Restore waits for before it begins, and when it gives up instead.

use super::*;
use serde_json::json;

#[test]
fn a_database_is_restored_when_it_can_be_used_and_is_to_stay() {
    let database = |state: &str, suspend: bool| -> Database {
        serde_json::from_value(json!({
            "metadata": {"name": "orders"}, "spec": {"instanceRef": {"name": "i"}, "suspend": suspend},
            "status": {"state": state},
        }))
        .unwrap()
    };
    let restore: Restore = serde_json::from_value(json!({
        "metadata": {"name": "r", "uid": "r"},
        "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
    }))
    .unwrap();
    let why_not = |database: &Database| why_not(database, &restore);
    assert_eq!(why_not(&database("CREATED", false)), None);
    // It waits for its turn then, not for its Database.
    assert_eq!(why_not(&database("BACKUP_IN_PROGRESS", false)), None);
    // The one that it begins with is let in before.
    let mut begins = database("CREATING", false);
    let init = json!({"restore": "r", "restoreUid": "r"});
    begins.status.as_mut().unwrap().init = serde_json::from_value(init).unwrap();
    assert_eq!(why_not(&begins), None);
    begins.spec.suspend = true;
    assert!(why_not(&begins).is_some());
    for (state, suspend) in [
        ("CREATED", true),
        ("CREATING", false),
        ("DELETION_REQUESTED", false),
    ] {
        assert!(why_not(&database(state, suspend)).is_some(), "{state}");
    }
    let mut deleting = database("CREATED", false);
    deleting.metadata.deletion_timestamp = Some(
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
    );
    assert!(why_not(&deleting).is_some());
}

#[test]
fn one_that_has_its_turn_waits_for_no_person() {
    let of = |reason, has_turn| given_up(&Blocked::new(reason, "why"), has_turn);
    for reason in [
        RestoreReason::BackupNotFound,
        RestoreReason::SourceRefused,
        RestoreReason::NoDestination,
        RestoreReason::StoreRefused,
        RestoreReason::TooLarge,
    ] {
        assert_eq!(of(reason, false), None, "{reason:?}");
        assert_eq!(of(reason, true), Some(reason));
    }
    for reason in [
        RestoreReason::WaitingForDatabase,
        RestoreReason::WaitingForTurn,
        RestoreReason::StoreUnreachable,
    ] {
        assert_eq!(of(reason, true), None, "{reason:?}");
    }
    let waits = RestoreReason::WaitingForBackup;
    assert_eq!(of(waits, false), None);
    assert_eq!(of(waits, true), Some(RestoreReason::BackupNotFound));
    let failed = RestoreReason::BackupFailed;
    assert_eq!(of(failed, false), Some(failed));
}

#[test]
fn whoever_is_waited_for_is_named() {
    let first = |status: serde_json::Value| {
        let database: Database = serde_json::from_value(json!({
            "metadata": {"name": "orders"}, "spec": {"instanceRef": {"name": "i"}}, "status": status,
        }))
        .unwrap();
        who_is_first(&database)
    };
    let backup = json!({"name": "nightly", "uid": "b"});
    let restore = |state: &str| json!({"name": "back", "uid": "r", "state": state});
    let waits = first(json!({"state": "BACKUP_REQUESTED", "backup": backup}));
    assert!(
        waits.contains("Backup nightly") && waits.contains("delete it"),
        "{waits}"
    );
    let runs = first(json!({"state": "CREATED", "backup": backup, "restore": restore("LOADING")}));
    assert!(runs.contains("Restore back"), "{runs}");
    let idle = first(json!({"state": "CREATED", "restore": restore("COMPLETED")}));
    assert!(!idle.contains("back "), "{idle}");
}
