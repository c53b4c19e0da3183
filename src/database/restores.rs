//! The Restores of a Database: whose turn it is, and when nothing of it may be altered.
//!
//! A Restore begins when `status.restore` names it, and a Backup when `status.backup` does: this controller alone writes both,
//! so that one of them runs at a time. The turn of one that failed ends when what it made is removed: until then a database
//! that is loaded into itself is half full.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::blocked::Blocked;
use super::pass::Pass;
use super::view::View;
use super::{former, init};
use crate::api::database::{DatabaseRestore, DatabaseStatus, DeletionEffect, Replaced};
use crate::api::instance::Provider;
use crate::api::{
    Database, DatabaseReason, DatabaseState, Restore, RestoreState, UNDO_REQUESTED_AT,
};
use crate::controller::Error;
use crate::controller::cache::Cache;
use crate::queue::line_of_database::first_restore;
use crate::queue::turns::Turns;

/// What a pass over a Database depends on of its Restores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    named: Option<Seen>,
    first: Option<String>,
    former: Option<Replaced>,
    beginning: Option<init::Seen>,
}

/// What it depends on of the Restore that has its turn, or had it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    state: Option<RestoreState>,
    deleting: bool,
    unclean: bool,
}

/// What a pass over this Database would depend on now, as the cache has it.
pub(super) fn fingerprint(cache: &Cache, turns: &Turns, database: &Database) -> Fingerprint {
    let named = named(database).and_then(|named| cached(cache, database, &named.name));
    Fingerprint {
        named: named.map(|restore| Seen {
            state: restore.state(),
            deleting: restore.metadata.deletion_timestamp.is_some(),
            unclean: restore.is_unclean(),
        }),
        first: next(cache, turns, database).and_then(|restore| restore.uid()),
        former: former::newest(&of(cache, database)),
        beginning: init::seen(cache, database),
    }
}

/// The Restore whose turn it is, or the last one that ended.
fn named(database: &Database) -> Option<&DatabaseRestore> {
    database.status.as_ref()?.restore.as_ref()
}

/// Whether a Restore has its turn: no backup begins beside it. It may vanish without a word: nothing announces that one that
/// is being deleted has lost its finalizer, or never had one.
pub(super) fn has_turn(database: &Database) -> bool {
    named(database).is_some_and(is_at_work)
}

fn is_at_work(named: &DatabaseRestore) -> bool {
    named.state.is_none_or(|state| !state.is_terminal())
}

/// Whether a Restore is at work on the database itself, so that nothing else may alter it: in the moment of the switch, and
/// on MySQL and MariaDB, which load into the database itself, from its turn on.
pub(super) fn holds(database: &Database, provider: Provider) -> bool {
    let Some(named) = named(database) else {
        return false;
    };
    match provider {
        Provider::Postgresql => named.state == Some(RestoreState::Switching),
        Provider::Mysql => has_turn(database),
    }
}

/// Whether someone asked for the database that was replaced, and that was not answered yet: names are about to be swapped.
/// That waits while the Database is suspended or being backed up.
pub(super) fn is_being_undone(cache: &Cache, database: &Database) -> bool {
    if database.state() != Some(DatabaseState::Created) || database.spec.suspend {
        return false;
    }
    of(cache, database).iter().any(|restore| {
        let status = restore.status.as_ref();
        let asked = restore.annotations().get(UNDO_REQUESTED_AT);
        let answered = status.and_then(|status| status.handled.get(UNDO_REQUESTED_AT));
        let kept = former::newest(std::slice::from_ref(restore));
        kept.is_some() && asked.is_some() && asked != answered
    })
}

/// Whether people have to know that: a Restore that has its turn has done nothing yet, and an undoing is a matter of seconds.
pub(super) fn is_under_way(database: &Database) -> bool {
    named(database).is_some_and(|named| named.state.is_some_and(|state| !state.is_terminal()))
}

/// The status with what its Restores are now.
pub(super) async fn noted(
    view: &View<'_>,
    turns: &Turns,
    cache: &Cache,
) -> Result<DatabaseStatus, Error> {
    let database = view.database();
    let mut next = view.status().cloned().unwrap_or_default();
    if let Some(named) = named(database) {
        let found = view.find_restore(&named.name, &named.uid).await?;
        next.restore = found.and_then(|restore| what_became(named, &restore));
    }
    let is_free = !next.restore.as_ref().is_some_and(is_at_work);
    if is_free && let Some(restore) = self::next(cache, turns, database) {
        next.restore = Some(entry(&restore));
    }
    next.former = former::noted(cache, database);
    Ok(next)
}

/// What the status says of the Restore that has its turn, or had it; `None` if it never begins.
fn what_became(named: &DatabaseRestore, restore: &Restore) -> Option<DatabaseRestore> {
    if restore.state().is_none() && restore.metadata.deletion_timestamp.is_some() {
        // One that is deleted before it began never begins.
        return None;
    }
    let now = entry(restore);
    if !restore.is_unclean() {
        return Some(now);
    }
    // What it loaded, or locked, is still there: its turn is not over.
    Some(DatabaseRestore {
        state: Some(failed_in(named, restore)),
        ..now
    })
}

