//! The Backups of a Database: which one's turn it is, what became of the one that has it, and telling them.
//!
//! What the store of Backups shows may be behind what their controller wrote. A pass runs again when it shows something
//! else ([`Digest`]); what it does not show at all is asked for before it counts as gone.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::Context;
use super::pass::Pass;
use super::state::BackupSeen;
use crate::api::{Backup, BackupState, Database, DatabaseState};
use crate::client::lenient::Readable;
use crate::controller::Error;
use crate::queue::line_of_database::first_in_line;

/// How often it is asked, of what is at hand, whether a Backup that a Database waits for changed or vanished. Nobody
/// announces a Backup that was deleted before its turn.
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
pub struct Digest {
    turn: Option<BackupFacts>,
    final_backup: Option<BackupFacts>,
}

/// What a pass over this Database would depend on now, as the store shows it.
pub fn digest(context: &Context, database: &Database) -> Digest {
    let facts = |backup: Option<Backup>| backup.as_ref().map(BackupFacts::of);
    Digest {
        turn: facts(match turn_of(database) {
            Turn::Nobodys => None,
            Turn::OfTheFirst => first_shown(context, database),
            Turn::Of { name, .. } => shown(context, &namespace(database), name),
        }),
        final_backup: facts(
            awaited(database).and_then(|name| shown(context, &context.namespace, name)),
        ),
    }
}

/// How long a Database may rest, given how long it could without its Backups.
pub fn rest(database: &Database, rest: Duration) -> Duration {
    let waits = match turn_of(database) {
        Turn::Nobodys | Turn::OfTheFirst => awaited(database).is_some(),
        Turn::Of { .. } => true,
    };
    if waits { rest.min(LOOK) } else { rest }
}

/// Whose turn it is among the Backups of a Database.
enum Turn<'a> {
    /// In this state there are no turns.
    Nobodys,
    /// The first in line may be named.
    OfTheFirst,
    /// It was given to this one.
    Of { name: &'a str, uid: &'a str },
}

fn turn_of(database: &Database) -> Turn<'_> {
    match database.state() {
        Some(DatabaseState::Created) => Turn::OfTheFirst,
        Some(
            DatabaseState::BackupRequested
            | DatabaseState::BackupInProgress
            | DatabaseState::BackupCompleted,
        ) => database
            .status
            .as_ref()
            .and_then(|status| status.backup.as_ref())
            .map_or(Turn::Nobodys, |backup| Turn::Of {
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
        ) => Turn::Nobodys,
    }
}

/// The name of the final backup, while it is not known to be complete.
fn awaited(database: &Database) -> Option<&str> {
    let last = database.status.as_ref()?.final_backup.as_ref()?;
    (!last.completed).then_some(last.name.as_str())
}

/// The Backup that a pass is about: the one whose turn it is, or the first in line.
pub async fn current(pass: &Pass<'_>) -> Result<Option<Backup>, Error> {
    match turn_of(&pass.database) {
        Turn::Nobodys => Ok(None),
        Turn::OfTheFirst => first(pass).await,
        Turn::Of { name, uid } => find(pass.context, &pass.namespace(), name, Some(uid)).await,
    }
}

/// The Backup that `status.finalBackup` names, as it is now.
pub async fn final_backup(pass: &Pass<'_>) -> Result<Option<Backup>, Error> {
    let Some(name) = awaited(&pass.database) else {
        return Ok(None);
    };
    let found = find(pass.context, &pass.context.namespace, name, None).await?;
    Ok(found.filter(|backup| is_of(backup, &pass.database, &pass.context.namespace)))
}

