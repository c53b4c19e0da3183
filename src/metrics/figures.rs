//! Figures about all objects in the cluster, added up. Pure.
//!
//! Counts carry no label of a single object. Figures that someone is paged for about one database do: at most two such
//! series for each Database that was ever backed up.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::conditions::{READY, RECONCILING, STALLED, is_true};
use crate::api::restore::Destined;
use crate::api::{
    Backup, BackupReason, BackupState, Condition, Database, DatabaseInstance, DatabaseReason,
    DatabaseState, InstanceReason, Reason, Restore, RestoreReason, RestoreState,
};

/// The kinds, as metrics name them.
const INSTANCE: &str = "DatabaseInstance";
const DATABASE: &str = "Database";
const BACKUP: &str = "Backup";
const RESTORE: &str = "Restore";

/// The state of an object that has none yet.
pub const NO_STATE: &str = "NONE";
/// The reason of a condition that this version of the operator does not know.
const UNKNOWN: &str = "Unknown";

/// The totals of the cluster at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Each instance, and whether it is ready.
    pub instances: BTreeMap<String, bool>,
    /// Databases by instance and state.
    pub databases: BTreeMap<(String, &'static str), u64>,
    /// Backups by state.
    pub backups: BTreeMap<&'static str, u64>,
    /// Restores by state.
    pub restores: BTreeMap<&'static str, u64>,
    /// Objects in progress or being retried.
    pub reconciling: BTreeMap<Trouble, u64>,
    /// Objects that need a person. (A failed Backup or Restore has ended; [`Figures::last_backups`] reports the first.)
    pub stalled: BTreeMap<Trouble, u64>,
    /// Databases whose deletion waits for a final backup that has failed at least once, by instance.
    pub final_backups_failing: BTreeMap<String, u64>,
    /// The last backups of each Database that was ever backed up.
    pub last_backups: BTreeMap<Owner, LastBackups>,
}

/// What a condition says, and about which kind of object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// `Database`, `Backup`, `Restore` or `DatabaseInstance`.
    pub kind: &'static str,
    /// The instance that the object is or refers to; empty if unknown.
    pub instance: String,
    /// The condition's reason.
    pub reason: &'static str,
}

/// A Database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The instance that it refers to.
    pub instance: String,
}

/// The last backups of a Database. Final ones do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBackups {
    /// When the last one completed.
    pub completed: Option<Timestamp>,
    /// Whether one has failed since.
    pub failed: bool,
}

impl Figures {
    /// Adds up all objects of the cluster.
    #[must_use]
    pub fn of<'a>(
        instances: impl Iterator<Item = &'a DatabaseInstance>,
        databases: impl Iterator<Item = &'a Database> + Clone,
        backups: impl Iterator<Item = &'a Backup>,
        restores: impl Iterator<Item = &'a Restore>,
    ) -> Self {
        let mut figures = Self::default();
        instances.for_each(|instance| figures.add_instance(instance));
        let homes = homes(databases.clone());
        let mut failures = HashMap::new();
        for backup in backups {
            figures.add_backup(backup, &homes);
            note_failure(&mut failures, backup);
        }
        restores.for_each(|restore| figures.add_restore(restore, &homes));
        databases.for_each(|database| figures.add_database(database, &failures));
        figures
    }

    fn add_instance(&mut self, instance: &DatabaseInstance) {
        let conditions = conditions(instance.status.as_ref().map(|status| &status.conditions));
        let name = instance.name_any();
        self.add_troubles::<InstanceReason>(INSTANCE, &name, conditions);
        self.instances.insert(name, is_true(conditions, READY));
    }

    fn add_backup(&mut self, backup: &Backup, homes: &Homes<'_>) {
        let state = backup.state().map_or(NO_STATE, BackupState::as_str);
        *self.backups.entry(state).or_default() += 1;
        if backup.state().is_some_and(BackupState::is_terminal) {
            return;
        }
        let status = backup.status.as_ref();
        // Before its turn it has none of its own.
        let source = status.and_then(|status| status.source.as_ref());
        let instance = match source {
            Some(source) => &source.instance,
            None => home_of(backup, homes),
        };
        let conditions = conditions(status.map(|status| &status.conditions));
        self.add_troubles::<BackupReason>(BACKUP, instance, conditions);
    }

    fn add_restore(&mut self, restore: &Restore, homes: &Homes<'_>) {
        let state = restore.state().map_or(NO_STATE, RestoreState::as_str);
        *self.restores.entry(state).or_default() += 1;
        if restore.state().is_some_and(RestoreState::is_terminal) {
            return;
        }
        let status = restore.status.as_ref();
        let home = match restore.spec.destined() {
            Destined::Database(name) => {
                let namespace = restore.namespace().unwrap_or_default();
                homes.get(&(namespace.as_str(), name)).copied()
            }
            Destined::Test(instance) => Some(instance),
            Destined::Nowhere => None,
        };
        // Before its turn it has no target of its own.
        let target = status.and_then(|status| status.target.as_ref());
        let instance = target.map(|target| target.instance.as_str());
        let conditions = conditions(status.map(|status| &status.conditions));
        let instance = instance.or(home).unwrap_or_default();
        self.add_troubles::<RestoreReason>(RESTORE, instance, conditions);
    }

    fn add_database(&mut self, database: &Database, failures: &Failures<'_>) {
        let instance = &database.spec.instance_ref.name;
        let state = database.state().map_or(NO_STATE, DatabaseState::as_str);
        let counted = self.databases.entry((instance.clone(), state)).or_default();
        *counted += 1;
        let status = database.status.as_ref();
        let conditions = conditions(status.map(|status| &status.conditions));
        self.add_troubles::<DatabaseReason>(DATABASE, instance, conditions);
        if final_backup_fails(database) {
            *self
                .final_backups_failing
                .entry(instance.clone())
                .or_default() += 1;
        }
        if let Some(last) = last_backups(database, failures) {
            let owner = Owner {
                namespace: database.namespace().unwrap_or_default(),
                name: database.name_any(),
                instance: instance.clone(),
            };
            self.last_backups.insert(owner, last);
        }
    }

    fn add_troubles<R: Reason>(
        &mut self,
        kind: &'static str,
        instance: &str,
        conditions: &[Condition],
    ) {
        for (type_, troubles) in [
            (RECONCILING, &mut self.reconciling),
            (STALLED, &mut self.stalled),
        ] {
            let found = conditions.iter().find(|c| c.type_ == type_);
            if let Some(condition) = found.filter(|_| is_true(conditions, type_)) {
                let trouble = Trouble {
                    kind,
                    instance: instance.to_owned(),
                    reason: known::<R>(&condition.reason),
                };
                *troubles.entry(trouble).or_default() += 1;
            }
        }
    }
}