/// The state in which a restore failed, as far as others depend on it: in a switch it may have locked the target.
fn failed_in(named: &DatabaseRestore, restore: &Restore) -> RestoreState {
    let status = restore.status.as_ref();
    if status.is_some_and(|status| status.switching_since.is_some()) {
        return RestoreState::Switching;
    }
    let known = named.state.filter(|state| !state.is_terminal());
    known.unwrap_or(RestoreState::Preparing)
}

fn entry(restore: &Restore) -> DatabaseRestore {
    DatabaseRestore {
        name: restore.name_any(),
        uid: restore.uid().unwrap_or_default(),
        state: restore.state(),
    }
}

/// The Restore that is next, if its turn has come.
fn next(cache: &Cache, turns: &Turns, database: &Database) -> Option<Restore> {
    if database.spec.suspend || database.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let restores = of(cache, database);
    if database.state() == Some(DatabaseState::Creating) {
        // Nothing else begins before this, and no backup waits before it: it would wait for the Database.
        let begins = restores.iter().find(|it| database.begins_with(it))?.uid()?;
        let asks = |uid: &str| uid == begins && turns.asks(uid);
        return first_restore(&restores, asks, std::iter::empty()).cloned();
    }
    if database.state() != Some(DatabaseState::Created) {
        return None;
    }
    let backups = cache.backups.state();
    let backups = backups
        .iter()
        .filter_map(|guarded| guarded.0.as_ref().ok())
        .filter(|backup| {
            let reference = &backup.spec.database_ref;
            reference.namespace.is_none()
                && reference.name == database.name_any()
                && backup.namespace() == database.namespace()
        });
    let is_for_beginning = |uid: &str| {
        let mut all = restores.iter();
        all.any(|it| it.is_for_beginning() && it.metadata.uid.as_deref() == Some(uid))
    };
    let asks = |uid: &str| turns.asks(uid) && !is_for_beginning(uid);
    first_restore(&restores, asks, backups).cloned()
}

/// The Restores of a Database, as the cache has them.
pub(super) fn of(cache: &Cache, database: &Database) -> Vec<Restore> {
    let all = cache.restores.state();
    let known = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    known
        .filter(|restore| is_of(restore, database))
        .cloned()
        .collect()
}

/// Whether a Restore is of this Database.
pub(super) fn is_of(restore: &Restore, database: &Database) -> bool {
    restore.metadata.namespace == database.metadata.namespace
        && restore
            .database_key()
            .is_some_and(|(_, name)| name == database.name_any())
}

/// A Restore as the cache has it.
pub(super) fn cached(cache: &Cache, database: &Database, name: &str) -> Option<Restore> {
    let namespace = database.namespace().unwrap_or_default();
    let key = ObjectRef::new(name).within(&namespace);
    cache.restores.get(&key)?.0.as_ref().ok().cloned()
}

/// Why a deletion cannot go on yet: a Restore is being cancelled, and what it made goes first. `effect` is what was decided,
/// once it is.
pub(super) fn in_the_way(pass: &Pass<'_>, effect: Option<DeletionEffect>) -> Option<Blocked> {
    let tenancy = pass.tenancy();
    if tenancy.is_forbidden() {
        // Nothing is changed on the server, by a Restore neither.
        return None;
    }
    if effect == Some(DeletionEffect::Keep) && tenancy.server_for(pass.object.holder()).is_err() {
        // `Retain` waits for no server, with a Restore neither: it removes what it made when the server is back.
        return None;
    }
    let restores = of(&pass.context.cache, &pass.object);
    let busy = restores.iter().find(|restore| restore.is_unfinished())?;
    Some(waits_for(busy, DatabaseReason::DeletionBlocked))
}

/// Why a new Database cannot be made yet: a Restore into a former one of its name is at work on the same database, or has
/// left something in it.
pub(super) fn left_before(pass: &Pass<'_>) -> Option<Blocked> {
    let server = pass.tenancy().server().ok()?;
    let restores = of(&pass.context.cache, &pass.object);
    let left = restores.iter().find(|restore| {
        restore.is_unfinished() && is_of_former(restore, &pass.object, server.identity())
    })?;
    Some(waits_for(left, DatabaseReason::Restoring))
}

/// Whether a Restore was begun for another Database object, and into the same database on this server.
fn is_of_former(restore: &Restore, database: &Database, server: &str) -> bool {
    let status = restore.status.as_ref();
    let target = status.and_then(|status| status.target.as_ref());
    target.is_some_and(|target| {
        Some(&target.database_uid) != database.metadata.uid.as_ref()
            && target.database == database.sql_name()
            && target.server_identity == server
    })
}

fn waits_for(restore: &Restore, reason: DatabaseReason) -> Blocked {
    let what = format!(
        "the restore {0} is being cancelled: what it made on the server goes first (kubectl describe restore {0})",
        restore.name_any()
    );
    Blocked::retried(reason, what.clone(), Error::Blocked { what })
}

#[cfg(test)]
#[path = "restores_tests.rs"]
mod tests;
