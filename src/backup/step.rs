//! One step from a state to the next: what is persisted with it, and who is told.

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::events::EventType;

use super::finish::Finished;
use super::judge::Ruin;
use super::pass::Pass;
use super::prepare::Prepared;
use super::state::{Cause, Step};
use super::wait;
use super::walk::Found;
use crate::api::backup::Progress;
use crate::api::conditions::whole_seconds;
use crate::api::{BackupReason, BackupState, Reason};
use crate::error::Error;
use crate::finalizer;

/// Persists the state that follows; false when the object is gone.
pub async fn take(pass: &mut Pass<'_>, step: Step, found: &mut Found) -> Result<bool, Error> {
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
        BackupState::BackingUp => follow_on(pass, found.job_uid.take()).await,
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
async fn begin(pass: &mut Pass<'_>, prepared: Option<Arc<Prepared>>) -> Result<(), Error> {
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
        upload.parts_digest = None;
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
