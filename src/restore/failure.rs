//! Why a restore failed, in the words of its conditions, and the reason for each cause that its Job may have. Pure.

use super::blocked::Blocked;
use crate::agent::protocol::restore::RestoreCause;
use crate::api::restore::RestoreFailure;
use crate::api::{Reason, RestoreReason};
use crate::job::outcome::{self, Cause, RestoreEnd};

/// Why a restore failed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    /// The condition's reason.
    pub reason: RestoreReason,
    /// For a person.
    pub message: String,
    /// What is not as the backup says, a sentence each.
    pub differences: Vec<String>,
    /// The tool's own last lines.
    pub last_lines: Vec<String>,
    /// What the tool says that it is, where that is known.
    pub tool_version: Option<String>,
}

impl Failure {
    /// Without words of the tool.
    pub(super) fn new(reason: RestoreReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            differences: Vec::new(),
            last_lines: Vec::new(),
            tool_version: None,
        }
    }

    /// What only a person can mend ends a restore that has begun and has changed nothing yet. Anything else is tried again.
    pub(super) fn of(blocked: Blocked) -> Result<Self, Blocked> {
        if blocked.is_final() {
            Ok(Self::new(blocked.reason, blocked.message))
        } else {
            Err(blocked)
        }
    }

    /// As the status shows it.
    pub(super) fn shown(&self) -> RestoreFailure {
        RestoreFailure {
            reason: self.reason.as_str().to_owned(),
            message: self.message.clone(),
            last_lines: self.last_lines.clone(),
        }
    }
}

impl From<outcome::Failure<RestoreEnd>> for Failure {
    fn from(failure: outcome::Failure<RestoreEnd>) -> Self {
        Self {
            reason: reason(failure.reason),
            message: failure.message,
            differences: failure.differences,
            last_lines: failure.last_lines,
            tool_version: failure.tool_version,
        }
    }
}

fn reason(end: RestoreEnd) -> RestoreReason {
    match end {
        RestoreEnd::Cluster(cause) => match cause {
            Cause::DeadlineExceeded => RestoreReason::DeadlineExceeded,
            Cause::JobDeleted => RestoreReason::JobDeleted,
            Cause::Killed => RestoreReason::Killed,
            Cause::ImageUnavailable => RestoreReason::ImageUnavailable,
            Cause::JobRefused => RestoreReason::JobRefused,
            Cause::NoProgress => RestoreReason::NoProgress,
            Cause::OutOfMemory => RestoreReason::OutOfMemory,
            Cause::Evicted => RestoreReason::Evicted,
        },
        RestoreEnd::Task(cause) => match cause {
            RestoreCause::ToolMismatch => RestoreReason::ToolMismatch,
            RestoreCause::FetchFailed => RestoreReason::FetchFailed,
            RestoreCause::ObjectMismatch => RestoreReason::ObjectMismatch,
            RestoreCause::NotADump => RestoreReason::NotADump,
            RestoreCause::TooLarge => RestoreReason::TooLarge,
            RestoreCause::ExtensionData => RestoreReason::ExtensionData,
            RestoreCause::OnlyRefused => RestoreReason::OnlyRefused,
            RestoreCause::LoadFailed => RestoreReason::LoadFailed,
            RestoreCause::CheckFailed => RestoreReason::CheckFailed,
            RestoreCause::NoProgress => RestoreReason::NoProgress,
            RestoreCause::Terminated => RestoreReason::Terminated,
            RestoreCause::Misconfigured => RestoreReason::InvalidTemplate,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_person_can_mend_ends_a_restore_and_an_outage_does_not() {
        for reason in [
            RestoreReason::BackupNotFound,
            RestoreReason::NoDestination,
            RestoreReason::SourceRefused,
            RestoreReason::StoreRefused,
            RestoreReason::NamespaceNotAllowed,
        ] {
            let failure = Failure::of(Blocked::new(reason, "why"));
            assert!(
                failure.is_ok_and(|failure| failure.reason == reason),
                "{reason:?}"
            );
        }
        for reason in [
            RestoreReason::StoreUnreachable,
            RestoreReason::WaitingForDatabase,
            RestoreReason::Preparing,
        ] {
            assert!(
                Failure::of(Blocked::new(reason, "why")).is_err(),
                "{reason:?}"
            );
        }
    }
}
