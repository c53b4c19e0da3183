//! What a Backup's conditions and Events say, and how a pass ends when something is in its way.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::contents::with_warnings;
use super::follow::LOOK;
use super::observe::Observation;
use super::transition::Entering;
use super::{Pass, pending, retry};
use crate::api::backup::{Progress, size};
use crate::api::conditions::{FINISHED, READY};
use crate::api::{BackupReason, BackupState, BackupStatus, Reason, Report};
use crate::controller::{Error, Outcome};

/// A first look is not worth a write: its turn may come at once.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How soon a Backup is looked at again that waits for another one to end.
const SOON: Duration = Duration::from_secs(5);

/// What the conditions say when a state is entered with this status.
pub(super) fn entering(next: &BackupStatus, entering: &Entering) -> (BackupReason, String) {
    let reason = match entering {
        Entering::Starting(_) => BackupReason::Starting,
        Entering::StartingAgain(failure) => {
            let message = format!(
                "attempt {} of {}; the previous one failed with a transient error ({}: {})",
                next.attempts.unwrap_or(1),
                retry::MOST,
                failure.reason.as_str(),
                failure.message
            );
            return (BackupReason::Starting, message);
        }
        Entering::BackingUp { .. } => BackupReason::BackingUp,
        Entering::Completed(_) => {
            let message = format!(
                "{} ({} bytes), complete and verified, stored at {}{}",
                next.size.as_deref().unwrap_or_default(),
                next.stored_bytes.unwrap_or_default(),
                next.destination.as_deref().unwrap_or_default(),
                with_warnings(next.warnings.len())
            );
            return (BackupReason::Completed, message);
        }
        Entering::Failed(failure) => return (failure.reason, failure.message.clone()),
    };
    (reason, reason.meaning().to_owned())
}

/// Tells people, and the metrics, how a backup ended.
pub(super) async fn record_end(pass: &Pass<'_>, reason: BackupReason, message: String) {
    let status = pass.next_status();
    let kind = match pass.state() {
        Some(BackupState::Completed) => EventType::Normal,
        Some(BackupState::Failed) => EventType::Warning,
        None | Some(BackupState::Starting | BackupState::BackingUp) => return,
    };
    let seconds = status.duration_seconds.unwrap_or_default();
    let bytes = u64::try_from(status.stored_bytes.unwrap_or_default()).unwrap_or_default();
    pass.context.metrics.backed_up(reason, seconds, bytes);
    pass.record_event(kind, reason.as_str(), message).await;
}

/// Ends a pass over a backup whose state asks for nothing: it waits to begin.
pub(super) async fn rest(pass: &mut Pass<'_>, seen: &mut Observation) -> Result<Outcome, Error> {
    let waits = seen.waits.take().map(|waits| waits.blocked);
    wait(pass, waits).await
}

/// Ends a pass over a backup that has not begun, and says what it waits for.
pub(super) async fn wait(pass: &mut Pass<'_>, blocked: Option<Blocked>) -> Result<Outcome, Error> {
    let Some(blocked) = blocked else {
        return Ok(Outcome::Waits);
    };
    let blocked = match blocked.retry {
        Some(error) if error.is_conflict() => return Err(*error),
        retry => Blocked { retry, ..blocked },
    };
    if is_new(pass) && !blocked.is_final() {
        // Its turn may come at once: then this would have been a write for nothing.
        return Ok(Outcome::Again(FIRST_LOOK));
    }
    let waits_for_another = blocked.reason == BackupReason::WaitingForTurn;
    // An API server that fails is no reason to say `Starting` of what does not start.
    if blocked.reason != BackupReason::Starting {
        let next = pass.next_status();
        let report = Report::new(blocked.reason, blocked.message);
        pass.report(next, &report).await?;
    }
    match blocked.retry {
        Some(error) => Err(*error),
        None if waits_for_another && pending::may_be_next(pass) => Ok(Outcome::Again(SOON)),
        // Those behind it are woken when it begins to be their turn.
        None => Ok(Outcome::Waits),
    }
}

/// Whether a Backup was just made, and nothing was said of it yet.
fn is_new(pass: &Pass<'_>) -> bool {
    let unsaid = pass
        .status()
        .is_none_or(|status| status.observed_generation.is_none());
    let young = pass.object.creation_timestamp().is_some_and(|created| {
        let age = Timestamp::now().duration_since(created.0);
        age < SignedDuration::try_from(FIRST_LOOK).unwrap_or(SignedDuration::ZERO)
    });
    unsaid && young
}

