//! When a Backup is looked at: whether a pass is due, and what is remembered of one that ended.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::remembered::About;
use super::{Context, wake};
use crate::api::{Backup, BackupState, FINALIZER};
use crate::backoff;
use crate::controller::cache::Cache;
use crate::controller::{self, Error, Outcome, finalizer, revisit};
use crate::watch::read;

/// How soon a Backup is looked at again whose instance this process has not looked at yet.
const UNSEEN_REST: Duration = Duration::from_secs(1);

/// A Backup whose pass failed is not looked at sooner than this, whatever wakes it.
const FAILED_REST: Duration = Duration::from_millis(100);

/// A pass that waited for a lock that someone holds kept a connection for nothing. The next one waits longer each time.
const LOCK_WAIT: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_mins(1);

/// When to look again, if no pass is due now.
pub(super) fn not_yet(context: &Context, backup: &Backup) -> Option<Action> {
    if context.remembered.is_news(backup) {
        // Its Database and the Restores of it read the same cache.
        wake::database(context, backup);
        wake::restores(context, backup);
    }
    if let Some(rest) = rest(context, backup, Instant::now()) {
        return Some(Action::requeue(rest));
    }
    (!is_ready(context) || is_instance_unseen(context, backup))
        .then(|| Action::requeue(UNSEEN_REST))
}

/// A pass that has begun. What is remembered of it is the state that it leaves the Backup in.
pub(super) type Begun = revisit::Begun<About>;

/// To be called before a pass looks at anything.
pub(super) fn begin(context: &Context, backup: &Backup) -> Begun {
    let uid = backup.uid().unwrap_or_default();
    (context.revisit).begin(&uid, About::of(backup), Instant::now())
}

/// Remembers how a pass ended, and says when the next is due.
pub(super) fn end(
    context: &Context,
    backup: &Backup,
    begun: Begun,
    result: Result<Outcome, Error>,
) -> Result<Action, Error> {
    let (left, now) = (begun.about, Instant::now());
    let resync = backoff::spread_evenly(context.resync, rand::random());
    let due = match &result {
        // One that runs is woken by its own progress, too; one that waits by what it waits for alone.
        Ok(outcome) => outcome
            .rest(resync)
            .filter(|_| left.is_active())
            .map(|rest| now + rest),
        Err(error) if error.has_waited() => Some(now + lock_wait(context, backup)),
        Err(_) => Some(begun.at + FAILED_REST),
    };
    match due {
        Some(due) => context.revisit.note(begun, due, now),
        None => context.revisit.forget(begun.uid()),
    }
    if matches!(result, Ok(Outcome::Over)) && left.has_ended() {
        context.remembered.forget(&backup.uid().unwrap_or_default());
    }
    Ok(result?.action(resync))
}

fn lock_wait(context: &Context, backup: &Backup) -> Duration {
    let failures = context.failures.count(&controller::key::<Backup>(backup));
    backoff::delay_within(LOCK_WAIT, failures.saturating_add(1), rand::random())
}

/// How long nothing has to be done about a Backup that was not touched since: what its own status says is no reason.
fn rest(context: &Context, backup: &Backup, now: Instant) -> Option<Duration> {
    if finalizer::is_lost(&backup.metadata, backup.is_active()) {
        return None;
    }
    let uid = backup.metadata.uid.as_ref()?;
    context.revisit.rest(uid, &About::of(backup), now)
}

/// Whether the instance of a backup that began was not looked at yet since this process leads: then its store is not
/// known, and that is no reason to give the backup up.
fn is_instance_unseen(context: &Context, backup: &Backup) -> bool {
    let status = backup.status.as_ref();
    let ended = backup.state().is_some_and(BackupState::is_terminal)
        && !backup.finalizers().iter().any(|name| name == FINALIZER);
    status
        .and_then(|status| status.source.as_ref())
        .is_some_and(|source| !ended && context.is_unseen(&source.instance))
}

/// Whether all Databases and Backups are known, and all Jobs and pods: before that nothing can be said about turns and
/// slots, nor about what became of a backup.
fn is_ready(context: &Context) -> bool {
    let Cache {
        databases, backups, ..
    } = &context.cache;
    read(databases).is_some() && read(backups).is_some() && context.work.is_ready()
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
