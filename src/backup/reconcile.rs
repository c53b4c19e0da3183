//! One pass over a Backup: takes every step that follows, and does what the last state asks for.

use std::time::{Duration, Instant};

use super::blocked::Blocked;
use super::follow::{self, Followed, LOOK};
use super::observe::observe;
use super::pass::Pass;
use super::state::{self, Act, Work};
use super::transition::{Taken, take};
use super::{Context, cleanup, pending, start};
use crate::api::{Backup, BackupReason, BackupState, Reason};
use crate::controller::{Error, finalizer};
use crate::job::outcome::Failure;

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is looked at again after this time, or when something wakes it.
    Again(Duration),
    /// It is looked at again at the next resync, or when something wakes it.
    Waits,
    /// Nothing is left to be done.
    Over,
}

/// One pass: takes every step that follows, and does what the last state asks for.
pub async fn reconcile(context: &Context, backup: &Backup) -> Result<Outcome, Error> {
    let mut pass = Pass::new(context, backup);
    if finalizer::is_lost(&backup.metadata, backup.is_active()) {
        pass.backup = finalizer::add(&pass.api(), &pass.backup).await?;
    }
    let mut seen = observe(&pass).await?;
    if let Some(blocked) = seen.unknown.take() {
        return stop(&mut pass, blocked).await;
    }
    pending::note(&pass, &seen);
    loop {
        if let Some(step) = state::next(pass.state(), &seen.facts) {
            match take(&mut pass, step, &mut seen).await? {
                Taken::Persisted => continue,
                Taken::Gone => return Ok(Outcome::Over),
                Taken::Waits(blocked) => return pending::report(&mut pass, Some(blocked)).await,
            }
        }
        match state::act(pass.state(), &seen.facts) {
            Act::Watch => {
                let waits = seen.waits.map(|waits| waits.blocked);
                return pending::report(&mut pass, waits).await;
            }
            Act::Start => match start::start(&mut pass, seen.assessment.take()).await {
                Ok(job_uid) => {
                    seen.job_uid = Some(job_uid);
                    seen.facts.work = Work::Running;
                }
                Err(blocked) if blocked.is_final() => {
                    seen.failure = Some(Failure::new(blocked.reason, blocked.message));
                    seen.facts.work = Work::Failed;
                }
                Err(blocked) => {
                    // What cannot start keeps nobody else from starting.
                    context.slots.hand_back(&pass.uid());
                    return stop(&mut pass, blocked).await;
                }
            },
            Act::Follow => match follow::follow(&mut pass).await {
                Ok(Followed::Runs) => return Ok(Outcome::Again(LOOK)),
                Ok(Followed::Committed(finished)) => {
                    seen.finished = Some(finished);
                    seen.facts.work = Work::Committed;
                }
                Ok(Followed::Failed(failure)) => {
                    seen.failure = Some(failure);
                    seen.facts.work = Work::Failed;
                }
                Err(blocked) => return stop(&mut pass, blocked).await,
            },
            Act::CleanUp => {
                cleanup::clean_up(&pass).await?;
                seen.facts.cleaned = true;
            }
            Act::Release => {
                finalizer::remove(&pass.api(), &pass.backup).await?;
                return Ok(Outcome::Over);
            }
        }
    }
}

/// Ends a pass over a backup that has begun before its aim was reached, and says why.
async fn stop(pass: &mut Pass<'_>, blocked: Blocked) -> Result<Outcome, Error> {
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
        && let Some(source) = pass.status().source
    {
        pass.context.note_failure(&source.instance, error);
    }
    if !blocked.retry.as_deref().is_some_and(Error::is_conflict) {
        let next = pass.status();
        let reason = shown(pass.state(), blocked.reason);
        pass.report(next, reason, blocked.message).await?;
    }
    match blocked.retry {
        Some(error) => Err(*error),
        None => Ok(Outcome::Again(LOOK)),
    }
}

/// The API server's failures have no reason of their own: the state's is kept, with their words.
fn shown(state: Option<BackupState>, reason: BackupReason) -> BackupReason {
    match (state, reason) {
        (Some(BackupState::BackingUp), BackupReason::Starting) => BackupReason::BackingUp,
        (_, reason) => reason,
    }
}

/// A first look is not worth a write: its turn may come at once.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);

/// When a pass that ended so is repeated, without a reason to.
#[must_use]
pub fn due(end: Outcome, resync: Duration) -> Option<Instant> {
    let now = Instant::now();
    match end {
        Outcome::Again(rest) => Some(now + rest),
        Outcome::Waits => Some(now + resync),
        Outcome::Over => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
