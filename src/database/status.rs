//! What the conditions and Events of a Database say, and how a pass ends that was stopped.

use kube::runtime::events::EventType;

use super::backups::cached;
use super::blocked::Blocked;
use super::final_backup::{self, Requested};
use super::observe::Observation;
use super::pass::Pass;
use super::reconcile::Outcome;
use super::state::{Cause, Step};
use crate::api::conditions::{READY, STALLED};
use crate::api::database::DatabaseStatus;
use crate::api::{Condition, DatabaseReason, DatabaseState, DeletionPolicy, Reason, Report};
use crate::controller::Error;

/// What the conditions say when a state is entered with this status; the act of that state may say more. `None` if they
/// stay as they are: a backup changes nothing about a Database.
pub fn entering(pass: &Pass<'_>, next: &DatabaseStatus, seen: &Observation) -> Option<Report> {
    let reason = match next.state? {
        DatabaseState::Creating => DatabaseReason::Creating,
        DatabaseState::Created if pass.state() == Some(DatabaseState::Creating) => {
            return Some(usable(pass));
        }
        DatabaseState::Created
        | DatabaseState::BackupRequested
        | DatabaseState::BackupInProgress
        | DatabaseState::BackupCompleted => return None,
        DatabaseState::BackupBeforeDeleteRequested
        | DatabaseState::BackupBeforeDeleteInProgress
        | DatabaseState::BackupBeforeDeleteCompleted => {
            let asked_for = next.final_backup.as_ref()?;
            let home = &pass.context.namespace;
            let failed = seen.final_backup.as_ref();
            return Some(final_backup::report(
                &pass.database,
                asked_for,
                home,
                failed,
            ));
        }
        DatabaseState::DeletionRequested
        | DatabaseState::DeletionInProgress
        | DatabaseState::Deleted => DatabaseReason::Deleting,
    };
    Some(Report::new(reason, reason.meaning()))
}

/// Events of steps that a person would look for.
pub async fn record_step(pass: &Pass<'_>, step: Step) {
    let name = pass.database.sql_name();
    match (step.to, step.because) {
        (Some(DatabaseState::DeletionRequested), Cause::NothingToBackUp) => {
            let note =
                format!("this object has no database {name} to back up: the deletion continues");
            pass.record_event(EventType::Normal, "NothingToBackUp", note)
                .await;
        }
        (Some(DatabaseState::BackupBeforeDeleteRequested), Cause::BackupFailed) => {
            if let Some(message) = message_of_ready(pass) {
                pass.record_event(EventType::Warning, "FinalBackupFailed", message)
                    .await;
            }
        }
        (Some(DatabaseState::BackupBeforeDeleteCompleted), _) => {
            let last = pass
                .status()
                .and_then(|status| status.final_backup.as_ref());
            let name = last.map(|last| last.name.clone()).unwrap_or_default();
            let note = format!(
                "the final backup {name} in namespace {} is complete",
                pass.context.namespace
            );
            pass.record_event(EventType::Normal, "FinalBackupCompleted", note)
                .await;
        }
        (_, _) => {}
    }
}

fn message_of_ready(pass: &Pass<'_>) -> Option<String> {
    let conditions = &pass.status()?.conditions;
    let ready = conditions.iter().find(|c| c.type_ == READY)?;
    Some(ready.message.clone())
}

/// Says what the final backup waits for.
pub async fn final_backup(pass: &mut Pass<'_>, requested: &Requested) -> Result<(), Error> {
    let next = pass.status().cloned().unwrap_or_default();
    let Some(mut asked_for) = next.final_backup.clone() else {
        return Ok(());
    };
    let home = pass.context.namespace.clone();
    let former = pass.database.final_backup_name(asked_for.attempt - 1);
    let failed = cached(&pass.context.cache, &home, &former);
    match requested {
        // Why the previous one failed was said when it was noted, and can no longer be read.
        Requested::Later(_) if failed.is_none() => return Ok(()),
        Requested::Later(_) => {}
        Requested::Waits => asked_for.retry_at = None,
    }
    let report = final_backup::report(&pass.database, &asked_for, &home, failed.as_ref());
    pass.conclude(next, &report).await
}

/// What a pass says of a state that asks for nothing.
pub async fn rest(pass: &mut Pass<'_>) -> Result<(), Error> {
    if pass.state() == Some(DatabaseState::BackupBeforeDeleteInProgress) {
        return final_backup(pass, &Requested::Waits).await;
    }
    if pass.database.spec.suspend && pass.state().is_some_and(is_established) {
        let next = pass.status().cloned().unwrap_or_default();
        let reason = DatabaseReason::Suspended;
        let report = Report::new(reason, reason.meaning());
        return pass.conclude(next, &report).await;
    }
    Ok(())
}

