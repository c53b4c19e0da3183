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
#[path = "transition_tests.rs"]
mod tests;