/// What a decision needs to know of a Backup. One that is deleted before it began never begins.
pub fn seen(backup: Option<&Backup>) -> BackupSeen {
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

/// The first in line. It is asked for once more: the store may still show one that is done, and a turn costs writes.
async fn first(pass: &Pass<'_>) -> Result<Option<Backup>, Error> {
    let Some(backup) = first_shown(pass.context, &pass.database) else {
        return Ok(None);
    };
    if pass.database.spec.suspend {
        return Ok(Some(backup));
    }
    let (name, uid) = (backup.name_any(), backup.uid());
    let now = read(pass.context, &pass.namespace(), &name).await?;
    Ok(now.filter(|now| now.uid() == uid && seen(Some(now)) == BackupSeen::Waiting))
}

fn first_shown(context: &Context, database: &Database) -> Option<Backup> {
    let shown = all_shown(context);
    let line = shown
        .iter()
        .filter_map(|guarded| guarded.0.as_ref().ok())
        .filter(|backup| is_of(backup, database, &context.namespace))
        // A final backup has a turn of its own, but while one runs nothing else does.
        .filter(|backup| !is_final(backup) || backup.is_active());
    first_in_line(line).cloned()
}

/// A Backup as it is now, as far as that matters: what the store does not show is asked for. One of another UID is
/// another one.
pub async fn find(
    context: &Context,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
) -> Result<Option<Backup>, Error> {
    let same = |backup: &Backup| uid.is_none() || backup.metadata.uid.as_deref() == uid;
    if let Some(shown) = shown(context, namespace, name).filter(same) {
        return Ok(Some(shown));
    }
    Ok(read(context, namespace, name).await?.filter(same))
}

async fn read(context: &Context, namespace: &str, name: &str) -> Result<Option<Backup>, Error> {
    let api: Api<Backup> = Api::namespaced(context.client.clone(), namespace);
    api.get_opt(name)
        .await
        .map_err(Error::api("read the Backup"))
}

/// A Backup as the store shows it.
pub fn shown(context: &Context, namespace: &str, name: &str) -> Option<Backup> {
    let guarded = context
        .cache
        .backups
        .get(&ObjectRef::new(name).within(namespace))?;
    guarded.0.as_ref().ok().cloned()
}

fn all_shown(context: &Context) -> Vec<Arc<Readable<Backup>>> {
    context.cache.backups.state()
}

/// Whether a Backup is of this Database. Another namespace counts only in the operator's own.
pub fn is_of(backup: &Backup, database: &Database, home: &str) -> bool {
    let reference = &backup.spec.database_ref;
    let place = backup.metadata.namespace.as_deref();
    let wanted = database.metadata.namespace.as_deref();
    Some(reference.name.as_str()) == database.metadata.name.as_deref()
        && match reference.namespace.as_deref() {
            None => place == wanted,
            Some(named) => place == Some(home) && Some(named) == wanted,
        }
}

/// Whether a Backup of a Database is one before its deletion.
fn is_final(backup: &Backup) -> bool {
    backup.spec.database_ref.namespace.is_some()
}

fn namespace(database: &Database) -> String {
    database.namespace().unwrap_or_default()
}

/// What the Backups of a Database depend on of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    state: Option<DatabaseState>,
    deleting: bool,
    suspended: bool,
    backup: Option<String>,
    final_backup: Option<String>,
}

impl Default for Told {
    /// What no Backup is told: that there is nothing to tell.
    fn default() -> Self {
        Self {
            state: Some(DatabaseState::Created),
            deleting: false,
            suspended: false,
            backup: None,
            final_backup: None,
        }
    }
}

impl Told {
    /// What the Backups of this Database depend on now.
    pub fn of(database: &Database) -> Self {
        let status = database.status.as_ref();
        Self {
            state: database.state(),
            deleting: database.metadata.deletion_timestamp.is_some(),
            suspended: database.spec.suspend,
            backup: status
                .and_then(|status| status.backup.as_ref())
                .map(|backup| backup.uid.clone()),
            final_backup: status
                .and_then(|status| status.final_backup.as_ref())
                .map(|last| last.name.clone()),
        }
    }
}

/// Has all Backups of a Database looked at that are not at their end. To be called when the store of Databases shows
/// what changed: what they are told before, they would not find there.
pub fn wake(context: &Context, database: &Database) {
    for guarded in all_shown(context) {
        let Ok(backup) = &guarded.0 else { continue };
        let ended = backup.state().is_some_and(BackupState::is_terminal);
        if !ended && is_of(backup, database, &context.namespace) {
            context.triggers.backups.send(&guarded);
        }
    }
}

#[cfg(test)]
#[path = "backups_tests.rs"]
mod tests;
