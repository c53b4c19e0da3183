//! One step from a state to the next: what is persisted with it, and who is told.

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::commit::Finished;
use super::observe::Observation;
use super::pass::Pass;
use super::pending;
use super::prerequisites::Prerequisites;
use super::state::{Cause, Step};
use crate::api::backup::Progress;
use crate::api::conditions::whole_seconds;
use crate::api::{BackupReason, BackupState, Reason};
use crate::controller::{Error, finalizer};
use crate::job::outcome::Failure;

/// What became of a step.
pub enum Taken {
    /// Its state is persisted.
    Persisted,
    /// The object is gone.
    Gone,
    /// It has to wait.
    Waits(Blocked),
}

/// Persists the state that follows.
pub async fn take(pass: &mut Pass<'_>, step: Step, seen: &mut Observation) -> Result<Taken, Error> {
    let Some(to) = step.to else {
        finalizer::remove(&pass.api(), &pass.backup).await?;
        return Ok(Taken::Gone);
    };
    if let (BackupState::Starting, Some(ready)) = (to, &seen.ready)
        && let Err(blocked) = pending::take_slot(pass, &ready.wants)
    {
        return Ok(Taken::Waits(blocked));
    }
    tracing::info!(
        state = to.as_str(),
        because = step.because.as_str(),
        "state"
    );
    let taken = match to {
        BackupState::Starting => {
            let ready = seen.ready.take();
            begin(pass, ready.map(|ready| ready.prerequisites)).await
        }
        BackupState::BackingUp => follow_on(pass, seen.job_uid.take()).await,
        BackupState::Completed => complete(pass, seen.finished).await,
        BackupState::Failed => fail(pass, step.because, seen.failure.take()).await,
    };
    taken?;
    if to.is_terminal() {
        let context = pass.context;
        context.windows.forget(&pass.uid());
        context.slots.give_back(&pass.uid());
        pending::wake_others(context);
    }
    pass.wake_database();
    Ok(Taken::Persisted)
}

/// Persists all that a start needs, before anything is begun: the key above all.
async fn begin(
    pass: &mut Pass<'_>,
    prerequisites: Option<Arc<Prerequisites>>,
) -> Result<(), Error> {
    let begun = async {
        let at = pass.state();
        pass.backup = finalizer::add(&pass.api(), &pass.backup).await?;
        if pass.state() != at || pass.is_deleting() {
            let doing = "begin the backup";
            return Err(Error::changed(doing));
        }
        let started = whole_seconds(Timestamp::now());
        let mut next = pass.status();
        next.state = Some(BackupState::Starting);
        next.started_at = Some(started);
        if let Some(prerequisites) = prerequisites {
            let upload = prerequisites.upload(pass, started);
            next.destination = Some(prerequisites.destination.store.destination(&upload.key));
            next.upload = Some(upload);
            next.source = Some(prerequisites.source());
        }
        let reason = BackupReason::Starting;
        pass.report(next, reason, reason.meaning()).await
    };
    let result = begun.await;
    if result.is_err() {
        pass.context.slots.give_back(&pass.uid());
    }
    result
}

/// From here on the Job counts: its UID is persisted, and no other one of its name is believed.
async fn follow_on(pass: &mut Pass<'_>, job_uid: Option<String>) -> Result<(), Error> {
    let mut next = pass.status();
    next.state = Some(BackupState::BackingUp);
    if let Some(upload) = &mut next.upload {
        upload.job_name = Some(pass.job_name());
        upload.job_uid = job_uid;
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
            upload.parts_digest = None;
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
    pass.record_event(EventType::Normal, reason.as_str(), &message)
        .await;
    Ok(())
}

async fn fail(pass: &mut Pass<'_>, because: Cause, failure: Option<Failure>) -> Result<(), Error> {
    let failure = failure.unwrap_or_else(|| {
        let reason = match because {
            Cause::DatabaseDeleted => BackupReason::DatabaseDeleted,
            Cause::Turn
            | Cause::JobRuns
            | Cause::Committed
            | Cause::WorkFailed
            | Cause::Cancelled
            | Cause::ObjectDeleted => BackupReason::Cancelled,
        };
        Failure::new(reason, reason.meaning())
    });
    let mut next = pass.status();
    next.state = Some(BackupState::Failed);
    let seconds = end(pass, &mut next);
    next.failure = Some(failure.failure());
    // What was noted for a commit that did not come about is not true of anything.
    next.stored_bytes = None;
    next.sha256 = None;
    if let Some(upload) = &mut next.upload {
        upload.parts = None;
        upload.parts_digest = None;
    }
    if failure.tool_version.is_some() {
        next.tool_version = failure.tool_version;
    }
    pass.report(next, failure.reason, failure.message.clone())
        .await?;
    pass.context.metrics.backed_up(failure.reason, seconds, 0);
    pass.record_event(
        EventType::Warning,
        failure.reason.as_str(),
        &failure.message,
    )
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
