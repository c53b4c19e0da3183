//! When a Restore is looked at: whether a pass is due, and what is remembered of one that ended.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::remembered::About;
use super::{Context, wake};
use crate::api::{FINALIZER, Restore, RestoreState};
use crate::backoff;
use crate::controller::{self, Error, Outcome, finalizer, revisit};
use crate::watch::read;

/// How soon a Restore is looked at again whose instance this process has not looked at yet.
const UNSEEN_REST: Duration = Duration::from_secs(1);

/// A Restore whose pass failed is not looked at sooner than this, whatever wakes it.
const FAILED_REST: Duration = Duration::from_millis(100);

/// A pass that waited for a lock that someone holds kept a connection for nothing. The next one waits longer each time.
const LOCK_WAIT: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_mins(1);

/// When to look again, if no pass is due now.
pub(super) fn not_yet(context: &Context, restore: &Restore) -> Option<Action> {
    if context.remembered.is_news(restore) {
        // Its Database reads the same cache.
        wake::database(context, restore);
    }
    if let Some(rest) = rest(context, restore, Instant::now()) {
        return Some(Action::requeue(rest));
    }
    (!is_ready(context) || is_instance_unseen(context, restore))
        .then(|| Action::requeue(UNSEEN_REST))
}

/// Whether others wait for what a pass does: while a database is switched, nobody can log in to it.
pub(super) fn is_urgent(restore: &Restore) -> bool {
    restore.state() == Some(RestoreState::Switching)
}

/// A pass that has begun. What is remembered of it is the state that it leaves the Restore in.
pub(super) type Begun = revisit::Begun<About>;

/// To be called before a pass looks at anything.
pub(super) fn begin(context: &Context, restore: &Restore) -> Begun {
    let uid = restore.uid().unwrap_or_default();
    (context.revisit).begin(&uid, About::of(restore), Instant::now())
}

/// Remembers how a pass ended, and says when the next is due.
pub(super) fn end(
    context: &Context,
    restore: &Restore,
    begun: Begun,
    result: Result<Outcome, Error>,
) -> Result<Action, Error> {
    let (left, now) = (begun.about.clone(), Instant::now());
    let resync = backoff::spread_evenly(context.resync, rand::random());
    let due = match &result {
        Ok(outcome) => outcome.rest(resync).map(|rest| now + rest),
        Err(error) if error.has_waited() => Some(now + lock_wait(context, restore)),
        Err(_) => Some(begun.at + FAILED_REST),
    };
    match due {
        Some(due) => context.revisit.note(begun, due, now),
        None => context.revisit.forget(begun.uid()),
    }
    if matches!(result, Ok(Outcome::Over)) {
        let uid = restore.uid().unwrap_or_default();
        context.queues.turns.withdraw(&uid);
        if left.has_ended() {
            context.remembered.forget(&uid);
        }
    }
    Ok(result?.action(resync))
}

fn lock_wait(context: &Context, restore: &Restore) -> Duration {
    let failures = context.failures.count(&controller::key::<Restore>(restore));
    backoff::delay_within(LOCK_WAIT, failures.saturating_add(1), rand::random())
}

/// How long nothing has to be done about a Restore that was not touched since: what its own status says is no reason.
fn rest(context: &Context, restore: &Restore, now: Instant) -> Option<Duration> {
    if finalizer::is_lost(&restore.metadata, restore.is_active()) {
        return None;
    }
    let uid = restore.metadata.uid.as_ref()?;
    context.revisit.rest(uid, &About::of(restore), now)
}

/// Whether the instance of a restore that began was not looked at yet since this process leads: that is no reason to give
/// the restore up.
fn is_instance_unseen(context: &Context, restore: &Restore) -> bool {
    let status = restore.status.as_ref();
    let ended = restore.state().is_some_and(RestoreState::is_terminal)
        && !restore.finalizers().iter().any(|name| name == FINALIZER);
    status
        .and_then(|status| status.target.as_ref())
        .is_some_and(|target| !ended && context.is_unseen(&target.instance))
}

/// Whether all Databases, Backups and Restores are known, and all Jobs and pods: before that nothing can be said about turns
/// and slots, nor about what became of a restore.
fn is_ready(context: &Context) -> bool {
    let cache = &context.cache;
    read(&cache.databases).is_some()
        && read(&cache.backups).is_some()
        && read(&cache.restores).is_some()
        && context.work.is_ready()
}
