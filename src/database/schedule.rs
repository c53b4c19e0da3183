//! When a Database is looked at: whether a pass is due, and what is remembered of one that ended.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::reconcile::Outcome;
use super::revisit::{About, Note};
use super::wake::{self, ForBackups};
use super::{Context, backups};
use crate::api::{Database, DatabaseState};
use crate::backoff;
use crate::controller::{self, Error};

/// How soon a Database is looked at again whose instance this process has not looked at yet.
const UNSEEN_REST: Duration = Duration::from_secs(1);

/// A pass that waited for a lock that someone holds kept a connection for nothing. The next one waits longer each time,
/// whatever is asked for.
const LOCK_WAIT: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_mins(1);

/// When to look again, if no pass is due now.
pub fn not_yet(context: &Context, database: &Database) -> Option<Action> {
    let uid = database.uid().unwrap_or_default();
    let revisits = &context.revisits;
    if let Some(rest) = revisits.gone(&uid, Instant::now()) {
        return Some(Action::requeue(rest));
    }
    if revisits.is_news(&uid, ForBackups::of(database)) {
        wake::backups(context, database);
    }
    if context.is_unseen(&database.spec.instance_ref.name) {
        // Its databases have to wait for it.
        return Some(Action::requeue(UNSEEN_REST));
    }
    let now = Instant::now();
    let deleting = database.metadata.deletion_timestamp.is_some();
    if let Some(wait) = revisits.lock_wait(&uid, deleting, now) {
        return Some(Action::requeue(wait));
    }
    let rest = revisits.rest(&uid, &about(context, database), now)?;
    Some(Action::requeue(backups::rest(database, rest)))
}

/// Whether someone waits for what a pass does: a new Database, a changed spec, a deletion.
pub fn is_urgent(database: &Database) -> bool {
    let status = database.status.as_ref();
    database.metadata.deletion_timestamp.is_some()
        || matches!(database.state(), None | Some(DatabaseState::Creating))
        || status.and_then(|status| status.observed_generation) != database.metadata.generation
}

/// A pass that has begun. What is remembered of it is what was so when it began.
pub struct Begun {
    uid: String,
    at: Instant,
    invalidations: u64,
    about: About,
    /// What lives inside the database is to be checked, too.
    pub deep: bool,
    /// When the server was last asked or changed for this Database.
    pub settled: Option<Instant>,
}

/// To be called before a pass looks at anything.
pub fn begin(context: &Context, database: &Database) -> Begun {
    let uid = database.uid().unwrap_or_default();
    let revisits = &context.revisits;
    let at = Instant::now();
    Begun {
        at,
        invalidations: revisits.invalidations(&uid),
        about: about(context, database),
        deep: revisits.is_deep_due(&uid, at),
        settled: revisits.settled(&uid),
        uid,
    }
}

/// Remembers how a pass ended, and says when the next is due.
pub fn end(
    context: &Context,
    database: &Database,
    begun: Begun,
    result: Result<Outcome, Error>,
) -> Result<Action, Error> {
    let now = begun.at;
    let resync = backoff::spread_evenly(context.resync, rand::random());
    let (rest, looked_deep, anew) = match &result {
        Ok(Outcome::Gone) => {
            context.revisits.let_go(&begun.uid, now);
            wake::backups(context, database);
            return Ok(Action::await_change());
        }
        Ok(Outcome::Settled { deep, anew }) => (resync, *deep, *anew),
        Ok(Outcome::Stalled) => (resync, false, true),
        Ok(Outcome::Later(rest)) => (*rest, false, true),
        Err(_) => (rest_after_failure(context, database), false, true),
    };
    let lock_wait = match &result {
        Err(error) if error.has_waited() => lock_wait(context, database),
        Ok(_) | Err(_) => Duration::ZERO,
    };
    let next_deep = now + context.deep_resync;
    // A process that just began does not look deeply at everything at once.
    let first_deep = now + context.deep_resync.mul_f64(rand::random());
    let note = Note {
        about: begun.about,
        invalidations: begun.invalidations,
        rest,
        deep_due: looked_deep.then_some(next_deep),
        first_deep,
        anew,
        oldest: now.checked_sub(context.resync * 2).unwrap_or(now),
        lock_wait,
    };
    context.revisits.note(&begun.uid, note, Instant::now());
    result.map(|_| Action::requeue(backups::rest(database, rest)))
}

/// What a pass would be about now.
fn about(context: &Context, database: &Database) -> About {
    let instance = context.instances.get(&database.spec.instance_ref.name);
    let backups = backups::fingerprint(&context.cache, &context.namespace, database);
    About::of(database, instance.as_ref(), backups)
}

fn lock_wait(context: &Context, database: &Database) -> Duration {
    backoff::delay_within(LOCK_WAIT, failures(context, database), rand::random())
}

/// An object that failed rests until it is tried again, unless something that it depends on changes: writing its own
/// conditions wakes it, too.
fn rest_after_failure(context: &Context, database: &Database) -> Duration {
    backoff::delay(failures(context, database), 0.0)
}

/// How often it failed in a row, with this time.
fn failures(context: &Context, database: &Database) -> u32 {
    let key = controller::key::<Database>(database);
    context.failures.count(&key).saturating_add(1)
}
