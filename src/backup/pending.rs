//! A Backup that has not begun: whether its turn has come, and if not, what it waits for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::blocked::Blocked;
use super::database_ref::{self, BackupKind, Freshness, Resolved};
use super::observe::Observation;
use super::pass::Pass;
use super::prerequisites::{self, Prerequisites};
use super::reconcile::{FIRST_LOOK, Outcome};
use super::{Context, start, state};
use crate::api::{Backup, BackupReason, Database, DatabaseState};
use crate::client::lenient::Readable;
use crate::controller::Error;
use crate::provider::Assessment;
use crate::queue::line_of_database::{first_in_line, is_older, waits};
use crate::queue::slot_order::Neighbours;
use crate::queue::slots::{Candidate, Limits, Slots};

/// How soon a Backup is looked at again that waits for another one to end.
const SOON: Duration = Duration::from_secs(5);

/// What a backup that may begin now needs.
pub struct Ready {
    /// All that it needs from outside.
    pub prerequisites: Arc<Prerequisites>,
    /// The slot that it needs.
    pub wants: Candidate,
}

/// Why a backup does not begin.
pub struct Waits {
    /// What it waits for.
    pub blocked: Blocked,
    /// The instance that could not be asked.
    instance: Option<String>,
    /// It is something else than a slot: others do not wait for this backup.
    obstructed: bool,
}

impl From<Blocked> for Waits {
    fn from(blocked: Blocked) -> Self {
        Self {
            blocked,
            instance: None,
            obstructed: true,
        }
    }
}

/// What the backup needs, and how large it will be, if it may begin now; or what it waits for. Its slot is taken last, when
/// it begins: none is held while something else is waited for (a lock, a connection, a server that does not answer).
pub async fn look(pass: &Pass<'_>) -> Result<(Ready, Assessment), Waits> {
    let (prerequisites, wants) = ready(pass).await?;
    if !slot(pass, &wants, Slots::is_free) {
        return Err(Waits {
            blocked: no_slot(pass, &wants),
            instance: None,
            obstructed: false,
        });
    }
    let assessment = start::assess(&prerequisites)
        .await
        .map_err(|blocked| Waits {
            instance: Some(wants.instance.clone()),
            ..Waits::from(blocked)
        })?;
    let ready = Ready {
        prerequisites,
        wants,
    };
    Ok((ready, assessment))
}

/// Remembers what was seen of a Backup that has not begun: others do not wait for one that something else than a slot keeps
/// from starting, and an instance that could not be asked is looked at.
pub fn note(pass: &Pass<'_>, seen: &Observation) {
    let memory = &pass.context.memory;
    match (&seen.ready, &seen.waits) {
        (None, None) => {}
        (Some(_), _) => memory.obstruct(&pass.uid(), false),
        (None, Some(waits)) => {
            memory.obstruct(&pass.uid(), waits.obstructed);
            if let Some(Error::Server(error)) = waits.blocked.retry.as_deref()
                && let Some(instance) = &waits.instance
            {
                pass.context.note_failure(instance, error);
            }
        }
    }
}

/// Takes the slot of a backup that begins.
pub fn take_slot(pass: &Pass<'_>, wants: &Candidate) -> Result<(), Blocked> {
    if slot(pass, wants, Slots::take) {
        Ok(())
    } else {
        Err(no_slot(pass, wants))
    }
}

/// A slot for a backup that has begun and handed its own back.
pub fn take_again(pass: &Pass<'_>, database: &Database) -> Result<(), Blocked> {
    if !pass.context.slots.must_wait(&pass.uid()) {
        return Ok(());
    }
    take_slot(pass, &candidate(&pass.backup, database))
}

/// Asks for a slot.
fn slot(
    pass: &Pass<'_>,
    wants: &Candidate,
    ask: impl Fn(&Slots, &Candidate, Vec<Candidate>, Limits, &Neighbours) -> bool,
) -> bool {
    let context = pass.context;
    let known = candidates(context);
    let neighbours = neighbours(context);
    ask(&context.slots, wants, known, context.limits, &neighbours)
}

