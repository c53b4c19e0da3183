//! What is persisted together with a state, beside the conditions: pure.

use jiff::Timestamp;

use super::observe::Found;
use super::state::Cause;
use crate::api::backup::{Progress, Source, Upload, size};
use crate::api::{BackupReason, BackupState, BackupStatus, Reason};
use crate::job::outcome::Failure;
use crate::store::Committed;

/// The state that a Backup enters, with what is persisted of it.
#[derive(Debug)]
pub(super) enum Entering {
    /// Its turn has come, and this is what it needs.
    Starting(Option<Box<Begun>>),
    /// The Job failed with this transient error: another one begins anew.
    StartingAgain(Failure),
    /// From here on this Job counts: its UID is persisted, and no other one of its name is believed.
    BackingUp {
        /// The Job's name.
        job_name: String,
        /// The Job's UID.
        job_uid: Option<String>,
    },
    /// This is in the store.
    Completed(Option<Committed>),
    /// It cannot become a backup any more.
    Failed(Failure),
}

/// All that a start needs, persisted before anything is begun: the key above all.
#[derive(Debug)]
pub(super) struct Begun {
    /// Where the backup goes, for people.
    pub destination: String,
    /// The upload, which is not begun yet.
    pub upload: Upload,
    /// What is backed up.
    pub source: Source,
    /// What the backup will not contain.
    pub warnings: Vec<String>,
}

/// The status of a Backup that enters a state, with the same conditions. `now` is in whole seconds.
pub(super) fn status(
    mut status: BackupStatus,
    entering: &Entering,
    now: Timestamp,
) -> BackupStatus {
    match entering {
        Entering::Starting(begun) => {
            status.state = Some(BackupState::Starting);
            status.started_at = Some(now);
            if let Some(begun) = begun {
                status.destination = Some(begun.destination.clone());
                status.upload = Some(begun.upload.clone());
                status.source = Some(begun.source.clone());
                status.warnings.clone_from(&begun.warnings);
            }
        }
        Entering::StartingAgain(_) => {
            status.state = Some(BackupState::Starting);
            status.attempts = Some(status.attempts.unwrap_or(1).saturating_add(1));
            status.progress = None;
            // Neither that Job nor what it uploaded counts.
            if let Some(upload) = &mut status.upload {
                upload.upload_id = None;
                upload.job_name = None;
                upload.job_uid = None;
            }
        }
        Entering::BackingUp { job_name, job_uid } => {
            status.state = Some(BackupState::BackingUp);
            if let Some(upload) = &mut status.upload {
                upload.job_name = Some(job_name.clone());
                upload.job_uid.clone_from(job_uid);
            }
        }
        Entering::Completed(committed) => {
            status.state = Some(BackupState::Completed);
            end(&mut status, now);
            let progress = status.progress.take().unwrap_or_default();
            status.progress = Some(
                Progress {
                    percent: Some(100),
                    ..progress
                }
                .for_people(),
            );
            if let Some(committed) = committed {
                status.stored_bytes = i64::try_from(committed.bytes).ok();
                status.size = status.stored_bytes.map(size);
                if let Some(upload) = &mut status.upload {
                    upload.parts = i32::try_from(committed.parts).ok();
                    upload.parts_digest = None;
                    // The manifest has it.
                    upload.inventory = None;
                }
            }
        }
        Entering::Failed(failure) => {
            status.state = Some(BackupState::Failed);
            end(&mut status, now);
            status.failure = Some(failure.failure());
            // What was noted for a commit that did not come about is not true of anything.
            status.stored_bytes = None;
            status.sha256 = None;
            status.totals = None;
            if let Some(upload) = &mut status.upload {
                upload.parts = None;
                upload.parts_digest = None;
                upload.inventory = None;
            }
            if failure.tool_version.is_some() {
                status.tool_version.clone_from(&failure.tool_version);
            }
        }
    }
    status
}

/// Notes when it ended, and how long it took.
fn end(status: &mut BackupStatus, now: Timestamp) {
    let started = status.started_at.unwrap_or(now);
    status.finished_at = Some(now);
    status.duration_seconds = Some(now.duration_since(started).as_secs().max(0));
}

