//! The Backups of a Database: which one is current, and what became of it. None begins while a Restore has its turn. Reads only.
//!
//! The cache of Backups may be behind what their controller wrote. A pass runs again when the cache has something else
//! ([`Fingerprint`]); what it lacks is read from the API server before it counts as gone.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::restores;
use super::state::BackupSeen;
use super::view::View;
use crate::api::{Backup, BackupState, Database, DatabaseState};
use crate::client::lenient::Readable;
use crate::controller::Error;
use crate::controller::cache::Cache;
use crate::queue::line_of_database::first_in_line;
use crate::queue::turns::Turns;

/// How often the cache is asked whether a Backup that a Database waits for changed or vanished. Nothing announces a Backup
/// that was deleted before it began.
const LOOK: Duration = Duration::from_secs(5);

/// What a pass depends on of a Backup.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BackupFacts {
    uid: Option<String>,
    state: Option<BackupState>,
    deleting: bool,
}

impl BackupFacts {
    fn of(backup: &Backup) -> Self {
        Self {
            uid: backup.uid(),
            state: backup.state(),
            deleting: backup.metadata.deletion_timestamp.is_some(),
        }
    }
}

/// What a pass over a Database depends on of its Backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    restores: restores::Fingerprint,
    current: Option<BackupFacts>,
    final_backup: Option<BackupFacts>,
}

/// What a pass over this Database would depend on now, as the cache has it. `home` is the operator's own namespace.
pub(super) fn fingerprint(
    cache: &Cache,
    turns: &Turns,
    home: &str,
    database: &Database,
) -> Fingerprint {
    let facts = |backup: Option<Backup>| backup.as_ref().map(BackupFacts::of);
    Fingerprint {
        restores: restores::fingerprint(cache, turns, database),
        current: facts(match current_of(database) {
            Current::None => None,
            Current::First => first_cached(&cache.backups.state(), home, database),
            Current::Named { name, .. } => {
                let namespace = database.namespace().unwrap_or_default();
                cached(cache, &namespace, name)
            }
        }),
        final_backup: facts(awaited(database).and_then(|name| cached(cache, home, name))),
    }
}

/// How long a Database may rest, given how long it could without its Backups.
pub(super) fn rest(database: &Database, rest: Duration) -> Duration {
    let waits = match current_of(database) {
        Current::None | Current::First => awaited(database).is_some(),
        Current::Named { .. } => true,
    } || restores::has_turn(database)
        || database.has_yet_to_begin();
    if waits { rest.min(LOOK) } else { rest }
}

/// Which of the Backups of a Database is current.
enum Current<'a> {
    /// In this state, none is.
    None,
    /// The first in line: it may be named in the status.
    First,
    /// The one that the status names.
    Named { name: &'a str, uid: &'a str },
}

fn current_of(database: &Database) -> Current<'_> {
    match database.state() {
        Some(DatabaseState::Created) => Current::First,
        Some(
            DatabaseState::BackupRequested
            | DatabaseState::BackupInProgress
            | DatabaseState::BackupCompleted,
        ) => database
            .status
            .as_ref()
            .and_then(|status| status.backup.as_ref())
            .map_or(Current::None, |backup| Current::Named {
                name: &backup.name,
                uid: &backup.uid,
            }),
        None
        | Some(
            DatabaseState::Creating
            | DatabaseState::BackupBeforeDeleteRequested
            | DatabaseState::BackupBeforeDeleteInProgress
            | DatabaseState::BackupBeforeDeleteCompleted
            | DatabaseState::DeletionRequested
            | DatabaseState::DeletionInProgress
            | DatabaseState::Deleted,
        ) => Current::None,
    }
}

/// The name of the final backup, while it is not known to be complete.
fn awaited(database: &Database) -> Option<&str> {
    let last = database.status.as_ref()?.final_backup.as_ref()?;
    (!last.completed).then_some(last.name.as_str())
}

/// The Backup that a pass is about: the one that the status names, or else the first in line.
pub(super) async fn current(view: &View<'_>) -> Result<Option<Backup>, Error> {
    match current_of(view.database()) {
        Current::None => Ok(None),
        Current::First => first(view).await,
        Current::Named { name, uid } => view.find_backup(&view.namespace(), name, Some(uid)).await,
    }
}

/// The Backup that `status.finalBackup` names, as it is now.
pub(super) async fn final_backup(view: &View<'_>) -> Result<Option<Backup>, Error> {
    let (database, home) = (view.database(), view.home());
    let Some(name) = awaited(database) else {
        return Ok(None);
    };
    let found = view.find_backup(home, name, None).await?;
    Ok(found.filter(|backup| is_of(backup, database, home)))
}

/// What a decision needs to know of a Backup. One that is deleted before it began never begins.
pub(super) fn seen(backup: Option<&Backup>) -> BackupSeen {
    let Some(backup) = backup else {
        return BackupSeen::None;
    };
    match backup.state() {
        None if backup.metadata.deletion_timestamp.is_some() => BackupSeen::None,
        None => BackupSeen::Waiting,
        Some(BackupState::Starting | BackupState::BackingUp) => BackupSeen::Active,
        Some(BackupState::Completed) => BackupSeen::Completed,
        Some(BackupState::Failed) => BackupSeen::Failed,
    }
}

/// The first in line. It is read once more: the cache may still have one that is done, and naming it costs writes.
async fn first(view: &View<'_>) -> Result<Option<Backup>, Error> {
    let database = view.database();
    if restores::has_turn(database) {
        return Ok(None);
    }
    let Some(backup) = first_cached(&view.cached_backups(), view.home(), database) else {
        return Ok(None);
    };
    if database.spec.suspend {
        return Ok(Some(backup));
    }
    let (name, uid) = (backup.name_any(), backup.uid());
    let now = view.read_backup(&view.namespace(), &name).await?;
    Ok(now.filter(|now| now.uid() == uid && seen(Some(now)) == BackupSeen::Waiting))
}

fn first_cached(
    backups: &[Arc<Readable<Backup>>],
    home: &str,
    database: &Database,
) -> Option<Backup> {
    let line = backups
        .iter()
        .filter_map(|guarded| guarded.0.as_ref().ok())
        .filter(|backup| is_of(backup, database, home))
        // A final backup is asked for by the Database itself, but nothing else begins while one runs.
        .filter(|backup| !is_final(backup) || backup.is_active());
    first_in_line(line).cloned()
}

/// A Backup as the cache has it.
pub(super) fn cached(cache: &Cache, namespace: &str, name: &str) -> Option<Backup> {
    let key = ObjectRef::new(name).within(namespace);
    cache.backups.get(&key)?.0.as_ref().ok().cloned()
}

/// Whether a Backup is of this Database. `home` is the operator's own namespace.
pub(super) fn is_of(backup: &Backup, database: &Database, home: &str) -> bool {
    let meta = &database.metadata;
    let key = meta.namespace.as_deref().zip(meta.name.as_deref());
    key.is_some() && backup.database_key(home) == key
}

/// Whether a Backup of a Database is one before its deletion.
fn is_final(backup: &Backup) -> bool {
    backup.spec.database_ref.namespace.is_some()
}

#[cfg(test)]
#[path = "backups_tests.rs"]
mod tests;