fn no_slot(pass: &Pass<'_>, wants: &Candidate) -> Blocked {
    let limits = pass.context.limits;
    let message = format!(
        "{} backups run, or {} on instance {}, or others are first: of the namespaces that wait, the one with the fewest \
         running backups, and the last slots are kept for those that have none (--max-backups, \
         --max-backups-per-instance)",
        limits.overall, limits.per_instance, wants.instance
    );
    Blocked::new(BackupReason::WaitingForTurn, message)
}

/// The namespaces that have databases on each instance. One that was refused there has none.
fn neighbours(context: &Context) -> Neighbours {
    let mut neighbours = Neighbours::default();
    for guarded in context.cache.all_databases().unwrap_or_default() {
        let Ok(database) = &guarded.0 else { continue };
        let claimed = database.status.as_ref().is_some_and(|s| s.claim.is_some());
        if let (true, Some(namespace)) = (claimed, database.metadata.namespace.as_deref()) {
            neighbours.add(&database.spec.instance_ref.name, namespace);
        }
    }
    neighbours
}

/// What the backup needs, if it is its turn among those of its Database.
async fn ready(pass: &Pass<'_>) -> Result<(Arc<Prerequisites>, Candidate), Blocked> {
    let (database, kind) = named(pass).await?;
    if let Some(other) = active_sibling(pass).filter(|_| !state::has_turn(true, true)) {
        let message = format!("the backup {other} of this Database is active");
        return Err(Blocked::new(BackupReason::WaitingForTurn, message));
    }
    let wants = candidate(&pass.backup, &database);
    let prerequisites = prerequisites::gather(pass, database, kind).await?;
    Ok((prerequisites, wants))
}

/// The name of another backup of the Database that is active.
fn active_sibling(pass: &Pass<'_>) -> Option<String> {
    let all = database_ref::all(pass.context);
    all.siblings(&pass.backup, &pass.context.namespace)
        .find(|other| other.is_active())
        .map(ResourceExt::name_any)
}

/// The Database, if it names this backup.
async fn named(pass: &Pass<'_>) -> Result<(Database, BackupKind), Blocked> {
    let (mut database, kind) = known(pass, Freshness::Cached).await?;
    let is_named = |database: &Database| {
        database_ref::is_named(database, &pass.backup, kind == BackupKind::Final)
    };
    if !is_named(&database) && may_be_named(pass, kind) {
        // The Database's controller may have named it a moment ago.
        database = known(pass, Freshness::Fresh).await?.0;
    }
    if is_named(&database) {
        return Ok((database, kind));
    }
    Err(waits_for(&database, kind))
}

/// Whether a Database may name this backup next.
fn may_be_named(pass: &Pass<'_>, kind: BackupKind) -> bool {
    if kind == BackupKind::Final {
        return true;
    }
    let all = database_ref::all(pass.context);
    let line = all
        .siblings(&pass.backup, &pass.context.namespace)
        .filter(|other| other.spec.database_ref.namespace.is_none())
        .chain([&pass.backup]);
    first_in_line(line).is_some_and(|first| first.metadata.uid == pass.backup.metadata.uid)
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
        database.is_ok_and(|database| database_ref::is_named(database, backup, is_final))
    })
}

fn is_first(pass: &Pass<'_>) -> bool {
    let all = database_ref::all(pass.context);
    let mut siblings = all.siblings(&pass.backup, &pass.context.namespace);
    !siblings.any(|other| {
        other.spec.database_ref.namespace == pass.backup.spec.database_ref.namespace
            && waits(other)
            && is_older(other, &pass.backup)
    })
}

async fn known(pass: &Pass<'_>, freshness: Freshness) -> Result<(Database, BackupKind), Blocked> {
    let reference = &pass.backup.spec.database_ref;
    match database_ref::resolve(pass.context, &pass.backup, freshness).await? {
        Resolved::Known(database, kind) => Ok((*database, kind)),
        Resolved::Missing => {
            let message = format!(
                "there is no Database {} in namespace {}",
                reference.name,
                pass.backup.database_namespace().unwrap_or_default()
            );
            Err(Blocked::new(BackupReason::DatabaseNotFound, message))
        }
        Resolved::Foreign => {
            let message = "spec.databaseRef.namespace is not accepted here: make a Backup in the Database's namespace, \
                without that field";
            Err(Blocked::new(BackupReason::ForeignNamespace, message))
        }
    }
}