/// Why a backup fails: what was found, or else what it was cancelled by.
pub(super) fn failure(because: Cause, found: &Found) -> Failure {
    if let Found::Failed(failure) = found {
        return failure.clone();
    }
    let reason = match because {
        Cause::DatabaseDeleted => BackupReason::DatabaseDeleted,
        Cause::Turn
        | Cause::JobRuns
        | Cause::Committed
        | Cause::TriedAgain
        | Cause::WorkFailed
        | Cause::Cancelled
        | Cause::ObjectDeleted => BackupReason::Cancelled,
    };
    Failure::new(reason, reason.meaning())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A Backup whose Job has reported.
    fn reported() -> BackupStatus {
        serde_json::from_value(json!({
            "state": "BACKING_UP", "startedAt": at(1_000), "storedBytes": 7, "dumpedBytes": 9, "sha256": "s",
            "totals": {"tables": 2, "rows": 5, "digest": "d", "hasTables": true},
            "toolVersion": "pg_dump 17",
            "upload": {"bucket": "b", "key": "k", "uploadId": "u", "parts": 1, "partsDigest": "d", "inventory": "{}"},
            "warnings": ["w"],
        }))
        .unwrap()
    }

    fn shown(status: &BackupStatus) -> Value {
        serde_json::to_value(status).unwrap()
    }

    #[test]
    fn a_start_persists_the_key_and_a_run_the_job() {
        let begun = Begun {
            destination: "s3://b/k".to_owned(),
            upload: serde_json::from_value(json!({"bucket": "b", "key": "k"})).unwrap(),
            source: serde_json::from_value(json!({
                "instance": "i", "database": "d", "serverVersion": "MySQL 9.7", "databaseUid": "u",
            }))
            .unwrap(),
            warnings: vec!["w".to_owned()],
        };
        let starting = Entering::Starting(Some(Box::new(begun)));
        let started = status(BackupStatus::default(), &starting, at(1_000));
        let text = shown(&started);
        assert_eq!(text["state"], "STARTING");
        assert_eq!(text["startedAt"], json!(at(1_000)));
        assert_eq!(text["upload"], json!({"bucket": "b", "key": "k"}));
        assert_eq!(text["warnings"], json!(["w"]));
        let running = Entering::BackingUp {
            job_name: "backup-u".to_owned(),
            job_uid: Some("j".to_owned()),
        };
        let text = shown(&status(started, &running, at(1_001)));
        assert_eq!(text["state"], "BACKING_UP");
        assert_eq!(text["upload"]["jobUid"], "j");
        assert_eq!(text["startedAt"], json!(at(1_000)));
    }

    #[test]
    fn another_attempt_begins_anew_within_the_same_time() {
        let mut running = reported();
        let upload = running.upload.as_mut().unwrap();
        upload.job_uid = Some("j".to_owned());
        upload.parts = None;
        running.progress = Some(Progress::default());
        let failure = Failure::new(BackupReason::DumpFailed, "m");
        for (now, attempts) in [(1_060, 2), (1_070, 3)] {
            running = status(running, &Entering::StartingAgain(failure.clone()), at(now));
            let text = shown(&running);
            assert_eq!(text["state"], "STARTING");
            assert_eq!(text["attempts"], attempts);
            assert_eq!(text["startedAt"], json!(at(1_000)));
            assert_eq!(text["upload"]["key"], "k");
            for gone in ["uploadId", "jobUid", "jobName"] {
                assert_eq!(text["upload"].get(gone), None, "{gone}");
            }
            assert_eq!(text.get("progress"), None);
        }
    }

    #[test]
    fn a_complete_one_says_what_the_store_has() {
        let committed = Committed { parts: 2, bytes: 8 };
        let next = status(reported(), &Entering::Completed(Some(committed)), at(1_060));
        let text = shown(&next);
        assert_eq!(text["state"], "COMPLETED");
        assert_eq!(text["durationSeconds"], 60);
        assert_eq!(text["storedBytes"], 8);
        assert_eq!(text["progress"]["percent"], 100);
        assert_eq!(text["upload"]["parts"], 2);
        assert_eq!(text["upload"].get("partsDigest"), None);
        assert_eq!(text["upload"].get("inventory"), None);
        assert_eq!(text["warnings"], json!(["w"]));
        assert_eq!(text["sha256"], "s");
        assert_eq!(text["totals"]["rows"], 5);
    }

    #[test]
    fn a_failed_one_says_nothing_of_an_object() {
        let failure = Failure::new(BackupReason::UploadMismatch, "m");
        // The clock may have been set back.
        let next = status(reported(), &Entering::Failed(failure), at(990));
        let text = shown(&next);
        assert_eq!(text["state"], "FAILED");
        assert_eq!(text["durationSeconds"], 0);
        assert_eq!(text["failure"]["reason"], "UploadMismatch");
        assert_eq!(text["toolVersion"], "pg_dump 17");
        for field in ["storedBytes", "sha256", "totals"] {
            assert_eq!(text.get(field), None, "{field}");
        }
        assert_eq!(text["upload"].get("parts"), None);
    }

    #[test]
    fn what_was_found_says_more_than_why_it_was_ended() {
        let reason = |because, found: &Found| failure(because, found).reason;
        let nothing = Found::NotRunning;
        assert_eq!(reason(Cause::Cancelled, &nothing), BackupReason::Cancelled);
        let gone = Cause::DatabaseDeleted;
        assert_eq!(reason(gone, &nothing), BackupReason::DatabaseDeleted);
        let found = Found::Failed(Failure::new(BackupReason::DumpFailed, "m"));
        assert_eq!(reason(Cause::WorkFailed, &found), BackupReason::DumpFailed);
    }
}
