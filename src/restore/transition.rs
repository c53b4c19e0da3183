//! What is persisted together with a state, beside the conditions: pure.

use jiff::{SignedDuration, Timestamp};

use super::failure::Failure;
use super::observe::{Before, Found, Switched};
use super::state::Cause;
use crate::agent::protocol::restore::{Level, Loaded};
use crate::api::restore::{
    CheckLevel, FormerDatabase, RestoreJobRef, RestoreProgress, RestoreReport, RestoreTarget,
    RestoredFrom,
};
use crate::api::{Reason, RestoreReason, RestoreState, RestoreStatus};

/// The state that a Restore enters, with what is persisted of it.
#[derive(Debug)]
pub(super) enum Entering {
    /// Its turn has come, and this is what it is about.
    Preparing(Option<Box<Begun>>),
    /// From here on this Job counts: its UID is persisted, and no other one of its name is believed.
    Loading(Option<RestoreJobRef>),
    /// All is loaded.
    Checking,
    /// All is equal, as the Job reports.
    Switching(Option<Box<Loaded>>),
    /// The restored database has the name.
    Completed(Option<Switched>),
    /// All is equal, as the Job reports, and that is all that was asked for.
    Tested(Option<Box<Loaded>>),
    /// It was done before.
    DoneBefore(Option<Box<Before>>),
    /// It cannot be done.
    Failed(Failure),
}

/// What is known of a restore that begins: persisted before anything is made.
#[derive(Debug)]
pub(super) struct Begun {
    /// The backup that was chosen.
    pub source: RestoredFrom,
    /// Where it goes.
    pub target: RestoreTarget,
}

/// The status of a Restore that enters a state, with the same conditions. `keep` is how long a former database is kept,
/// `queries` how many questions were asked; `now` is in whole seconds.
pub(super) fn status(
    mut status: RestoreStatus,
    entering: &Entering,
    keep: SignedDuration,
    queries: usize,
    now: Timestamp,
) -> RestoreStatus {
    match entering {
        Entering::Preparing(begun) => {
            status.state = Some(RestoreState::Preparing);
            status.started_at = Some(now);
            if let Some(begun) = begun {
                status.source = Some(begun.source.clone());
                status.target = Some(begun.target.clone());
            }
        }
        Entering::Loading(job) => {
            status.state = Some(RestoreState::Loading);
            status.job.clone_from(job);
            let report = status.report.get_or_insert_default();
            report.prepare_seconds = Some(seconds(status.started_at, now));
        }
        Entering::Checking => {
            status.state = Some(RestoreState::Checking);
        }
        Entering::Switching(loaded) => {
            status.state = Some(RestoreState::Switching);
            status.switching_since = Some(now);
            note_loaded(&mut status, loaded.as_deref(), queries);
        }
        Entering::Tested(loaded) => {
            status.state = Some(RestoreState::Completed);
            end(&mut status, now);
            note_loaded(&mut status, loaded.as_deref(), queries);
            if let Some(target) = &mut status.target {
                // What is dropped now goes by what the server knows.
                target.scratch = None;
                target.login = None;
                target.owner = None;
            }
        }
        Entering::Completed(switched) => {
            status.state = Some(RestoreState::Completed);
            end(&mut status, now);
            let since = status.switching_since;
            let report = status.report.get_or_insert_default();
            report.switch_seconds = Some(seconds(since, now));
            if let Some(switched) = switched {
                report.downtime_millis = i64::try_from(switched.downtime.as_millis()).ok();
                for warning in &switched.warnings {
                    warn(&mut status, warning);
                }
            }
            if let Some(target) = &mut status.target {
                target.retry_at = None;
                // Nothing of these is left.
                target.scratch = None;
                target.login = None;
                target.attempts = None;
                let former = switched.as_ref().and_then(|it| it.former.as_ref());
                target.former = former.map(|database| FormerDatabase {
                    database: database.clone(),
                    until: now.saturating_add(keep).unwrap_or(now),
                    replaced_at: now,
                });
            }
        }
        Entering::DoneBefore(before) => {
            status.state = Some(RestoreState::Completed);
            status.finished_at = Some(now);
            if let Some(before) = before {
                let mut target = before.target.clone();
                target.former = before.former.as_ref().map(|database| FormerDatabase {
                    database: database.clone(),
                    until: before.at.saturating_add(keep).unwrap_or(now),
                    replaced_at: before.at,
                });
                status.target = Some(target);
            }
        }
        Entering::Failed(failure) => {
            status.state = Some(RestoreState::Failed);
            end(&mut status, now);
            status.failure = Some(failure.shown());
            if let Some(target) = &mut status.target {
                target.retry_at = None;
            }
            if !failure.differences.is_empty() || failure.tool_version.is_some() {
                let report = status.report.get_or_insert_default();
                report.differences.clone_from(&failure.differences);
                if failure.tool_version.is_some() {
                    report.tool_version.clone_from(&failure.tool_version);
                }
            }
        }
    }
    status
}

/// The most warnings that a status keeps, and the most characters of one.
const WARNINGS: usize = 8;
const WARNING_LENGTH: usize = 300;

