//! A Backup that has not begun: whether its turn has come, and if not, what it waits for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use super::pass::{Obstacle, Pass};
use super::prepare::{self, Prepared};
use super::slots::Neighbours;
use super::subject::{self, Finality, Sight, Subject};
use super::turn::{self, Candidate, Limits, Places};
use super::walk::{End, FIRST_LOOK};
use super::{start, state};
use crate::api::{Backup, BackupReason, Database, DatabaseState};
use crate::client::lenient::Readable;
use crate::controller::Context;
use crate::error::Error;
use crate::provider::Assessment;

/// How soon a Backup is looked at again that waits for another one to end.
const SOON: Duration = Duration::from_secs(5);

/// What a backup that may begin now needs.
pub struct Ready {
    /// All that it needs from outside.
    pub prepared: Arc<Prepared>,
    /// How large its dump will be, and what it would lack.
    pub assessment: Assessment,
}

/// What the backup needs, if it may begin now; or what it waits for. Its place is taken last, so that none is held while
/// something else is waited for: a lock, a connection, a server that does not answer.
pub async fn look(pass: &Pass<'_>) -> Result<Ready, Obstacle> {
    // Whom something else keeps from starting is nobody whom others wait for.
    let memory = &pass.context.backup.memory;
    let found = ready(pass).await;
    memory.obstruct(&pass.uid(), found.is_err());
    let (prepared, wants) = found?;
    if !place(pass, &wants, Places::is_free) {
        return Err(no_place(pass, &wants));
    }
    let assessed = start::assess(&prepared).await;
    memory.obstruct(&pass.uid(), assessed.is_err());
    let assessment = assessed.inspect_err(|obstacle| {
        if let Some(Error::Server(error)) = obstacle.retry.as_deref() {
            pass.context.note_failure(&wants.instance, error);
        }
    })?;
    if !place(pass, &wants, Places::take) {
        return Err(no_place(pass, &wants));
    }
    Ok(Ready {
        prepared,
        assessment,
    })
}

/// A place for a backup that has begun and handed its own back.
pub fn take_again(pass: &Pass<'_>, database: &Database) -> Result<(), Obstacle> {
    if !pass.context.backup.places.must_wait(&pass.uid()) {
        return Ok(());
    }
    let wants = candidate(&pass.backup, database);
    if place(pass, &wants, Places::take) {
        Ok(())
    } else {
        Err(no_place(pass, &wants))
    }
}

/// Asks for a place.
fn place(
    pass: &Pass<'_>,
    wants: &Candidate,
    ask: impl Fn(&Places, &Candidate, Vec<Candidate>, Limits, &Neighbours) -> bool,
) -> bool {
    let backup = &pass.context.backup;
    let known = candidates(pass.context);
    let neighbours = neighbours(pass.context);
    ask(&backup.places, wants, known, backup.limits, &neighbours)
}

fn no_place(pass: &Pass<'_>, wants: &Candidate) -> Obstacle {
    let limits = pass.context.backup.limits;
    let message = format!(
        "{} backups run, or {} on instance {}, or others are first: of the namespaces that wait, the one with the fewest \
         running backups, and the last places are kept for those that have none (--max-backups, \
         --max-backups-per-instance)",
        limits.overall, limits.per_instance, wants.instance
    );
    Obstacle::new(BackupReason::WaitingForTurn, message)
}

/// The namespaces that have databases on each instance. One that was refused there has none.
fn neighbours(context: &Context) -> Neighbours {
    let mut neighbours = Neighbours::default();
    for guarded in context.all_databases().unwrap_or_default() {
        let Ok(database) = &guarded.0 else { continue };
        let claimed = database.status.as_ref().is_some_and(|s| s.claim.is_some());
        if let (true, Some(namespace)) = (claimed, database.metadata.namespace.as_deref()) {
            neighbours.add(&database.spec.instance_ref.name, namespace);
        }
    }
    neighbours
}

/// What the backup needs, if it is its turn among those of its Database.
async fn ready(pass: &Pass<'_>) -> Result<(Arc<Prepared>, Candidate), Obstacle> {
    let (database, finality) = named(pass).await?;
    if let Some(other) = active_sibling(pass).filter(|_| !state::has_turn(true, true)) {
        let message = format!("the backup {other} of this Database is active");
        return Err(Obstacle::new(BackupReason::WaitingForTurn, message));
    }
    let wants = candidate(&pass.backup, &database);
    let prepared = prepare::prepare(pass, database, finality).await?;
    Ok((prepared, wants))
}

/// The name of another backup of the Database that is active.
fn active_sibling(pass: &Pass<'_>) -> Option<String> {
    let all = subject::all(pass.context);
    all.siblings(&pass.backup, &pass.context.namespace)
        .find(|other| other.is_active())
        .map(ResourceExt::name_any)
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
    if finality == Finality::Final {
        return true;
    }
    let all = subject::all(pass.context);
    let line = all
        .siblings(&pass.backup, &pass.context.namespace)
        .filter(|other| other.spec.database_ref.namespace.is_none())
        .chain([&pass.backup]);
    state::first_in_line(line).is_some_and(|first| first.metadata.uid == pass.backup.metadata.uid)
}

/// Whether it may be next: no other backup of its Database waits longer (one may be active), or it was named already.
fn may_be_next(pass: &Pass<'_>) -> bool {
    is_named(pass.context, &pass.backup) || is_first(pass)
}

