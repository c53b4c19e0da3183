//! A Backup that has not begun: whether its turn has come, and if not, what it waits for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::Store;

use super::pass::{Obstacle, Pass};
use super::prepare::{self, Prepared};
use super::state;
use super::subject::{self, Finality, Sight, Subject};
use super::turn::{self, Candidate};
use super::walk::{End, FIRST_LOOK};
use crate::api::{Backup, BackupReason, Database, DatabaseState};
use crate::controller::Context;
use crate::error::Error;

/// How soon a Backup is looked at again that waits for another one to end.
const SOON: Duration = Duration::from_secs(5);

/// What the backup needs, if it may begin now; or what it waits for.
pub async fn look(pass: &Pass<'_>) -> Result<Box<Prepared>, Obstacle> {
    let memory = &pass.context.backup.memory;
    let found = ready(pass).await;
    let obstructed = found.as_ref().is_err_and(Obstacle::is_final);
    if memory.is_obstructed(&pass.uid()) != obstructed {
        memory.obstruct(&pass.uid(), obstructed);
    }
    let (prepared, wants) = found?;
    let known = candidates(pass.context);
    let limits = pass.context.backup.limits;
    if pass.context.backup.places.take(&wants, known, limits) {
        return Ok(prepared);
    }
    let message = format!(
        "{} backups run, or {} on instance {}, and older ones are first (--max-backups, --max-backups-per-instance)",
        limits.overall, limits.per_instance, wants.instance
    );
    Err(Obstacle::new(BackupReason::WaitingForTurn, message))
}

/// What the backup needs, if it is its turn among those of its Database.
async fn ready(pass: &Pass<'_>) -> Result<(Box<Prepared>, Candidate), Obstacle> {
    let (database, finality) = named(pass).await?;
    let siblings = subject::siblings(pass.context, &pass.backup);
    let another = siblings.iter().find(|other| other.is_active());
    if let Some(other) = another.filter(|_| !state::has_turn(true, another.is_some())) {
        let message = format!("the backup {} of this Database is active", other.name_any());
        return Err(Obstacle::new(BackupReason::WaitingForTurn, message));
    }
    let wants = candidate(&pass.backup, &database, false);
    let prepared = prepare::prepare(pass, database, finality).await?;
    Ok((Box::new(prepared), wants))
}

/// The Database, if it names this backup.
async fn named(pass: &Pass<'_>) -> Result<(Database, Finality), Obstacle> {
    let (mut database, finality) = known(pass, Sight::Cached).await?;
    let is_named =
        |database: &Database| turn::is_named(database, &pass.backup, finality == Finality::Final);
    if !is_named(&database) && may_be_named(pass, finality) {
        // The Database's controller may have named it a moment ago.
        database = known(pass, Sight::Fresh).await?.0;
    }
    if is_named(&database) {
        return Ok((database, finality));
    }
    Err(waits_for(&database, finality))
}

/// Whether a Database may name this backup next.
fn may_be_named(pass: &Pass<'_>, finality: Finality) -> bool {
    let siblings = subject::siblings(pass.context, &pass.backup);
    let line = siblings
        .iter()
        .filter(|other| other.spec.database_ref.namespace.is_none())
        .chain([&pass.backup]);
    finality == Finality::Final
        || state::first_in_line(line).is_some_and(|first| first.uid() == pass.backup.uid())
}

async fn known(pass: &Pass<'_>, sight: Sight) -> Result<(Database, Finality), Obstacle> {
    let reference = &pass.backup.spec.database_ref;
    match subject::find(pass.context, &pass.backup, sight).await? {
        Subject::Known(database, finality) => Ok((*database, finality)),
        Subject::Missing => {
            let message = format!(
                "there is no Database {} in namespace {}",
                reference.name,
                pass.backup.database_namespace().unwrap_or_default()
            );
            Err(Obstacle::new(BackupReason::DatabaseNotFound, message))
        }
        Subject::Foreign => {
            let message = "spec.databaseRef.namespace is not accepted here: make a Backup in the Database's namespace, \
                without that field";
            Err(Obstacle::new(BackupReason::ForeignNamespace, message))
        }
    }
}

