//! What the conditions and Events of a Database say, and how a pass ends that was stopped.

use kube::runtime::events::EventType;

use super::backups::cached;
use super::blocked::Blocked;
use super::concerns::Notice;
use super::final_backup::{self, Requested};
use super::observe::Observation;
use super::pass::Pass;
use super::restores;
use super::state::{Cause, Step};
use crate::api::conditions::{READY, STALLED, is_true};
use crate::api::database::DatabaseStatus;
use crate::api::{
    Condition, ConditionStatus, DatabaseReason, DatabaseState, DeletionPolicy, Reason, Report,
};
use crate::controller::{Error, Outcome};

/// What the conditions say when a state is entered with this status; the act of that state may say more. `None` if they
/// stay as they are: a backup changes nothing about a Database.
pub(super) fn entering(
    pass: &Pass<'_>,
    next: &DatabaseStatus,
    seen: &Observation,
) -> Option<Report> {
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
            return Some(final_backup::report(&pass.object, asked_for, home, failed));
        }
        DatabaseState::DeletionRequested
        | DatabaseState::DeletionInProgress
        | DatabaseState::Deleted => DatabaseReason::Deleting,
    };
    Some(Report::new(reason, reason.meaning()))
}

/// Events of steps that a person would look for.
pub(super) async fn record_step(pass: &Pass<'_>, step: Step) {
    let name = pass.object.sql_name();
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
pub(super) async fn final_backup(pass: &mut Pass<'_>, requested: &Requested) -> Result<(), Error> {
    let next = pass.next_status();
    let Some(mut asked_for) = next.final_backup.clone() else {
        return Ok(());
    };
    let home = pass.context.namespace.clone();
    let former = pass.object.final_backup_name(asked_for.attempt - 1);
    let failed = cached(&pass.context.cache, &home, &former);
    match requested {
        // Why the previous one failed was said when it was noted, and can no longer be read.
        Requested::Later(_) if failed.is_none() => return Ok(()),
        Requested::Later(_) => {}
        Requested::Waits => asked_for.retry_at = None,
    }
    let report = final_backup::report(&pass.object, &asked_for, &home, failed.as_ref());
    pass.conclude(next, &report).await
}

/// Whether a Restore is at work on the database itself: nothing else alters it meanwhile.
pub(super) fn is_held(pass: &Pass<'_>) -> bool {
    let entry = pass.tenancy().entry();
    entry.is_some_and(|entry| restores::holds(&pass.object, entry.object.spec.provider))
        || restores::is_being_undone(&pass.context.cache, &pass.object)
}

/// What the conditions say meanwhile.
pub(super) async fn held(pass: &mut Pass<'_>) -> Result<(), Error> {
    if !restores::is_under_way(&pass.object) {
        return Ok(());
    }
    let reason = DatabaseReason::Restoring;
    let next = pass.next_status();
    pass.report(next, &Report::new(reason, reason.meaning()))
        .await
}

/// What a pass says of a state that asks for nothing.
pub(super) async fn rest(pass: &mut Pass<'_>) -> Result<Outcome, Error> {
    if pass.state() == Some(DatabaseState::BackupBeforeDeleteInProgress) {
        final_backup(pass, &Requested::Waits).await?;
    } else if pass.object.spec.suspend && pass.state().is_some_and(is_established) {
        let next = pass.next_status();
        let reason = DatabaseReason::Suspended;
        // What could not be used before is not repaired now: what it needs stays as it was said.
        let report = match why_not_ready(&next.conditions) {
            Some((reason, message)) => Report::new(reason, message),
            None => Report::new(reason, reason.meaning()),
        };
        pass.conclude(next, &report).await?;
    }
    Ok(Outcome::Waits)
}

/// Why a database cannot be used, by its conditions.
fn why_not_ready(conditions: &[Condition]) -> Option<(DatabaseReason, String)> {
    let ready = conditions.iter().find(|c| c.type_ == READY)?;
    let mut reasons = DatabaseReason::ALL.iter().copied();
    let reason = reasons.find(|reason| reason.as_str() == ready.reason)?;
    (ready.status == ConditionStatus::False).then(|| (reason, ready.message.clone()))
}

/// What the conditions say of a database that can be used.
pub(super) fn usable(pass: &Pass<'_>) -> Report {
    let created = Report::new(DatabaseReason::Created, DatabaseReason::Created.meaning());
    match missing_destination(pass) {
        Some(message) => Report::new(DatabaseReason::NoBackupDestination, message)
            .while_ready(DatabaseReason::Created, DatabaseReason::Created.meaning()),
        None => created,
    }
}

/// Ends a pass over a database that can be used, whatever a person has to know about it.
pub(super) async fn settle(
    pass: &mut Pass<'_>,
    next: DatabaseStatus,
    notice: Option<Notice>,
) -> Result<(), Error> {
    let Some((reason, message)) = notice else {
        let report = usable(pass);
        return pass.conclude(next, &report).await;
    };
    let before = next.conditions.clone();
    let report = Report::new(reason, message)
        .while_ready(DatabaseReason::Created, DatabaseReason::Created.meaning());
    if next.settled_generation.is_some() {
        pass.conclude(next, &report).await?;
    } else {
        pass.report(next, &report).await?;
    }
    record_blocked(pass, &before).await;
    Ok(())
}

/// What is missing for a final backup. It is said when the policy is written, not when the object is deleted.
fn missing_destination(pass: &Pass<'_>) -> Option<String> {
    let instance = pass.tenancy().entry()?;
    let wanted = pass.object.spec.deletion_policy == DeletionPolicy::BackupBeforeDelete;
    (wanted && instance.object.spec.backup.is_none()).then(|| {
        format!(
            "deletionPolicy is BackupBeforeDelete, and the instance {} has no spec.backup: a deletion would wait for it",
            pass.object.spec.instance_ref.name
        )
    })
}

/// Ends a pass that could not do all that it was about, and says why.
pub(super) async fn stop(pass: &mut Pass<'_>, blocked: Blocked) -> Result<Outcome, Error> {
    if let Some(Error::Server(error)) = blocked.retry.as_deref() {
        pass.context
            .note_failure(&pass.object.spec.instance_ref.name, error);
    }
    let mut next = pass.next_status();
    let mut report = Report::new(blocked.reason, blocked.message);
    let established = next.state.is_some_and(is_established);
    // What could not be used before cannot be used because something else is in the way now.
    let worked = is_true(&next.conditions, READY);
    if established && worked && leaves_usable(blocked.reason) && !blocked.breaks {
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
        None => Ok(Outcome::Waits),
    }
}

/// Whether there is a database that can be used.
pub(super) fn is_established(state: DatabaseState) -> bool {
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
            | DatabaseReason::OptionsDiffer
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
