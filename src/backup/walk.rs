//! One pass over a Backup: takes every step that follows, and does what the last state asks for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;

use super::finish::{self, Finished};
use super::follow::{self, Followed, LOOK};
use super::judge::Ruin;
use super::pass::{Obstacle, Pass};
use super::prepare::Prepared;
use super::start;
use super::state::{self, Act, Seen, Work};
use super::step::take;
use super::subject::{self, Finality, Sight, Subject};
use super::{clean_up, wait};
use crate::api::{Backup, BackupReason, BackupState, FINALIZER, Reason};
use crate::controller::Context;
use crate::error::Error;
use crate::finalizer;
use crate::provider::Assessment;

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is looked at again after this time, or when something wakes it.
    Again(Duration),
    /// It is looked at again at the next resync, or when something wakes it.
    Waits,
    /// Nothing is left to be done.
    Over,
}

/// What a pass found out on its way.
#[derive(Default)]
pub struct Found {
    /// What a backup that begins needs.
    pub prepared: Option<Arc<Prepared>>,
    /// How large its dump will be, as a look of just now found.
    assessment: Option<Assessment>,
    /// The UID of the Job that was created for it.
    pub job_uid: Option<String>,
    /// Why it does not begin.
    wait: Option<Obstacle>,
    /// Why it cannot become a backup any more.
    pub ruin: Option<Ruin>,
    /// What is in the store.
    pub finished: Option<Finished>,
    /// Why it cannot be said what is in the store.
    unknown: Option<Obstacle>,
}

/// One pass: takes every step that follows, and does what the last state asks for.
pub async fn walk(context: &Context, backup: &Backup) -> Result<End, Error> {
    let mut pass = Pass::new(context, backup);
    if finalizer::is_lost(&backup.metadata, backup.is_active()) {
        pass.backup = finalizer::add(&pass.api(), &pass.backup).await?;
    }
    let (mut seen, mut found) = observe(&mut pass).await?;
    if let Some(obstacle) = found.unknown.take() {
        return stop(&mut pass, obstacle).await;
    }
    loop {
        if let Some(step) = state::next(pass.state(), &seen) {
            if !take(&mut pass, step, &mut found).await? {
                return Ok(End::Over);
            }
            continue;
        }
        match state::act(pass.state(), &seen) {
            Act::Watch => return wait::report(&mut pass, found.wait).await,
            Act::Start => match start::start(&mut pass, found.assessment.take()).await {
                Ok(job_uid) => {
                    found.job_uid = Some(job_uid);
                    seen.work = Work::Running;
                }
                Err(obstacle) if obstacle.is_final() => {
                    found.ruin = Some(Ruin::new(obstacle.reason, obstacle.message));
                    seen.work = Work::Failed;
                }
                Err(obstacle) => {
                    // What cannot start keeps nobody else from starting.
                    context.backup.places.hand_back(&pass.uid());
                    return stop(&mut pass, obstacle).await;
                }
            },
            Act::Follow => match follow::follow(&mut pass).await {
                Ok(Followed::Runs) => return Ok(End::Again(LOOK)),
                Ok(Followed::Committed(finished)) => {
                    found.finished = Some(finished);
                    seen.work = Work::Committed;
                }
                Ok(Followed::Failed(ruin)) => {
                    found.ruin = Some(ruin);
                    seen.work = Work::Failed;
                }
                Err(obstacle) => return stop(&mut pass, obstacle).await,
            },
            Act::CleanUp => {
                clean_up::clean_up(&pass).await?;
                seen.cleaned = true;
            }
            Act::Release => {
                finalizer::remove(&pass.api(), &pass.backup).await?;
                return Ok(End::Over);
            }
        }
    }
}

/// What a decision needs.
async fn observe(pass: &mut Pass<'_>) -> Result<(Seen, Found), Error> {
    let mut found = Found::default();
    let mut seen = Seen {
        deleting: pass.is_deleting(),
        turn: false,
        cancelled: false,
        work: Work::NotRunning,
        cleaned: false,
    };
    match pass.state() {
        None if seen.deleting => {}
        None => match wait::look(pass).await {
            Ok(ready) => {
                found.prepared = Some(ready.prepared);
                found.assessment = Some(ready.assessment);
                seen.turn = true;
            }
            Err(obstacle) => found.wait = Some(obstacle),
        },
        Some(state @ (BackupState::Starting | BackupState::BackingUp)) => {
            seen.cancelled = is_cancelled(pass).await?;
            let ends = seen.deleting || seen.cancelled;
            if ends && state == BackupState::BackingUp {
                // A commit that was interrupted may have been done.
                match finish::found(pass).await {
                    Ok(None) => {}
                    Ok(Some(finished)) => {
                        found.finished = Some(finished);
                        seen.work = Work::Committed;
                    }
                    Err(obstacle) => found.unknown = Some(obstacle),
                }
            }
        }
        // The finalizer goes when all is cleaned up, and is the note of it.
        Some(BackupState::Completed | BackupState::Failed) => {
            seen.cleaned = !pass
                .backup
                .finalizers()
                .iter()
                .any(|name| name == FINALIZER);
        }
    }
    Ok((seen, found))
}

/// Whether the Database of a running backup is going or gone. Its final backup is not cancelled by that.
async fn is_cancelled(pass: &Pass<'_>) -> Result<bool, Error> {
    let known = pass.status().source.map(|source| source.database_uid);
    Ok(
        match subject::find(pass.context, &pass.backup, Sight::Cached).await? {
            Subject::Known(_, Finality::Final) => false,
            Subject::Known(database, Finality::Ordinary) => {
                database.metadata.deletion_timestamp.is_some()
                    || known.is_some_and(|uid| Some(uid) != database.uid())
            }
            Subject::Missing | Subject::Foreign => true,
        },
    )
}

/// Ends a pass over a backup that has begun before its aim was reached, and says why.
async fn stop(pass: &mut Pass<'_>, obstacle: Obstacle) -> Result<End, Error> {
    if obstacle.is_final() {
        // In STARTING it would have failed; what runs is ended by its Job alone.
        tracing::warn!(
            reason = obstacle.reason.as_str(),
            obstacle.message,
            "in the way"
        );
        return Ok(End::Again(LOOK));
    }
    if let Some(Error::Server(error)) = obstacle.retry.as_deref()
        && let Some(source) = pass.status().source
    {
        pass.context.note_failure(&source.instance, error);
    }
    let conflict = matches!(
        obstacle.retry.as_deref(),
        Some(Error::Changed { .. } | Error::NotLeading)
    );
    if !conflict {
        let next = pass.status();
        let reason = shown(pass.state(), obstacle.reason);
        pass.report(next, reason, obstacle.message).await?;
    }
    match obstacle.retry {
        Some(error) => Err(*error),
        None => Ok(End::Again(LOOK)),
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
pub fn due(end: End, resync: Duration) -> Option<Instant> {
    let now = Instant::now();
    match end {
        End::Again(rest) => Some(now + rest),
        End::Waits => Some(now + resync),
        End::Over => None,
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