/// What a backup that is not named waits for.
fn waits_for(database: &Database, finality: Finality) -> Obstacle {
    let deleting = database.metadata.deletion_timestamp.is_some();
    let (reason, message) = match (finality, deleting, database.state()) {
        (Finality::Final, _, _) => (
            BackupReason::WaitingForTurn,
            "the Database does not ask for this final backup (any more)",
        ),
        (Finality::Ordinary, true, _) => (
            BackupReason::WaitingForDatabase,
            "the Database is being deleted: no new backup of it begins",
        ),
        (Finality::Ordinary, false, None | Some(DatabaseState::Creating)) => (
            BackupReason::WaitingForDatabase,
            "the Database is not created yet",
        ),
        (Finality::Ordinary, false, Some(_)) if database.spec.suspend => (
            BackupReason::WaitingForDatabase,
            "the Database is suspended (its spec.suspend): no new backup of it begins",
        ),
        (Finality::Ordinary, false, Some(_)) => (
            BackupReason::WaitingForTurn,
            "an older backup of this Database is first",
        ),
    };
    Obstacle::new(reason, message)
}

/// All Backups that run, or that wait for a place alone.
fn candidates(context: &Context) -> Vec<Candidate> {
    subject::all(context)
        .iter()
        .filter_map(|backup| {
            if backup.is_active() {
                let instance = backup.status.as_ref()?.source.as_ref()?.instance.clone();
                return Some(Candidate {
                    uid: backup.uid()?,
                    instance,
                    created: None,
                    name: backup.name_any(),
                    active: true,
                });
            }
            let waits = backup.state().is_none() && backup.metadata.deletion_timestamp.is_none();
            let obstructed = context
                .backup
                .memory
                .is_obstructed(&backup.uid().unwrap_or_default());
            if !waits || obstructed {
                return None;
            }
            let database = cached(context, backup)?;
            let finality = Finality::of(backup, &context.namespace)?;
            turn::is_named(&database, backup, finality == Finality::Final)
                .then(|| candidate(backup, &database, false))
        })
        .collect()
}

fn cached(context: &Context, backup: &Backup) -> Option<Database> {
    use kube::runtime::reflector::ObjectRef;
    let key = ObjectRef::new(&backup.spec.database_ref.name).within(&backup.database_namespace()?);
    context.databases.get()?.get(&key)?.0.as_ref().ok().cloned()
}

fn candidate(backup: &Backup, database: &Database, active: bool) -> Candidate {
    Candidate {
        uid: backup.uid().unwrap_or_default(),
        instance: database.spec.instance_ref.name.clone(),
        created: backup.creation_timestamp().map(|time| time.0),
        name: backup.name_any(),
        active,
    }
}

/// Says what a backup waits for.
pub async fn report(pass: &mut Pass<'_>, obstacle: Option<Obstacle>) -> Result<End, Error> {
    let Some(obstacle) = obstacle else {
        return Ok(End::Waits);
    };
    if let Some(Error::Changed { .. } | Error::NotLeading) = obstacle.retry.as_deref() {
        return obstacle.retry.map_or(Ok(End::Waits), |error| Err(*error));
    }
    let first = pass
        .backup
        .status
        .as_ref()
        .is_none_or(|status| status.conditions.is_empty());
    let young = pass.backup.creation_timestamp().is_some_and(|created| {
        let age = Timestamp::now().duration_since(created.0);
        age < SignedDuration::try_from(FIRST_LOOK).unwrap_or(SignedDuration::ZERO)
    });
    if first && young && !obstacle.is_final() {
        // Its turn may come at once: then this would have been a write for nothing.
        return Ok(End::Again(FIRST_LOOK));
    }
    let waits_for_another = obstacle.reason == BackupReason::WaitingForTurn;
    let next = pass.status();
    // An API server that fails is no reason to say `Starting` of what does not start.
    if obstacle.reason != BackupReason::Starting {
        pass.report(next, obstacle.reason, obstacle.message).await?;
    }
    match obstacle.retry {
        Some(error) => Err(*error),
        None if waits_for_another => Ok(End::Again(SOON)),
        None => Ok(End::Waits),
    }
}

/// A place is free, or a Database's turn is: whoever waits looks.
pub fn wake_others(context: &Context) {
    let all = context.backups.get().map(Store::state).unwrap_or_default();
    for guarded in &all {
        let Ok(backup) = &guarded.0 else { continue };
        if backup.state().is_none() {
            context
                .backup
                .memory
                .suspect(&backup.uid().unwrap_or_default());
            context.backup_triggers.send(guarded);
        }
    }
}
