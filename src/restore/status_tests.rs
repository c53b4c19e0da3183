use super::*;
use crate::api::UNDO_REQUESTED_AT;

#[test]
fn an_end_says_what_was_restored_and_what_is_kept() {
    let status: RestoreStatus = serde_json::from_value(serde_json::json!({
        "state": "COMPLETED",
        "source": {"instance": "i", "bucket": "b", "key": "k", "manifestSha256": "s", "backup": "nightly",
                   "database": "orders", "startedAt": "2026-11-24T02:00:00Z", "serverVersion": "PostgreSQL 17.6",
                   "bytes": 5},
        "target": {"instance": "i", "database": "orders", "user": "orders", "databaseUid": "d",
                   "serverIdentity": "s",
                   "former": {"database": "orders__was_0", "until": "2026-11-27T02:00:00Z",
                              "replacedAt": "2026-11-24T02:00:00Z"}},
        "report": {"rows": 40, "tables": 3, "checked": "Rows", "downtimeMillis": 420},
        "leftOut": ["x"],
    }))
    .unwrap();
    let message = completed(&status);
    for part in [
        "40 rows in 3 tables of backup nightly (from 2026-11-24T02:00:00Z)",
        "as many rows as in the backup",
        "420 ms",
        "kept as orders__was_0 until 2026-11-27T02:00:00Z",
        "status.leftOut",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("warnings"));
    assert!(completed(&RestoreStatus::default()).contains("not compared"));
}

#[test]
fn whoever_waits_after_the_end_hears_why() {
    let of = |state: &str, finalizer: bool, deleting: bool, undo: bool| {
        let restore: Restore = serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "r", "finalizers": finalizer.then_some([FINALIZER]),
                "deletionTimestamp": deleting.then_some("2026-11-24T02:00:00Z"),
                "annotations": undo.then(|| serde_json::json!({UNDO_REQUESTED_AT: "1"})),
            },
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "d"}},
            "status": {"state": state},
        }))
        .unwrap();
        awaited(&restore).map(|(reason, about, _)| (reason, about.to_owned()))
    };
    let clean_up = Some(("CleanUpBlocked", String::new()));
    assert_eq!(of("COMPLETED", true, false, false), None);
    assert_eq!(of("COMPLETED", true, true, false), clean_up);
    assert_eq!(of("COMPLETED", true, false, true), clean_up);
    assert_eq!(of("FAILED", true, false, false), clean_up);
    assert_eq!(of("FAILED", false, false, false), None);
    let undo = Some(("UndoBlocked", "1".to_owned()));
    assert_eq!(of("COMPLETED", false, false, true), undo);
    let test: Restore = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "r", "finalizers": [FINALIZER]},
        "spec": {"source": {"backupRef": {"name": "b"}}, "mode": "Test", "instanceRef": {"name": "i"}},
        "status": {"state": "COMPLETED"},
    }))
    .unwrap();
    let told = awaited(&test).map(|(reason, about, _)| (reason, about.to_owned()));
    assert_eq!(told, clean_up);
}

#[test]
fn an_api_server_that_fails_does_not_send_a_restore_back_to_its_beginning() {
    let own = RestoreReason::Preparing;
    for (state, expected) in [
        (RestoreState::Preparing, RestoreReason::Preparing),
        (RestoreState::Loading, RestoreReason::Loading),
        (RestoreState::Checking, RestoreReason::Checking),
        (RestoreState::Switching, RestoreReason::Switching),
    ] {
        assert_eq!(shown(Some(state), own), expected);
        let store = RestoreReason::StoreUnreachable;
        assert_eq!(shown(Some(state), store), store);
    }
}