/// What the conditions say of a database that can be used.
pub fn usable(pass: &Pass<'_>) -> Report {
    let created = Report::new(DatabaseReason::Created, DatabaseReason::Created.meaning());
    match missing_destination(pass) {
        Some(message) => Report::new(DatabaseReason::NoBackupDestination, message)
            .while_ready(DatabaseReason::Created, DatabaseReason::Created.meaning()),
        None => created,
    }
}

/// Ends a pass over a database that can be used. `exposures` says how others get at it.
pub async fn settle(
    pass: &mut Pass<'_>,
    next: DatabaseStatus,
    exposures: &[String],
) -> Result<(), Error> {
    let Some(first) = exposures.first() else {
        let report = usable(pass);
        return pass.conclude(next, &report).await;
    };
    let before = next.conditions.clone();
    let message = match exposures.len() - 1 {
        0 => first.clone(),
        more => format!("{first} (and {more} more)"),
    };
    let report = Report::new(DatabaseReason::Exposed, message)
        .while_ready(DatabaseReason::Created, DatabaseReason::Created.meaning());
    pass.conclude(next, &report).await?;
    record_blocked(pass, &before).await;
    Ok(())
}

/// What is missing for a final backup. It is said when the policy is written, not when the object is deleted.
fn missing_destination(pass: &Pass<'_>) -> Option<String> {
    let instance = pass.tenancy.entry()?;
    let wanted = pass.database.spec.deletion_policy == DeletionPolicy::BackupBeforeDelete;
    (wanted && instance.object.spec.backup.is_none()).then(|| {
        format!(
            "deletionPolicy is BackupBeforeDelete, and the instance {} has no spec.backup: a deletion would wait for it",
            pass.database.spec.instance_ref.name
        )
    })
}

/// Ends a pass that could not do all that it was about, and says why.
pub async fn stop(pass: &mut Pass<'_>, blocked: Blocked) -> Result<Outcome, Error> {
    if let Some(Error::Server(error)) = blocked.retry.as_deref() {
        pass.context
            .note_failure(&pass.database.spec.instance_ref.name, error);
    }
    let mut next = pass.status().cloned().unwrap_or_default();
    let mut report = Report::new(blocked.reason, blocked.message);
    let established = next.state.is_some_and(is_established);
    if established && leaves_usable(blocked.reason) && !blocked.breaks {
        report = report.while_ready(DatabaseReason::Created, DatabaseReason::Created.meaning());
    }
    // An outage is reported once, by the instance: hundreds of databases on it do not write it down, too.
    let quiet =
        established && blocked.reason == DatabaseReason::InstanceNotReady && !pass.is_changed();
    if !quiet {
        next.settled_generation = None;
        let before = next.conditions.clone();
        pass.report(next, &report).await?;
        record_blocked(pass, &before).await;
    }
    match blocked.retry {
        Some(error) => Err(*error),
        None => Ok(Outcome::Stalled),
    }
}

/// Whether there is a database that can be used.
pub fn is_established(state: DatabaseState) -> bool {
    matches!(
        state,
        DatabaseState::Created
            | DatabaseState::BackupRequested
            | DatabaseState::BackupInProgress
            | DatabaseState::BackupCompleted
    )
}

/// Whether a database that worked still does, although this stopped a pass.
fn leaves_usable(reason: DatabaseReason) -> bool {
    matches!(
        reason,
        DatabaseReason::InstanceNotFound
            | DatabaseReason::InstanceNotReady
            | DatabaseReason::NamespaceNotAllowed
            | DatabaseReason::InvalidTemplate
            | DatabaseReason::SecretRefused
            | DatabaseReason::Unsupported
            | DatabaseReason::MissingPrivileges
            | DatabaseReason::InTheWay
            | DatabaseReason::ServerError
            | DatabaseReason::DatabaseError
    )
}

/// A new reason to wait for a person is an Event, too.
async fn record_blocked(pass: &Pass<'_>, before: &[Condition]) {
    let of = |conditions: &[Condition]| {
        conditions
            .iter()
            .find(|c| c.type_ == STALLED)
            .map(|c| (c.reason.clone(), c.message.clone()))
    };
    let now = pass.status().and_then(|status| of(&status.conditions));
    if let Some((reason, message)) = now.filter(|now| of(before).as_ref() != Some(now)) {
        pass.record_event(EventType::Warning, &reason, message)
            .await;
    }
}
