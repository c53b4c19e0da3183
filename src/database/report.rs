//! What a pass says in the conditions, and how it ends when something was in its way.

use kube::runtime::events::EventType;

use super::pass::{Obstacle, Pass};
use super::walk::End;
use crate::api::{DatabaseReason, DatabaseState, DeletionPolicy, Reason, Report};
use crate::error::Error;

/// What the conditions say when a state is entered; its own act may say more.
pub fn entering(pass: &Pass<'_>, state: DatabaseState) -> Report {
    let reason = match state {
        DatabaseState::Creating => DatabaseReason::Creating,
        DatabaseState::Created
        | DatabaseState::BackupRequested
        | DatabaseState::BackupInProgress
        | DatabaseState::BackupCompleted => return usable(pass),
        DatabaseState::BackupBeforeDeleteRequested
        | DatabaseState::BackupBeforeDeleteInProgress
        | DatabaseState::BackupBeforeDeleteCompleted => DatabaseReason::WaitingForFinalBackup,
        DatabaseState::DeletionRequested
        | DatabaseState::DeletionInProgress
        | DatabaseState::Deleted => DatabaseReason::Deleting,
    };
    Report::new(reason, reason.meaning())
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

/// A policy that could not be carried out is said when it is written, not when the object is deleted.
fn missing_destination(pass: &Pass<'_>) -> Option<String> {
    let instance = pass.instance.as_ref()?;
    let wanted = pass.database.spec.deletion_policy == DeletionPolicy::BackupBeforeDelete;
    (wanted && instance.object.spec.backup.is_none()).then(|| {
        format!(
            "deletionPolicy is BackupBeforeDelete, and the instance {} has no spec.backup: a deletion would wait for it",
            pass.database.spec.instance_ref.name
        )
    })
}

/// Ends a pass before its aim was reached, and says why.
pub async fn stop(pass: &mut Pass<'_>, obstacle: Obstacle) -> Result<End, Error> {
    if let Some(Error::Server(error)) = obstacle.retry.as_deref() {
        pass.context
            .note_failure(&pass.database.spec.instance_ref.name, error);
    }
    let next = pass.status().cloned().unwrap_or_default();
    let mut report = Report::new(obstacle.reason, obstacle.message);
    let established = next.state.is_some_and(is_established);
    if established && leaves_usable(obstacle.reason) {
        report = report.while_ready(DatabaseReason::Created, DatabaseReason::Created.meaning());
    }
    // An outage is said once, by the instance: hundreds of databases on it do not write that down, too.
    let quiet =
        established && obstacle.reason == DatabaseReason::InstanceNotReady && !pass.is_changed();
    if !quiet {
        let before = next.conditions.clone();
        pass.report(next, &report).await?;
        tell_obstacle(pass, &before).await;
    }
    match obstacle.retry {
        Some(error) => Err(*error),
        None => Ok(End::Stalled),
    }
}

fn is_established(state: DatabaseState) -> bool {
    matches!(
        state,
        DatabaseState::Created
            | DatabaseState::BackupRequested
            | DatabaseState::BackupInProgress
            | DatabaseState::BackupCompleted
    )
}

/// Whether a database that worked still does, as far as this obstacle goes.
fn leaves_usable(reason: DatabaseReason) -> bool {
    matches!(
        reason,
        DatabaseReason::InstanceNotFound
            | DatabaseReason::InstanceNotReady
            | DatabaseReason::NamespaceNotAllowed
            | DatabaseReason::InvalidTemplate
            | DatabaseReason::Unsupported
            | DatabaseReason::MissingPrivileges
            | DatabaseReason::InTheWay
            | DatabaseReason::ServerError
    )
}

/// A new reason to wait for a person is an Event, too.
async fn tell_obstacle(pass: &Pass<'_>, before: &[crate::api::Condition]) {
    use crate::api::conditions::STALLED;
    let of = |conditions: &[crate::api::Condition]| {
        conditions
            .iter()
            .find(|c| c.type_ == STALLED)
            .map(|c| (c.reason.clone(), c.message.clone()))
    };
    let now = pass.status().and_then(|status| of(&status.conditions));
    if let Some((reason, message)) = now.filter(|now| of(before).as_ref() != Some(now)) {
        pass.tell(EventType::Warning, &reason, message).await;
    }
}
