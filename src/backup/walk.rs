//! One pass over a Backup: takes every step that follows, and does what the last state asks for.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::finish::{self, Finished};
use super::follow::{self, Followed, LOOK};
use super::judge::Ruin;
use super::pass::{Obstacle, Pass};
use super::prepare::Prepared;
use super::start;
use super::state::{self, Act, Cause, Seen, Step, Work};
use super::subject::{self, Finality, Sight, Subject};
use super::{clean_up, wait};
use crate::api::backup::Progress;
use crate::api::{Backup, BackupReason, BackupState, FINALIZER, Reason};
use crate::controller::Context;
use crate::error::Error;
use crate::finalizer;

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
struct Found {
    /// What a backup that begins needs.
    prepared: Option<Box<Prepared>>,
    /// Why it does not begin.
    wait: Option<Obstacle>,
    ruin: Option<Ruin>,
    finished: Option<Finished>,
}

/// One pass: takes every step that follows, and does what the last state asks for.
pub async fn walk(context: &Context, backup: &Backup) -> Result<End, Error> {
    let mut pass = Pass::new(context, backup);
    let (mut seen, mut found) = observe(&mut pass).await?;
    loop {
        if let Some(step) = state::next(pass.state(), &seen) {
            if !take(&mut pass, step, &mut found).await? {
                return Ok(End::Over);
            }
            continue;
        }
        match state::act(pass.state(), &seen) {
            Act::Watch => return wait::report(&mut pass, found.wait).await,
            Act::Start => match start::start(&mut pass).await {
                Ok(()) => seen.work = Work::Running,
                Err(obstacle) if obstacle.is_final() => {
                    found.ruin = Some(Ruin::new(obstacle.reason, obstacle.message));
                    seen.work = Work::Failed;
                }
                Err(obstacle) => return stop(&mut pass, obstacle).await,
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
            Ok(prepared) => {
                found.prepared = Some(prepared);
                seen.turn = true;
            }
            Err(obstacle) => found.wait = Some(obstacle),
        },
        Some(state @ (BackupState::Starting | BackupState::BackingUp)) => {
            seen.cancelled = is_cancelled(pass).await?;
            let ends = seen.deleting || seen.cancelled;
            if ends && state == BackupState::BackingUp {
                // A commit that was interrupted may have been done.
                found.finished = finish::found(pass).await;
                if found.finished.is_some() {
                    seen.work = Work::Committed;
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

/// Persists the state that follows; false when the object is gone.
async fn take(pass: &mut Pass<'_>, step: Step, found: &mut Found) -> Result<bool, Error> {
    let Some(to) = step.to else {
        finalizer::remove(&pass.api(), &pass.backup).await?;
        return Ok(false);
    };
    tracing::info!(
        state = to.as_str(),
        because = step.because.as_str(),
        "state"
    );
    let taken = match to {
        BackupState::Starting => begin(pass, found.prepared.take()).await,
        BackupState::BackingUp => follow_on(pass).await,
        BackupState::Completed => complete(pass, found.finished).await,
        BackupState::Failed => fail(pass, step.because, found.ruin.take()).await,
    };
    taken?;
    if to.is_terminal() {
        let context = pass.context;
        context.backup.windows.forget(&pass.uid());
        context.backup.places.give_back(&pass.uid());
        wait::wake_others(context);
    }
    pass.tell_database();
    Ok(true)
}

/// Persists all that a start needs, before anything is begun: the key above all.
async fn begin(pass: &mut Pass<'_>, prepared: Option<Box<Prepared>>) -> Result<(), Error> {
    let begun = async {
        let at = pass.state();
        pass.backup = finalizer::add(&pass.api(), &pass.backup).await?;
        if pass.state() != at || pass.is_deleting() {
            let doing = "begin the backup";
            return Err(Error::Changed { doing });
        }
        let started = whole_seconds(Timestamp::now());
        let mut next = pass.status();
        next.state = Some(BackupState::Starting);
        next.started_at = Some(started);
        if let Some(prepared) = prepared {
            let upload = prepared.upload(pass, started);
            next.destination = Some(prepared.destination.store.destination(&upload.key));
            next.upload = Some(upload);
            next.source = Some(prepared.source());
        }
        let reason = BackupReason::Starting;
        pass.report(next, reason, reason.meaning()).await
    };
    let result = begun.await;
    if result.is_err() {
        pass.context.backup.places.give_back(&pass.uid());
    }
    result
}

async fn follow_on(pass: &mut Pass<'_>) -> Result<(), Error> {
    let mut next = pass.status();
    next.state = Some(BackupState::BackingUp);
    if let Some(upload) = &mut next.upload {
        upload.job_name = Some(pass.job_name());
    }
    let reason = BackupReason::BackingUp;
    pass.report(next, reason, reason.meaning()).await
}

async fn complete(pass: &mut Pass<'_>, finished: Option<Finished>) -> Result<(), Error> {
    let mut next = pass.status();
    next.state = Some(BackupState::Completed);
    let seconds = end(pass, &mut next);
    let progress: &mut Progress = next.progress.get_or_insert_default();
    progress.percent = Some(100);
    if let Some(Finished(committed)) = finished {
        next.stored_bytes = i64::try_from(committed.bytes).ok();
        if let Some(upload) = &mut next.upload {
            upload.parts = i32::try_from(committed.parts).ok();
        }
    }
    let stored = next.stored_bytes.unwrap_or_default();
    let destination = next.destination.clone().unwrap_or_default();
    let reason = BackupReason::Completed;
    let message = format!("{stored} bytes, whole and checked, are at {destination}");
    pass.report(next, reason, message.clone()).await?;
    pass.context
        .metrics
        .backed_up(reason, seconds, u64::try_from(stored).unwrap_or_default());
    pass.tell(EventType::Normal, reason.as_str(), &message)
        .await;
    Ok(())
}

async fn fail(pass: &mut Pass<'_>, because: Cause, ruin: Option<Ruin>) -> Result<(), Error> {
    let ruin = ruin.unwrap_or_else(|| {
        let reason = match because {
            Cause::DatabaseDeleted => BackupReason::DatabaseDeleted,
            Cause::Turn
            | Cause::JobRuns
            | Cause::Committed
            | Cause::WorkFailed
            | Cause::Cancelled
            | Cause::ObjectDeleted => BackupReason::Cancelled,
        };
        Ruin::new(reason, reason.meaning())
    });
    let mut next = pass.status();
    next.state = Some(BackupState::Failed);
    let seconds = end(pass, &mut next);
    next.failure = Some(ruin.failure());
    // What was noted for a commit that did not come about is not true of anything.
    next.stored_bytes = None;
    next.sha256 = None;
    if let Some(upload) = &mut next.upload {
        upload.parts = None;
    }
    if ruin.tool_version.is_some() {
        next.tool_version = ruin.tool_version;
    }
    pass.report(next, ruin.reason, ruin.message.clone()).await?;
    pass.context.metrics.backed_up(ruin.reason, seconds, 0);
    pass.tell(EventType::Warning, ruin.reason.as_str(), &ruin.message)
        .await;
    Ok(())
}

/// Notes when it ended; returns how long it took, in seconds.
fn end(pass: &Pass<'_>, next: &mut crate::api::BackupStatus) -> i64 {
    let now = whole_seconds(Timestamp::now());
    let seconds = now.duration_since(pass.started_at()).as_secs().max(0);
    next.finished_at = Some(now);
    next.duration_seconds = Some(seconds);
    seconds
}

/// Kubernetes keeps whole seconds; so does the object's key.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
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
        pass.report(next, obstacle.reason, obstacle.message).await?;
    }
    match obstacle.retry {
        Some(error) => Err(*error),
        None => Ok(End::Again(LOOK)),
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