/// Ends a pass over a backup that has begun before its aim was reached, and says why.
pub(super) async fn stop(pass: &mut Pass<'_>, blocked: Blocked) -> Result<Outcome, Error> {
    if blocked.is_final() {
        // In STARTING it would have failed; what runs is ended by its Job alone.
        tracing::warn!(
            reason = blocked.reason.as_str(),
            blocked.message,
            "in the way"
        );
        return Ok(Outcome::Again(LOOK));
    }
    if let Some(Error::Server(error)) = blocked.retry.as_deref()
        && let Some(instance) = pass.instance()
    {
        pass.context.note_failure(instance, error);
    }
    if !blocked.retry.as_deref().is_some_and(Error::is_conflict) {
        let next = pass.next_status();
        let report = Report::new(shown(pass.state(), blocked.reason), blocked.message);
        pass.report(next, &report).await?;
    }
    match blocked.retry {
        Some(error) => Err(*error),
        None => Ok(Outcome::Again(LOOK)),
    }
}

/// Gives a Backup that ended under a former version of the operator what this one shows of it. Once.
pub(super) async fn bring_up_to_date(pass: &mut Pass<'_>) -> Result<(), Error> {
    let missing = pass
        .status()
        .filter(|_| !pass.is_deleting())
        .and_then(missing);
    match missing {
        Some((next, report)) => pass.report(*next, &report).await,
        None => Ok(()),
    }
}

/// What a status lacks that an ended Backup shows, with what its conditions say anyway.
fn missing(status: &BackupStatus) -> Option<(Box<BackupStatus>, Report)> {
    let has_ended = status.state.is_some_and(BackupState::is_terminal);
    let is_shown = status.conditions.iter().any(|c| c.type_ == FINISHED);
    let ready = status.conditions.iter().find(|c| c.type_ == READY)?;
    if !has_ended || is_shown {
        return None;
    }
    let mut reasons = BackupReason::ALL.iter();
    let reason = reasons.find(|reason| reason.as_str() == ready.reason)?;
    let mut next = status.clone();
    next.size = status.stored_bytes.map(size);
    next.progress = next.progress.map(Progress::for_people);
    Some((Box::new(next), Report::new(*reason, ready.message.clone())))
}

/// The API server's failures have no reason of their own: the state's is kept, with their words.
fn shown(state: Option<BackupState>, reason: BackupReason) -> BackupReason {
    match (state, reason) {
        (Some(BackupState::BackingUp), BackupReason::Starting) => BackupReason::BackingUp,
        (_, reason) => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_of_a_former_version_gets_what_it_lacks_and_nothing_else() {
        let mut status: BackupStatus = serde_json::from_value(serde_json::json!({
            "state": "COMPLETED", "storedBytes": 28_546_180, "progress": {"percent": 100},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Completed", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }))
        .unwrap();
        let (next, report) = missing(&status).unwrap();
        assert_eq!(next.size.as_deref(), Some("27Mi"));
        assert_eq!(next.progress.unwrap().shown.as_deref(), Some("100%"));
        assert_eq!(report, Report::new(BackupReason::Completed, "m"));
        // What runs is written by its own passes.
        status.state = Some(BackupState::BackingUp);
        assert!(missing(&status).is_none());
        status.state = Some(BackupState::Completed);
        status.conditions[0].type_ = FINISHED.to_owned();
        status.conditions.push(crate::api::Condition {
            type_: READY.to_owned(),
            ..status.conditions[0].clone()
        });
        assert!(missing(&status).is_none());
    }

    #[test]
    fn an_api_server_that_fails_does_not_send_a_backup_back_to_its_start() {
        let of = |state, reason| shown(Some(state), reason);
        let (starting, running) = (BackupState::Starting, BackupState::BackingUp);
        let own = BackupReason::Starting;
        assert_eq!(of(starting, own), BackupReason::Starting);
        assert_eq!(of(running, own), BackupReason::BackingUp);
        let store = BackupReason::StoreUnreachable;
        assert_eq!(of(running, store), store);
    }
}
