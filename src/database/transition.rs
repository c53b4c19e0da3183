//! The status that is persisted with a step, except the conditions: pure. The caller brings the time.

use jiff::Timestamp;
use kube::ResourceExt;

use super::final_backup;
use super::state::{self, Cause, Step};
use crate::api::database::{ActiveBackup, DatabaseStatus, LastBackup};
use crate::api::{Backup, Database, DatabaseState, DeletionPolicy};

/// What the status depends on beside the step.
pub(super) struct Known<'a> {
    /// The object.
    pub database: &'a Database,
    /// What a deletion does: see [`state::effective_policy`].
    pub policy: DeletionPolicy,
    /// The Backup that the status names, or else the first in line.
    pub backup: Option<&'a Backup>,
    /// The time.
    pub now: Timestamp,
    /// From 0 to 1: so that what failed together is not tried again together.
    pub spread: f64,
}

/// The status that follows from a step to `to`, with the same conditions.
pub(super) fn status(
    mut status: DatabaseStatus,
    to: DatabaseState,
    step: Step,
    known: &Known<'_>,
) -> DatabaseStatus {
    status.state = Some(to);
    match to {
        DatabaseState::BackupRequested => {
            status.backup = known.backup.map(|backup| ActiveBackup {
                name: backup.name_any(),
                uid: backup.uid().unwrap_or_default(),
            });
        }
        DatabaseState::BackupCompleted => {
            let completed = known.backup.map(|backup| last_backup(backup, known.now));
            status.last_backup = completed.or(status.last_backup);
        }
        DatabaseState::BackupBeforeDeleteRequested => {
            status.backup = None;
            status.final_backup = Some(match status.final_backup {
                Some(failed) if step.because == Cause::BackupFailed => {
                    final_backup::after(&failed, known.database, known.now, known.spread)
                }
                Some(asked_for) => asked_for,
                None => final_backup::first(known.database),
            });
        }
        DatabaseState::BackupBeforeDeleteCompleted => {
            if let Some(last) = &mut status.final_backup {
                last.completed = true;
            }
        }
        DatabaseState::Created | DatabaseState::DeletionRequested => status.backup = None,
        DatabaseState::DeletionInProgress => {
            status.deletion = Some(state::deletion_effect(known.policy));
        }
        DatabaseState::BackupBeforeDeleteInProgress => {
            if let Some(last) = &mut status.final_backup {
                last.retry_at = None;
            }
        }
        // What it began with before is gone.
        DatabaseState::Creating => status.init = None,
        DatabaseState::BackupInProgress | DatabaseState::Deleted => {}
    }
    status
}

fn last_backup(backup: &Backup, now: Timestamp) -> LastBackup {
    let status = backup.status.clone().unwrap_or_default();
    LastBackup {
        name: backup.name_any(),
        finished_at: status.finished_at.unwrap_or(now),
        destination: status.destination.unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;