fn conditions(found: Option<&Vec<Condition>>) -> &[Condition] {
    found.map_or(&[], Vec::as_slice)
}

/// A status written by someone else creates no series of its own.
fn known<R: Reason>(word: &str) -> &'static str {
    let mut all = R::ALL.iter().map(|reason| reason.as_str());
    all.find(|known| *known == word).unwrap_or(UNKNOWN)
}

/// The instance that each Database refers to, by namespace and name.
type Homes<'a> = HashMap<(&'a str, &'a str), &'a str>;

fn homes<'a>(databases: impl Iterator<Item = &'a Database>) -> Homes<'a> {
    let named = databases.filter_map(|database| {
        let metadata = &database.metadata;
        let place = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
        Some((place, database.spec.instance_ref.name.as_str()))
    });
    named.collect()
}

/// The instance of the Database that a Backup names; empty if there is no such Database.
fn home_of<'a>(backup: &Backup, homes: &Homes<'a>) -> &'a str {
    let reference = &backup.spec.database_ref;
    let namespace = reference.namespace.as_ref();
    let namespace = namespace.or(backup.metadata.namespace.as_ref());
    let place = namespace.map(|namespace| (namespace.as_str(), reference.name.as_str()));
    let home = place.and_then(|place| homes.get(&place));
    home.copied().unwrap_or_default()
}

/// When a backup of each Database last failed, by namespace and name.
type Failures<'a> = HashMap<(&'a str, &'a str), Timestamp>;

fn note_failure<'a>(failures: &mut Failures<'a>, backup: &'a Backup) {
    let (Some(status), Some(namespace)) = (&backup.status, &backup.metadata.namespace) else {
        return;
    };
    let wanted = |reason: &str| {
        reason != BackupReason::Cancelled.as_str()
            && reason != BackupReason::DatabaseDeleted.as_str()
    };
    let failed = status.state == Some(BackupState::Failed)
        && status.failure.as_ref().is_none_or(|f| wanted(&f.reason));
    let reference = &backup.spec.database_ref;
    if let Some(at) = status.finished_at
        && failed
        && reference.namespace.is_none()
    {
        let last = failures.entry((namespace, &reference.name)).or_insert(at);
        *last = at.max(*last);
    }
}

fn last_backups(database: &Database, failures: &Failures<'_>) -> Option<LastBackups> {
    let status = database.status.as_ref();
    let completed = status
        .and_then(|status| status.last_backup.as_ref())
        .map(|last| last.finished_at);
    let namespace = database.metadata.namespace.as_deref()?;
    let failed = failures.get(&(namespace, database.metadata.name.as_deref()?));
    // Backups outlive their Database: those of a former one of this name are not this one's.
    let since = completed.or_else(|| database.creation_timestamp().map(|time| time.0));
    let failed = failed.is_some_and(|at| since.is_none_or(|since| *at > since));
    (completed.is_some() || failed).then_some(LastBackups { completed, failed })
}

fn final_backup_fails(database: &Database) -> bool {
    let last = database
        .status
        .as_ref()
        .and_then(|status| status.final_backup.as_ref());
    let waits = matches!(
        database.state(),
        Some(
            DatabaseState::BackupBeforeDeleteRequested
                | DatabaseState::BackupBeforeDeleteInProgress
        )
    );
    // Each attempt after the first follows one that failed.
    waits && last.is_some_and(|last| last.attempt > 1 && !last.completed)
}

#[cfg(test)]
#[path = "figures_tests.rs"]
mod tests;
