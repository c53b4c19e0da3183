//! The slot that a backup needs, among all that run or wait for one.

use kube::ResourceExt;

use super::blocked::Blocked;
use super::database_ref::{self, BackupKind};
use super::{Context, Pass};
use crate::api::{Backup, BackupReason, Database};
use crate::queue::line_of_database::waits;
use crate::queue::slot_order::Neighbours;
use crate::queue::slots::{Candidate, Limits, Slots};

/// Whether there is a slot for a backup that may begin now; none is taken.
pub(super) fn check_free(pass: &Pass<'_>, wants: &Candidate) -> Result<(), Blocked> {
    ask(pass, wants, Slots::is_free)
}

/// Takes the slot of a backup that begins.
pub(super) fn take(pass: &Pass<'_>, wants: &Candidate) -> Result<(), Blocked> {
    ask(pass, wants, Slots::take)
}

/// Takes a slot for a backup that has begun and handed its own back.
pub(super) fn take_again(pass: &Pass<'_>, database: &Database) -> Result<(), Blocked> {
    if !pass.context.slots.must_wait(&pass.uid()) {
        return Ok(());
    }
    take(pass, &candidate(&pass.object, database))
}

/// What a backup of this Database asks for.
pub(super) fn candidate(backup: &Backup, database: &Database) -> Candidate {
    Candidate {
        instance: database.spec.instance_ref.name.clone(),
        ..of(backup)
    }
}

fn ask(
    pass: &Pass<'_>,
    wants: &Candidate,
    question: impl Fn(&Slots, &Candidate, Vec<Candidate>, Limits, &Neighbours) -> bool,
) -> Result<(), Blocked> {
    let context = pass.context;
    let (known, neighbours) = (candidates(context), neighbours(context));
    if question(&context.slots, wants, known, context.limits, &neighbours) {
        return Ok(());
    }
    let message = format!(
        "{} backups run, or {} on instance {}, or others are first: of the namespaces that wait, the one with the fewest \
         running backups, and the last slots are kept for those that have none (--max-backups, \
         --max-backups-per-instance)",
        context.limits.overall, context.limits.per_instance, wants.instance
    );
    Err(Blocked::new(BackupReason::WaitingForTurn, message))
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

/// All Backups that run, or that wait for a slot alone.
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
            let obstructed = |uid: &str| context.remembered.is_obstructed(uid);
            if !waits(backup) || obstructed(&backup.uid().unwrap_or_default()) {
                return None;
            }
            let guarded = database_ref::cached(context, backup)?;
            let database = guarded.0.as_ref().ok()?;
            let kind = BackupKind::of(backup, &context.namespace)?;
            database_ref::is_named(database, backup, kind == BackupKind::Final)
                .then(|| candidate(backup, database))
        })
        .collect()
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