/// Notes what a person should know, once.
pub(super) fn warn(status: &mut RestoreStatus, warning: &str) {
    let warning: String = warning.chars().take(WARNING_LENGTH).collect();
    if status.warnings.len() < WARNINGS && !status.warnings.contains(&warning) {
        status.warnings.push(warning);
    }
}

/// Notes what the Job reports.
fn note_loaded(status: &mut RestoreStatus, loaded: Option<&Loaded>, queries: usize) {
    let of = status.source.as_ref().map(|source| source.bytes);
    status.progress = Some(finished(status.progress.take(), of));
    if let Some(loaded) = loaded {
        status.left_out.clone_from(&loaded.left_out);
        let report = status.report.take().unwrap_or_default();
        status.report = Some(reported(report, loaded, queries));
    }
}

fn reported(report: RestoreReport, loaded: &Loaded, queries: usize) -> RestoreReport {
    let number = |number: u64| i64::try_from(number).ok();
    RestoreReport {
        tables: number(loaded.tables),
        rows: number(loaded.rows),
        checked: Some(match loaded.checked {
            Level::None => CheckLevel::None,
            Level::Rows => CheckLevel::Rows,
            Level::Digest => CheckLevel::Digest,
        }),
        queries: i32::try_from(queries).ok().filter(|queries| *queries > 0),
        load_seconds: number(loaded.load_seconds),
        index_seconds: number(loaded.index_seconds),
        check_seconds: number(loaded.check_seconds),
        tool_version: Some(loaded.tool_version.clone()),
        ..report
    }
}

/// All of an object `of` so many bytes is read.
fn finished(progress: Option<RestoreProgress>, of: Option<i64>) -> RestoreProgress {
    let progress = progress.unwrap_or_default();
    RestoreProgress {
        percent: Some(100),
        bytes_fetched: of.unwrap_or(progress.bytes_fetched),
        bytes_per_second: 0,
        ..progress
    }
    .for_people()
}

fn seconds(since: Option<Timestamp>, now: Timestamp) -> i64 {
    now.duration_since(since.unwrap_or(now)).as_secs().max(0)
}

/// Notes when it ended, and how long it took.
fn end(status: &mut RestoreStatus, now: Timestamp) {
    status.finished_at = Some(now);
    status.duration_seconds = Some(seconds(status.started_at, now));
}