/// What a backup that is not named waits for.
fn waits_for(database: &Database, kind: BackupKind) -> Blocked {
    let deleting = database.metadata.deletion_timestamp.is_some();
    let (reason, message) = match (kind, deleting, database.state()) {
        (BackupKind::Final, _, _) => (
            BackupReason::WaitingForTurn,
            "the Database does not ask for this final backup (any more)",
        ),
        (BackupKind::Ordinary, true, _) => (
            BackupReason::WaitingForDatabase,
            "the Database is being deleted: no new backup of it begins",
        ),
        (BackupKind::Ordinary, false, None | Some(DatabaseState::Creating)) => (
            BackupReason::WaitingForDatabase,
            "the Database is not created yet",
        ),
        (BackupKind::Ordinary, false, Some(_)) if database.spec.suspend => (
            BackupReason::WaitingForDatabase,
            "the Database is suspended (its spec.suspend): no new backup of it begins",
        ),
        (BackupKind::Ordinary, false, Some(_)) => (
            BackupReason::WaitingForTurn,
            "an older backup of this Database is first",
        ),
    };
    Blocked::new(reason, message)
}

/// All Backups that run, or that wait for a place alone.
fn candidates(context: &Context) -> Vec<Candidate> {
    let all = database_ref::all(context);
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
            let obstructed = |uid: &str| context.memory.is_obstructed(uid);
            if !waits(backup) || obstructed(&backup.uid().unwrap_or_default()) {
                return None;
            }
            let guarded = cached(context, backup)?;
            let database = guarded.0.as_ref().ok()?;
            let kind = BackupKind::of(backup, &context.namespace)?;
            database_ref::is_named(database, backup, kind == BackupKind::Final)
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
    context.cache.databases.get(&key)
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
pub async fn report(pass: &mut Pass<'_>, blocked: Option<Blocked>) -> Result<Outcome, Error> {
    let Some(blocked) = blocked else {
        return Ok(Outcome::Waits);
    };
    let blocked = match blocked.retry {
        Some(error) if error.is_conflict() => return Err(*error),
        retry => Blocked { retry, ..blocked },
    };
    let first = pass
        .backup
        .status
        .as_ref()
        .is_none_or(|status| status.conditions.is_empty());
    let young = pass.backup.creation_timestamp().is_some_and(|created| {
        let age = Timestamp::now().duration_since(created.0);
        age < SignedDuration::try_from(FIRST_LOOK).unwrap_or(SignedDuration::ZERO)
    });
    if first && young && !blocked.is_final() {
        // Its turn may come at once: then this would have been a write for nothing.
        return Ok(Outcome::Again(FIRST_LOOK));
    }
    let waits_for_another = blocked.reason == BackupReason::WaitingForTurn;
    let next = pass.status();
    // An API server that fails is no reason to say `Starting` of what does not start.
    if blocked.reason != BackupReason::Starting {
        pass.report(next, blocked.reason, blocked.message).await?;
    }
    match blocked.retry {
        Some(error) => Err(*error),
        None if waits_for_another && may_be_next(pass) => Ok(Outcome::Again(SOON)),
        // Those behind it are woken when it begins to be their turn.
        None => Ok(Outcome::Waits),
    }
}

/// A place is free, or a Database's turn is: whoever may be next looks. Those behind have nothing to look for.
pub fn wake_others(context: &Context) {
    let all = context.cache.backups.state();
    let named = all.iter().map(AsRef::as_ref).filter(|guarded| {
        let backup = guarded.0.as_ref();
        backup.is_ok_and(|backup| waits(backup) && is_named(context, backup))
    });
    for guarded in first_of_each(&all).chain(named) {
        context.triggers.backups.send(guarded);
    }
}

/// The backup of each Database that waits longest, and all final ones: a Database has few, and asks for one by its name.
fn first_of_each(all: &[Arc<Readable<Backup>>]) -> impl Iterator<Item = &Readable<Backup>> {
    let mut first = HashMap::new();
    for guarded in all {
        let Ok(backup) = &guarded.0 else { continue };
        if !waits(backup) {
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
        if is_older(backup, known.0) {
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
