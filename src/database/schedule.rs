//! When a Database is looked at: whether a pass is due, and what is remembered of one that ended.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::concerns::{self, Notice};
use super::remembered::{About, Due, Looked};
use super::wake::{self, ForBackups};
use super::{Context, backups};
use crate::api::{Database, DatabaseState};
use crate::backoff;
use crate::controller::{self, Error, Outcome, revisit};

/// How soon a Database is looked at again whose instance this process has not looked at yet.
const UNSEEN_REST: Duration = Duration::from_secs(1);

/// A pass that waited for a lock that someone holds kept a connection for nothing. The next one waits longer each time,
/// whatever is asked for.
const LOCK_WAIT: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_mins(1);

/// When to look again, if no pass is due now.
pub(super) fn not_yet(context: &Context, database: &Database) -> Option<Action> {
    let uid = database.uid().unwrap_or_default();
    if context.remembered.is_news(&uid, ForBackups::of(database)) {
        // Its Backups read the same cache.
        wake::backups(context, database);
    }
    if context.is_unseen(&database.spec.instance_ref.name) {
        // Its databases have to wait for it.
        return Some(Action::requeue(UNSEEN_REST));
    }
    let (about, now) = (about(context, database), Instant::now());
    if let Some(wait) = context.revisit.locked_out(&uid, &about, now) {
        return Some(Action::requeue(wait));
    }
    let rest = context.revisit.rest(&uid, &about, now)?;
    Some(Action::requeue(backups::rest(database, rest)))
}

/// Whether someone waits for what a pass does: a new Database, a changed spec, a deletion.
pub(super) fn is_urgent(database: &Database) -> bool {
    let status = database.status.as_ref();
    database.metadata.deletion_timestamp.is_some()
        || matches!(database.state(), None | Some(DatabaseState::Creating))
        || status.and_then(|status| status.observed_generation) != database.metadata.generation
}

/// A pass that has begun. What is remembered of it is what was so when it began.
pub(super) struct Begun {
    pass: revisit::Begun<About>,
    /// What lives inside the database is to be checked, too.
    pub deep: bool,
    /// It is to be proved that the user can log in.
    pub proof: bool,
    /// What the last look inside found that a person has to know.
    pub inside: Option<Notice>,
    /// When the server was last asked or changed for this Database.
    pub settled: Option<Instant>,
    /// How the pass looked at the server. Counts only if the pass does not fail.
    pub looked: Looked,
    /// The act `Maintain` was done, and nothing was in its way.
    pub maintained: bool,
}

/// To be called before a pass looks at anything.
pub(super) fn begin(context: &Context, database: &Database) -> Begun {
    let (uid, now) = (database.uid().unwrap_or_default(), Instant::now());
    let proof_due = context.remembered.proof_due(&uid);
    let told = concerns::inside_told(database);
    Begun {
        pass: (context.revisit).begin(&uid, about(context, database), now),
        deep: context.remembered.is_deep_due(&uid, now),
        // What is told of the inside by a former process stays told if it is still so: this one has to know at once.
        proof: proof_due.map_or_else(|| told.is_some(), |due| now >= due),
        inside: if proof_due.is_some() {
            context.remembered.inside(&uid)
        } else {
            told
        },
        settled: context.remembered.settled(&uid),
        looked: Looked::default(),
        maintained: false,
    }
}

/// Remembers how a pass ended, and says when the next is due.
pub(super) fn end(
    context: &Context,
    database: &Database,
    begun: Begun,
    result: Result<Outcome, Error>,
) -> Result<Action, Error> {
    let (uid, now) = (begun.pass.uid().to_owned(), Instant::now());
    let resync = backoff::spread_evenly(context.resync, rand::random());
    let rest = match &result {
        Ok(outcome) => outcome.rest(resync),
        Err(_) => Some(rest_after_failure(context, database)),
    };
    let (maintained, proved) = (begun.maintained, begun.looked.proved);
    let Some(rest) = rest else {
        context.revisit.forget(&uid);
        context.remembered.forget(&uid);
        wake::backups(context, database);
        return Ok(Action::await_change());
    };
    let looked = result
        .as_ref()
        .map_or_else(|_| Looked::default(), |_| begun.looked);
    let due = due(context, begun.pass.at);
    context.remembered.note(&uid, looked, &due, now);
    // A pass that something else woke does not put off the next login.
    let proof_due = (context.remembered.proof_due(&uid)).filter(|_| maintained && !proved);
    let rest = proof_due.map_or(rest, |due| rest.min(due.saturating_duration_since(now)));
    context.revisit.note(begun.pass, now + rest, now);
    if result.as_ref().is_err_and(Error::has_waited) {
        let until = now + lock_wait(context, database);
        context.revisit.lock_out(&uid, until);
    }
    result.map(|_| Action::requeue(backups::rest(database, rest)))
}

fn due(context: &Context, began: Instant) -> Due {
    Due {
        next_deep: began + context.deep_resync,
        // A process that just began does not look deeply at everything at once.
        first_deep: began + context.deep_resync.mul_f64(rand::random()),
        // A little before the pass of the next resync, which comes up to a tenth earlier or later.
        next_proof: began + context.resync.mul_f64(0.85),
        first_proof: began + context.resync.mul_f64(rand::random()),
        oldest: began.checked_sub(context.resync * 2).unwrap_or(began),
    }
}

/// What a pass would be about now.
fn about(context: &Context, database: &Database) -> About {
    let instance = context.instances.get(&database.spec.instance_ref.name);
    let turns = &context.queues.turns;
    let backups = backups::fingerprint(&context.cache, turns, &context.namespace, database);
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
