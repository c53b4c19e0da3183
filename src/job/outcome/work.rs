//! What the two kinds of Jobs report, and the words for them.

use serde::de::DeserializeOwned;

use super::Cause;
use crate::agent::protocol::restore::{Loaded, NotLoaded, RestoreCause, RestoreResult};
use crate::agent::protocol::result::{self, Done, Failed, TaskResult};
use crate::api::BackupReason;
use crate::job::Kind;

/// A kind of work that a Job does.
pub trait Work {
    /// Whose Job it is.
    const KIND: Kind;
    /// What the pod writes at its end.
    type Report: DeserializeOwned;
    /// What it says when all went well.
    type Done: Clone + std::fmt::Debug + PartialEq;
    /// Why it failed.
    type Reason: Copy + std::fmt::Debug + PartialEq + From<Cause>;

    /// What a report says.
    fn told(report: Self::Report) -> Result<Self::Done, Told<Self::Reason>>;
}

/// A failure, as the pod reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told<R> {
    /// The kind of failure.
    pub(super) reason: R,
    /// For people.
    pub(super) message: String,
    /// What differs.
    pub(super) differences: Vec<String>,
    /// The tool's own last lines.
    pub(super) last_lines: Vec<String>,
    /// What the tool says that it is.
    pub(super) tool_version: Option<String>,
    /// It is transient.
    pub(super) passing: bool,
    /// Why the pod ended, as far as others know better.
    pub(super) end: End,
}

/// What of a failure others know better than the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was asked to end: by whom?
    Terminated,
    /// Nothing moved for too long: whose limit is it?
    Stalled,
    /// Nothing.
    Own,
}

/// A backup's Job dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dumping {}

impl Work for Dumping {
    const KIND: Kind = Kind::Backup;
    type Report = TaskResult;
    type Done = Done;
    type Reason = BackupReason;

    fn told(report: TaskResult) -> Result<Done, Told<BackupReason>> {
        match report {
            TaskResult::Done(done) => Ok(done),
            TaskResult::Failed(failed) => Err(of_dump(failed)),
        }
    }
}

fn of_dump(failed: Failed) -> Told<BackupReason> {
    Told {
        reason: reason(failed.cause),
        message: failed.message,
        differences: Vec::new(),
        last_lines: failed.last_lines,
        tool_version: failed.tool_version,
        passing: failed.passing,
        end: match failed.cause {
            result::Cause::Terminated => End::Terminated,
            result::Cause::NoProgress => End::Stalled,
            result::Cause::ToolMismatch
            | result::Cause::DumpFailed
            | result::Cause::DumpIncomplete
            | result::Cause::TooLarge
            | result::Cause::UploadFailed
            | result::Cause::Misconfigured => End::Own,
        },
    }
}

const fn reason(cause: result::Cause) -> BackupReason {
    match cause {
        result::Cause::ToolMismatch => BackupReason::ToolMismatch,
        result::Cause::DumpFailed => BackupReason::DumpFailed,
        result::Cause::DumpIncomplete => BackupReason::DumpIncomplete,
        result::Cause::TooLarge => BackupReason::TooLarge,
        result::Cause::NoProgress => BackupReason::NoProgress,
        result::Cause::UploadFailed => BackupReason::UploadFailed,
        result::Cause::Terminated => BackupReason::Terminated,
        result::Cause::Misconfigured => BackupReason::InvalidTemplate,
    }
}

impl From<Cause> for BackupReason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::DeadlineExceeded => Self::DeadlineExceeded,
            Cause::JobDeleted => Self::JobDeleted,
            Cause::Killed => Self::Killed,
            Cause::ImageUnavailable => Self::ImageUnavailable,
            Cause::JobRefused => Self::JobRefused,
            Cause::NoProgress => Self::NoProgress,
            Cause::OutOfMemory => Self::OutOfMemory,
            Cause::Evicted => Self::Evicted,
        }
    }
}

/// A restore's Job loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {}

/// Why a restore's Job failed: its kind has a reason for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreEnd {
    /// As Kubernetes and the clock tell it.
    Cluster(Cause),
    /// As the pod tells it.
    Task(RestoreCause),
}

impl From<Cause> for RestoreEnd {
    fn from(cause: Cause) -> Self {
        Self::Cluster(cause)
    }
}

impl Work for Loading {
    const KIND: Kind = Kind::Restore;
    type Report = RestoreResult;
    type Done = Loaded;
    type Reason = RestoreEnd;

    fn told(report: RestoreResult) -> Result<Loaded, Told<RestoreEnd>> {
        match report {
            RestoreResult::Done(loaded) => Ok(loaded),
            RestoreResult::Failed(failed) => Err(of_load(failed)),
        }
    }
}

fn of_load(failed: NotLoaded) -> Told<RestoreEnd> {
    Told {
        reason: RestoreEnd::Task(failed.cause),
        message: failed.message,
        differences: failed.differences,
        last_lines: failed.last_lines,
        tool_version: failed.tool_version,
        passing: false,
        end: match failed.cause {
            RestoreCause::Terminated => End::Terminated,
            RestoreCause::NoProgress => End::Stalled,
            RestoreCause::ToolMismatch
            | RestoreCause::FetchFailed
            | RestoreCause::ObjectMismatch
            | RestoreCause::NotADump
            | RestoreCause::TooLarge
            | RestoreCause::ExtensionData
            | RestoreCause::OnlyRefused
            | RestoreCause::LoadFailed
            | RestoreCause::CheckFailed
            | RestoreCause::Misconfigured => End::Own,
        },
    }
}
