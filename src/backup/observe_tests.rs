//! Observing changes nothing, neither in Kubernetes nor in the store, and takes no slot.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fakes::{Bucket, KEY, LIMITS, UID, context, database, serve};
use super::*;
use crate::agent::protocol::task::Flavour;
use crate::api::Backup;
use crate::controller::fakes::Asked;
use crate::queue::slot_order::Neighbours;
use crate::queue::slots::{Candidate, Slots};
use crate::store::{BackupId, Manifest, Restore, SourceServer};

/// A Backup in this state, whose Job has reported.
fn backup(state: &Value, deleting: bool) -> Value {
    let mut backup = json!({
        "metadata": {
            "name": "one", "namespace": "team", "uid": UID, "finalizers": [FINALIZER],
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"databaseRef": {"name": "orders"}},
        "status": {
            "state": state, "startedAt": Timestamp::now(), "storedBytes": 5, "dumpedBytes": 9, "sha256": "00",
            "toolVersion": "pg_dump 17", "destination": "s3://backups/k",
            "source": {"instance": "main", "database": "orders", "serverVersion": "PostgreSQL 17.6", "databaseUid": "d"},
            "upload": {"bucket": "backups", "key": KEY, "uploadId": "u", "jobUid": "j", "parts": 1, "partsDigest": "p"},
        },
    });
    if deleting {
        backup["metadata"]["deletionTimestamp"] = json!(Timestamp::now());
    }
    if state.is_null() {
        backup["status"] = Value::Null;
    }
    backup
}

fn manifest() -> Vec<u8> {
    let manifest = Manifest {
        version: Manifest::VERSION,
        restore: Restore::new(Flavour::Postgresql, "s3://backups/k", None, "orders", None),
        object: "s3://backups/k".to_owned(),
        bytes: 5,
        sha256: "00".to_owned(),
        parts: 1,
        dumped_bytes: 9,
        source: SourceServer {
            instance: "main".to_owned(),
            database: "orders".to_owned(),
            server_version: "17.6".to_owned(),
            flavour: Flavour::Postgresql,
            series: None,
            user: None,
        },
        contents: None,
        totals: None,
        warnings: Vec::new(),
        tool_version: "pg_dump 17".to_owned(),
        backup: BackupId {
            namespace: "team".to_owned(),
            name: "one".to_owned(),
            uid: UID.to_owned(),
        },
        database_object: "orders".to_owned(),
        cluster_id: "c".to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
    };
    manifest.to_json().unwrap()
}

/// Observes this Backup of this Database, and checks that nothing was changed meanwhile. `bucket` is what its store has.
async fn observed(
    database: Value,
    backup: Value,
    bucket: (Option<u64>, Option<Vec<u8>>, bool),
) -> Observation {
    let asked = Asked::default();
    let (object, manifest, works) = bucket;
    let state = Bucket {
        object,
        manifest,
        works,
        asked: asked.clone(),
    };
    let context = context(database, &backup, &serve(state).await, &asked);
    let backup: Backup = serde_json::from_value(backup).unwrap();
    let pass = Pass::begin(&context, &backup, ());
    let seen = observe(&pass).await.unwrap();

    asked.only_read();
    // The only slot is free for any other one.
    let other = Candidate {
        uid: "other".to_owned(),
        namespace: "other".to_owned(),
        instance: "main".to_owned(),
        created: None,
        name: "other".to_owned(),
        active: false,
    };
    let (slots, nobody) = (&context.slots, Neighbours::default());
    assert!(Slots::is_free(slots, &other, Vec::new(), LIMITS, &nobody));
    seen
}

const NOTHING: (Option<u64>, Option<Vec<u8>>, bool) = (None, None, true);

#[tokio::test]
async fn observing_changes_nothing_in_any_state() {
    let states = BackupState::ALL.map(|state| json!(state.as_str()));
    for state in [Value::Null].iter().chain(&states) {
        for deleting in [false, true] {
            for database_deleting in [false, true] {
                let seen = observed(
                    database(database_deleting),
                    backup(state, deleting),
                    NOTHING,
                )
                .await;
                assert!(matches!(seen.found, Found::NotRunning), "{:?}", seen.found);
                assert!(seen.unknown.is_none(), "{:?}", seen.unknown);
            }
        }
    }
}

#[tokio::test]
async fn one_that_waits_says_for_what() {
    let seen = observed(database(false), backup(&Value::Null, false), NOTHING).await;
    let waits = seen.waits.unwrap().blocked;
    assert!(waits.message.contains("it does not answer"), "{waits:?}");
    assert!(seen.ready.is_none());
}

#[tokio::test]
async fn what_an_interrupted_commit_has_left_is_found_and_not_finished() {
    let running = || backup(&json!("BACKING_UP"), true);
    let find = async |bucket| observed(database(false), running(), bucket).await;

    let seen = find((Some(5), Some(manifest()), true)).await;
    assert_eq!(seen.facts().work, Work::Committed);
    let Found::Committed(committed) = seen.found else {
        panic!("{:?}", seen.found);
    };
    assert_eq!((committed.bytes, committed.parts), (5, 1));

    // The act `Commit` writes the manifest.
    let seen = find((Some(5), None, true)).await;
    assert_eq!(seen.facts().work, Work::Reported);

    // An object of another size is not this backup's.
    let seen = find((Some(6), None, true)).await;
    assert_eq!(seen.facts().work, Work::NotRunning);

    let seen = find((None, None, false)).await;
    assert!(
        seen.unknown.is_some(),
        "a store that refuses has not said that there is nothing"
    );
}

#[tokio::test]
async fn a_backup_whose_database_goes_looks_into_the_store_too() {
    let bucket = (Some(5), Some(manifest()), true);
    let seen = observed(database(true), backup(&json!("BACKING_UP"), false), bucket).await;
    assert!(seen.cancelled && !seen.deleting);
    assert_eq!(seen.facts().work, Work::Committed);
}