/// Why a restore fails: what was found, or else what it was cancelled by.
pub(super) fn failure(because: Cause, found: &Found) -> Failure {
    if let Found::Failed(failure) = found {
        return (**failure).clone();
    }
    let reason = match because {
        Cause::DatabaseDeleted => RestoreReason::DatabaseDeleted,
        Cause::InstanceWithdrawn => RestoreReason::InstanceWithdrawn,
        Cause::Turn
        | Cause::JobRuns
        | Cause::Compares
        | Cause::Proven
        | Cause::Tested
        | Cause::Switched
        | Cause::DoneBefore
        | Cause::WorkFailed
        | Cause::Cancelled
        | Cause::ObjectDeleted => RestoreReason::Cancelled,
    };
    Failure::new(reason, reason.meaning())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use serde_json::{Value, json};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn enter(status: RestoreStatus, entering: &Entering, now: i64) -> RestoreStatus {
        super::status(status, entering, SignedDuration::from_hours(72), 2, at(now))
    }

    fn shown(status: &RestoreStatus) -> Value {
        serde_json::to_value(status).unwrap()
    }

    fn target() -> RestoreTarget {
        serde_json::from_value(json!({
            "instance": "i", "database": "orders", "user": "orders", "databaseUid": "d", "serverIdentity": "s",
            "scratch": "orders__r_0", "login": "l", "owner": "orders",
        }))
        .unwrap()
    }

    fn loaded() -> Loaded {
        serde_json::from_value(json!({
            "sha256": "s", "toolVersion": "pg_restore 17", "tables": 3, "rows": 40, "checked": "Rows",
            "leftOut": ["x"], "loadSeconds": 5, "indexSeconds": 2, "checkSeconds": 1,
        }))
        .unwrap()
    }

    /// A life from its beginning to its end.
    #[test]
    fn each_state_adds_what_is_known_by_then() {
        let begun = Begun {
            source: RestoredFrom {
                key: "k".to_owned(),
                ..RestoredFrom::default()
            },
            target: target(),
        };
        let preparing = Entering::Preparing(Some(Box::new(begun)));
        let status = enter(RestoreStatus::default(), &preparing, 1_000);
        assert_eq!(shown(&status)["source"]["key"], "k");
        let job = RestoreJobRef {
            name: "restore-u".to_owned(),
            uid: "j".to_owned(),
        };
        let status = enter(status, &Entering::Loading(Some(job)), 1_010);
        assert_eq!(shown(&status)["job"]["uid"], "j");
        assert_eq!(shown(&status)["report"]["prepareSeconds"], 10);
        let status = enter(status, &Entering::Checking, 1_020);
        let switching = Entering::Switching(Some(Box::new(loaded())));
        let status = enter(status, &switching, 1_030);
        let text = shown(&status);
        assert_eq!(text["report"]["rows"], 40);
        assert_eq!(text["report"]["queries"], 2);
        assert_eq!(text["report"]["prepareSeconds"], 10);
        assert_eq!(text["leftOut"], json!(["x"]));
        assert_eq!(text["progress"]["shown"], "100%");
        let switched = Switched {
            downtime: Duration::from_millis(420),
            former: Some("orders__was_0".to_owned()),
            warnings: vec!["w".to_owned(), "w".to_owned()],
        };
        let status = enter(status, &Entering::Completed(Some(switched)), 1_032);
        let text = shown(&status);
        assert_eq!(text["state"], "COMPLETED");
        assert_eq!(text["durationSeconds"], 32);
        assert_eq!(text["report"]["switchSeconds"], 2);
        assert_eq!(text["report"]["downtimeMillis"], 420);
        assert_eq!(text["warnings"], json!(["w"]));
        let target = &text["target"];
        assert_eq!(target["former"]["database"], "orders__was_0");
        assert_eq!(target["former"]["until"], json!(at(1_032 + 72 * 3_600)));
        assert_eq!(target["former"]["replacedAt"], json!(at(1_032)));
        assert!(target.get("scratch").is_none() && target.get("login").is_none());
    }

    #[test]
    fn a_test_ends_with_its_report_and_names_nothing_that_is_being_dropped() {
        let running = RestoreStatus {
            state: Some(RestoreState::Checking),
            started_at: Some(at(1_000)),
            target: Some(target()),
            ..RestoreStatus::default()
        };
        let tested = Entering::Tested(Some(Box::new(loaded())));
        let text = shown(&enter(running, &tested, 1_030));
        assert_eq!(text["state"], "COMPLETED");
        assert_eq!(text["durationSeconds"], 30);
        assert_eq!(text["report"]["rows"], 40);
        assert_eq!(text["report"]["checked"], "Rows");
        assert_eq!(text["progress"]["shown"], "100%");
        for gone in ["scratch", "login", "owner", "former"] {
            assert_eq!(text["target"].get(gone), None, "{gone}");
        }
        assert_eq!(text["report"].get("switchSeconds"), None);
        assert_eq!(text.get("switchingSince"), None);
    }

    #[test]
    fn a_failed_one_says_why_and_keeps_what_has_to_be_cleaned_up() {
        let running = RestoreStatus {
            state: Some(RestoreState::Checking),
            started_at: Some(at(1_000)),
            target: Some(target()),
            ..RestoreStatus::default()
        };
        let failure = Failure {
            differences: vec!["public.a: 2 rows, and 3 in the backup".to_owned()],
            last_lines: vec!["line".to_owned()],
            ..Failure::new(RestoreReason::CheckFailed, "m")
        };
        // The clock may have been set back.
        let text = shown(&enter(running, &Entering::Failed(failure), 990));
        assert_eq!(text["state"], "FAILED");
        assert_eq!(text["durationSeconds"], 0);
        assert_eq!(text["failure"]["reason"], "CheckFailed");
        assert_eq!(text["failure"]["lastLines"], json!(["line"]));
        assert_eq!(text["report"]["differences"].as_array().unwrap().len(), 1);
        assert_eq!(text["target"]["scratch"], "orders__r_0");
    }

    #[test]
    fn one_that_was_done_before_knows_the_former_database_that_is_still_kept() {
        let before = Before {
            target: target(),
            at: at(500),
            former: Some("orders__was_0".to_owned()),
        };
        let done = Entering::DoneBefore(Some(Box::new(before)));
        let text = shown(&enter(RestoreStatus::default(), &done, 1_000));
        assert_eq!(text["state"], "COMPLETED");
        assert_eq!(text.get("startedAt"), None);
        assert_eq!(
            text["target"]["former"]["until"],
            json!(at(500 + 72 * 3_600))
        );
        assert_eq!(text["target"]["former"]["replacedAt"], json!(at(500)));
    }

    #[test]
    fn what_was_found_says_more_than_why_it_was_ended() {
        let reason = |because, found: &Found| failure(because, found).reason;
        let nothing = Found::NotRunning;
        assert_eq!(reason(Cause::Cancelled, &nothing), RestoreReason::Cancelled);
        let gone = Cause::DatabaseDeleted;
        assert_eq!(reason(gone, &nothing), RestoreReason::DatabaseDeleted);
        let found = Found::Failed(Box::new(Failure::new(RestoreReason::LoadFailed, "m")));
        assert_eq!(reason(Cause::WorkFailed, &found), RestoreReason::LoadFailed);
    }

    #[test]
    fn a_warning_is_said_once_and_there_are_few() {
        let mut status = RestoreStatus::default();
        for n in 0..20 {
            warn(&mut status, &format!("{n}{}", "x".repeat(400)));
            warn(&mut status, &format!("{n}{}", "x".repeat(400)));
        }
        assert_eq!(status.warnings.len(), WARNINGS);
        assert!(status.warnings.iter().all(|w| w.len() <= WARNING_LENGTH));
    }
}