/// Whether the Database names it, as far as the cache shows.
fn is_named(context: &Context, backup: &Backup) -> bool {
    let is_final = backup.spec.database_ref.namespace.is_some();
    cached(context, backup).is_some_and(|guarded| {
        let database = guarded.0.as_ref();
        database.is_ok_and(|database| turn::is_named(database, backup, is_final))
    })
}

fn is_first(pass: &Pass<'_>) -> bool {
    let all = subject::all(pass.context);
    let mut siblings = all.siblings(&pass.backup, &pass.context.namespace);
    !siblings.any(|other| {
        other.spec.database_ref.namespace == pass.backup.spec.database_ref.namespace
            && state::waits(other)
            && state::is_older(other, &pass.backup)
    })
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
    let all = subject::all(context);
    all.iter()
        .filter_map(|backup| {
            if backup.is_active() {
                let instance = backup.status.as_ref()?.source.as_ref()?.instance.clone();
                return Some(Candidate {
                    instance,
                    active: true,
                    ..of(backup)
                });
            }
            let obstructed = |uid: &str| context.backup.memory.is_obstructed(uid);
            if !state::waits(backup) || obstructed(&backup.uid().unwrap_or_default()) {
                return None;
            }
            let guarded = cached(context, backup)?;
            let database = guarded.0.as_ref().ok()?;
            let finality = Finality::of(backup, &context.namespace)?;
            turn::is_named(database, backup, finality == Finality::Final)
                .then(|| candidate(backup, database))
        })
        .collect()
}

/// The instance that a backup is of, as far as that is known: the one that it was begun on, or its Database's.
pub fn instance(context: &Context, backup: &Backup) -> String {
    let source = backup.status.as_ref().and_then(|s| s.source.as_ref());
    let begun_on = source.map(|source| source.instance.clone());
    let of_database = || {
        let guarded = cached(context, backup)?;
        let database = guarded.ok()?;
        Some(database.spec.instance_ref.name.clone())
    };
    begun_on.or_else(of_database).unwrap_or_default()
}

fn cached(context: &Context, backup: &Backup) -> Option<Arc<Readable<Database>>> {
    let key = ObjectRef::new(&backup.spec.database_ref.name).within(&backup.database_namespace()?);
    context.databases.get()?.get(&key)
}

fn candidate(backup: &Backup, database: &Database) -> Candidate {
    Candidate {
        instance: database.spec.instance_ref.name.clone(),
        ..of(backup)
    }
}

/// A backup before it is known where it runs. One before a deletion counts for its Database's namespace, not for the
/// operator's.
fn of(backup: &Backup) -> Candidate {
    Candidate {
        uid: backup.uid().unwrap_or_default(),
        namespace: backup.database_namespace().unwrap_or_default(),
        instance: String::new(),
        created: backup.creation_timestamp().map(|time| time.0),
        name: backup.name_any(),
        active: false,
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
        None if waits_for_another && may_be_next(pass) => Ok(End::Again(SOON)),
        // Those behind it are woken when it begins to be their turn.
        None => Ok(End::Waits),
    }
}

/// A place is free, or a Database's turn is: whoever may be next looks. Those behind have nothing to look for.
pub fn wake_others(context: &Context) {
    let all = context.backups.get().map(Store::state).unwrap_or_default();
    let named = all.iter().map(AsRef::as_ref).filter(|guarded| {
        let backup = guarded.0.as_ref();
        backup.is_ok_and(|backup| state::waits(backup) && is_named(context, backup))
    });
    for guarded in first_of_each(&all).chain(named) {
        let uid = guarded.uid().unwrap_or_default();
        context.backup.memory.suspect(&uid);
        context.backup_triggers.send(guarded);
    }
}

/// The backup of each Database that waits longest, and all final ones: a Database has few, and asks for one by its name.
fn first_of_each(all: &[Arc<Readable<Backup>>]) -> impl Iterator<Item = &Readable<Backup>> {
    let mut first = HashMap::new();
    for guarded in all {
        let Ok(backup) = &guarded.0 else { continue };
        if !state::waits(backup) {
            continue;
        }
        let reference = &backup.spec.database_ref;
        let named = reference.namespace.as_deref();
        let which = (
            backup.metadata.namespace.as_deref(),
            reference.name.as_str(),
            named.map(|_| backup.metadata.name.as_deref()),
        );
        let known = first.entry(which).or_insert((backup, guarded.as_ref()));
        if state::is_older(backup, known.0) {
            *known = (backup, guarded.as_ref());
        }
    }
    first.into_values().map(|(_, guarded)| guarded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn backup(name: &str, database: &Value, created: &str, state: &Value) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "n", "creationTimestamp": created},
            "spec": {"databaseRef": database}, "status": {"state": state},
        })
    }

    #[test]
    fn of_many_that_wait_only_the_first_of_each_database_is_woken() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
        let orders = json!({"name": "orders"});
        let of = |namespace| json!({"name": "orders", "namespace": namespace});
        let all: Vec<Arc<Readable<Backup>>> = [
            backup("c", &orders, late, &Value::Null),
            backup("b", &orders, early, &Value::Null),
            backup("runs", &orders, early, &json!("BACKING_UP")),
            backup("other", &json!({"name": "other"}), late, &Value::Null),
            backup("final-1", &of("x"), early, &Value::Null),
            backup("final-2", &of("y"), late, &Value::Null),
        ]
        .into_iter()
        .map(|object| Arc::new(serde_json::from_value(object).unwrap()))
        .collect();
        let mut woken: Vec<_> = first_of_each(&all).map(ResourceExt::name_any).collect();
        woken.sort();
        assert_eq!(woken, ["b", "final-1", "final-2", "other"]);
    }
}
