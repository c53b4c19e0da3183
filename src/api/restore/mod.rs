//! `Restore`: one backup, brought back into one `Database`, or tried out beside all of them. Written by the application team.
//!
//! This file holds what is asked for: `source.rs` which backup, `only.rs` which part of it, `check.rs` what has to be true of it. `status.rs`
//! holds how far it is and what became of it.

mod check;
mod only;
mod source;
mod status;

use jiff::SignedDuration;
use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::references::InstanceRef;
use super::{FINALIZER, names};

pub use check::{Accepted, CheckLevel, CheckQuery, RestoreCheck};
pub use only::RestoreOnly;
pub use source::{BackedUpDatabase, BackupRef, LatestBackup, ManifestRef, RestoreSource};
pub use status::{
    FormerDatabase, RestoreFailure, RestoreJobRef, RestoreProgress, RestoreReport, RestoreState,
    RestoreStatus, RestoreTarget, RestoredFrom,
};

/// How long a database that was replaced is kept, unless the Restore says otherwise.
const KEEP_REPLACED: SignedDuration = SignedDuration::from_hours(72);

/// One backup, brought back into one `Database`, or tried out.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "db-operator.dev",
    version = "v1alpha1",
    kind = "Restore",
    plural = "restores",
    namespaced,
    shortname = "dbr",
    category = "db-operator",
    status = "RestoreStatus",
    derive = "PartialEq",
    doc = "Brings one backup back into one Database, or tries out whether it comes back (mode Test): creating it asks for the restore, its status says how far that is, and what became of it. It is done once: the same object again, also in a cluster that was made anew, does nothing (a Test is done again: it changes nothing). Deleting this object cancels a restore that runs, before it has changed the database.",
    validation = names::fits_a_label(),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.databaseRef.name", description = "What is restored; empty with mode Test, which restores no Database"),
    printcolumn(name = "From", type_ = "string", json_path = ".status.source.database", description = "The Database that was backed up; with mode Test, the one whose backup is tried out"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", description = "What may be in the database before"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Where it is in its life"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.shown", description = "How much of the backup is read, in percent"),
    printcolumn(name = "Backup", type_ = "date", json_path = ".status.source.startedAt", description = "How old the backup is"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "FromNamespace", type_ = "string", json_path = ".status.source.namespace", description = "Namespace of the Database that was backed up", priority = 1),
    printcolumn(name = "Former", type_ = "string", json_path = ".status.target.former.database", description = "The database that was replaced, while it is kept", priority = 1),
    printcolumn(name = "Instance", type_ = "string", json_path = ".status.target.instance", description = "The DatabaseInstance that it is loaded on", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("a Restore's spec cannot be changed: create a new Restore, under another name"),
    validation = Rule::new("self.stallSeconds <= self.deadlineSeconds")
        .message("stallSeconds must not exceed deadlineSeconds: lower it, for example 600"),
    validation = Rule::new("has(self.databaseRef) != has(self.instanceRef)")
        .message("a Restore needs exactly one of databaseRef and instanceRef: databaseRef: {name: orders} restores into that Database, and instanceRef: {name: scratch-postgres} with mode: Test tries a backup out"),
    validation = Rule::new("(self.mode == 'Test') == has(self.instanceRef)")
        .message("mode Test and instanceRef go together, since a Test touches no Database: write mode: Test with instanceRef, or databaseRef with another mode"),
    validation = Rule::new("self.mode != 'Test' || self.maxDowntimeSeconds == 15")
        .message("maxDowntimeSeconds is for a database that people use, and a Test touches none: remove it, or set databaseRef and another mode"),
    validation = Rule::new("self.mode != 'Replace' || has(self.confirm)")
        .message("mode Replace takes the place of what is in the database: set confirm to the name of the SQL database, for example orders"),
    validation = Rule::new("self.mode == 'Replace' || !has(self.confirm)")
        .message("confirm is for mode Replace: remove it, or set mode: Replace"),
    validation = Rule::new("self.mode != 'Replace' || !has(self.only)")
        .message("mode Replace puts all of a backup in the place of what is there: remove only, or restore into an empty Database with mode: Empty, or try it out with mode: Test"),
    validation = Rule::new("self.mode == 'Replace' || !has(self.keepReplaced)")
        .message("keepReplaced is for mode Replace, since otherwise nothing is replaced: remove it, or set mode: Replace")
)]
pub struct RestoreSpec {
    /// Which backup: exactly one of `backupRef`, `latest` and `manifest`.
    pub source: RestoreSource,

    /// The Database to restore, in the same namespace, with mode `Empty` or `Replace`. It need not be the one that was backed
    /// up, but its server has to be of the same kind, and not older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_ref: Option<RestoredDatabase>,

    /// With mode `Test`, in the place of `databaseRef`: the DatabaseInstance on whose server the backup is tried out. It has to
    /// allow this namespace, and its server has to be of the same kind as the one that was backed up, and not older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_ref: Option<InstanceRef>,

    /// `Empty` (default): refused unless nothing is in the database. `Replace` (PostgreSQL): the backup is loaded and checked
    /// beside the database, and takes its name in one moment; the former database is kept for a while (`keepReplaced`).
    /// `Test`: the backup is loaded into a database of its own on the server of `instanceRef`, checked, and dropped again; no
    /// Database is needed, and none is touched.
    #[serde(default)]
    pub mode: RestoreMode,

    /// For mode `Replace`: the name of the SQL database that is replaced (`status.name` of the Database), so that nobody
    /// replaces one by mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub confirm: Option<String>,

    /// Some of the backup's schemas and tables, instead of all of it (PostgreSQL, modes `Empty` and `Test`), with what belongs to them:
    /// columns' sequences and defaults, indexes, constraints, partitions, policies, comments, privileges, and triggers whose
    /// functions are among it. Types, functions, sequences and schemas that they need are made, too. What needs a table or view
    /// that is not named is left out, and `status.leftOut` names it. Large objects are not brought back. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<RestoreOnly>,

    /// What has to be true of the loaded data before it counts. Default: each table has as many rows as in the backup.
    #[serde(default)]
    pub check: RestoreCheck,

    /// How many indexes and constraints are built at the same time (PostgreSQL), each in a session of its own. From 1 to 8.
    /// Default: 2.
    #[serde(default = "default_jobs")]
    #[schemars(range(min = 1, max = 8))]
    pub jobs: i32,

    /// How long the database that was replaced is kept, closed, under another name: for so long the replacement can be
    /// undone with the annotation `db-operator.dev/undo-requested-at`. From `1m` to `720h` (30 days), for example `36h` or
    /// `1h30m`. Default: `72h`. The instance's `spec.restore.maxKeepReplaced` applies if it is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16))]
    #[x_kube(validation = Rule::new(duration_between("1m", "720h"))
        .message("keepReplaced must be a duration from 1m to 720h, for example 72h or 1h30m"))]
    pub keep_replaced: Option<String>,

    /// How long nobody may be able to log in while the restored database takes the other one's place (PostgreSQL), in
    /// seconds. What takes longer is undone, and tried again later. From 1 to 300. Default: 15.
    #[serde(default = "default_max_downtime_seconds")]
    #[schemars(range(min = 1, max = 300))]
    pub max_downtime_seconds: i64,

    /// What may be left out without failing. `ExtensionData`: rows that a backup has of an extension's own tables, which
    /// only an administrator may write (PostgreSQL). Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub accept: Vec<Accepted>,

    /// The restore fails if it has not completed after this time, in seconds from its start (time spent waiting before
    /// that is not counted). From 60 to 604800 (a week). Default: 21600 (6 hours). The instance's
    /// `maxDeadlineSeconds` applies if it is lower.
    #[serde(default = "default_deadline_seconds")]
    #[schemars(range(min = 60, max = 604_800))]
    pub deadline_seconds: i64,

    /// The restore fails if nothing is loaded for this time, in seconds. From 30 to 86400 (a day). Default: 600 (10
    /// minutes). The instance's `maxStallSeconds` applies if it is lower.
    #[serde(default = "default_stall_seconds")]
    #[schemars(range(min = 30, max = 86_400))]
    pub stall_seconds: i64,
}

/// CEL: a duration in hours, minutes and seconds between two others.
pub(super) fn duration_between(least: &str, most: &str) -> String {
    format!(
        "self.matches('^([0-9]{{1,5}}h)?([0-9]{{1,5}}m)?([0-9]{{1,7}}s)?$') && self != '' && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    )
}

const fn default_jobs() -> i32 {
    2
}

const fn default_max_downtime_seconds() -> i64 {
    15
}

const fn default_deadline_seconds() -> i64 {
    21_600
}

const fn default_stall_seconds() -> i64 {
    600
}

/// The `Database` that is restored, in the same namespace.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RestoredDatabase {
    /// Name of the Database, for example `orders`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::object_name())]
    pub name: String,
}

/// What may be in the database before, or that none is meant.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum RestoreMode {
    /// Nothing.
    #[default]
    Empty,
    /// Anything: the restored database takes its place, and the former one is kept for a while.
    Replace,
    /// No database: what is loaded is checked, and dropped again.
    Test,
}

impl RestoreMode {
    /// The word in `spec.mode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Replace => "Replace",
            Self::Test => "Test",
        }
    }
}

/// Where a Restore goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destined<'a> {
    /// Into the Database of this name, beside the Restore.
    Database(&'a str),
    /// Into a database of its own on the server of this instance, which is dropped again.
    Test(&'a str),
    /// Its fields contradict each other. The API server stores no such object, if it has the rules.
    Nowhere,
}

impl RestoreSpec {
    /// A restore of this source into this Database with the default limits and checks, in mode `Empty`.
    #[must_use]
    pub fn new(source: RestoreSource, database: &str) -> Self {
        let database = RestoredDatabase {
            name: database.to_owned(),
        };
        Self {
            database_ref: Some(database),
            ..Self::plain(source)
        }
    }

    /// A test of this source on this instance, with the default limits and checks.
    #[must_use]
    pub fn test(source: RestoreSource, instance: &str) -> Self {
        let instance = InstanceRef {
            name: instance.to_owned(),
        };
        Self {
            instance_ref: Some(instance),
            mode: RestoreMode::Test,
            ..Self::plain(source)
        }
    }

    /// What a Restore of this source is unless it says otherwise.
    #[must_use]
    pub fn plain(source: RestoreSource) -> Self {
        Self {
            source,
            database_ref: None,
            instance_ref: None,
            mode: RestoreMode::Empty,
            confirm: None,
            only: None,
            check: RestoreCheck::default(),
            jobs: default_jobs(),
            keep_replaced: None,
            max_downtime_seconds: default_max_downtime_seconds(),
            accept: Vec::new(),
            deadline_seconds: default_deadline_seconds(),
            stall_seconds: default_stall_seconds(),
        }
    }

    /// Whether it may read backups that the platform shares with its namespace. Good data is replaced by its own alone, and a
    /// Backup's name is one of its own namespace.
    #[must_use]
    pub fn may_read_shared(&self) -> bool {
        let is_for_sharing = match self.mode {
            RestoreMode::Empty | RestoreMode::Test => true,
            RestoreMode::Replace => false,
        };
        is_for_sharing && self.source.backup_ref.is_none()
    }

    /// Where it goes.
    #[must_use]
    pub fn destined(&self) -> Destined<'_> {
        match (self.mode, &self.database_ref, &self.instance_ref) {
            (RestoreMode::Empty | RestoreMode::Replace, Some(database), None) => {
                Destined::Database(&database.name)
            }
            (RestoreMode::Test, None, Some(instance)) => Destined::Test(&instance.name),
            (RestoreMode::Empty | RestoreMode::Replace | RestoreMode::Test, _, _) => {
                Destined::Nowhere
            }
        }
    }

    /// How long a database that it replaces is kept: no longer than the instance allows.
    #[must_use]
    pub fn effective_keep_replaced(&self, most: SignedDuration) -> SignedDuration {
        let asked = self.keep_replaced.as_deref().and_then(duration);
        asked.unwrap_or(KEEP_REPLACED).min(most)
    }
}

impl Restore {
    /// Its state, if it has started.
    #[must_use]
    pub fn state(&self) -> Option<RestoreState> {
        self.status.as_ref().and_then(|status| status.state)
    }

    /// The namespace and the name of the Database that it restores; `None` if it restores none.
    #[must_use]
    pub fn database_key(&self) -> Option<(String, &str)> {
        match self.spec.destined() {
            Destined::Database(name) => Some((self.namespace().unwrap_or_default(), name)),
            Destined::Test(_) | Destined::Nowhere => None,
        }
    }

    /// Whether it only tries a backup out.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.spec.mode == RestoreMode::Test
    }

    /// Whether it is a test that has ended, and what it made on the server is not removed yet.
    #[must_use]
    pub fn is_unclean_test(&self) -> bool {
        let ended = self.state().is_some_and(RestoreState::is_terminal);
        self.is_test() && ended && self.finalizers().iter().any(|name| name == FINALIZER)
    }

    /// True from its start to its end. Each Database has at most one active restore at a time.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state().is_some_and(|state| !state.is_terminal())
    }

    /// Whether it failed, and what it made on the server is not removed yet: it carries the finalizer until then.
    #[must_use]
    pub fn is_unclean(&self) -> bool {
        let held = self.finalizers().iter().any(|name| name == FINALIZER);
        self.state() == Some(RestoreState::Failed) && held
    }

    /// Whether something of it is at work on its Database, or is left there: nothing else begins there until it is over.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.is_active() || self.is_unclean()
    }
}

/// A duration as these objects write it: `72h`, `1h30m`. `None` for anything else.
#[must_use]
pub fn duration(text: &str) -> Option<SignedDuration> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_replaced_is_kept_for_as_long_as_the_instance_allows() {
        let mut spec = RestoreSpec::new(RestoreSource::default(), "orders");
        let hours = SignedDuration::from_hours;
        assert_eq!(spec.effective_keep_replaced(hours(168)), hours(72));
        assert_eq!(spec.effective_keep_replaced(hours(24)), hours(24));
        for (written, expected) in [
            ("36h", hours(36)),
            ("1h30m", SignedDuration::from_mins(90)),
            ("90s", SignedDuration::from_secs(90)),
        ] {
            spec.keep_replaced = Some(written.to_owned());
            assert_eq!(
                spec.effective_keep_replaced(hours(168)),
                expected,
                "{written}"
            );
        }
        assert_eq!(duration("soon"), None);
    }

    #[test]
    fn what_is_shared_replaces_nothing_and_has_no_backups_name() {
        let mut spec = RestoreSpec::new(RestoreSource::default(), "orders");
        assert!(spec.may_read_shared());
        spec.mode = RestoreMode::Replace;
        assert!(!spec.may_read_shared());
        for mode in [RestoreMode::Empty, RestoreMode::Test] {
            spec.mode = mode;
            assert!(spec.may_read_shared());
        }
        spec.source.backup_ref = Some(BackupRef {
            name: "nightly".to_owned(),
        });
        assert!(!spec.may_read_shared());
    }

    #[test]
    fn a_restore_goes_to_one_place() {
        let source = RestoreSource::default;
        let into = RestoreSpec::new(source(), "orders");
        assert_eq!(into.destined(), Destined::Database("orders"));
        let test = RestoreSpec::test(source(), "scratch");
        assert_eq!(test.destined(), Destined::Test("scratch"));
        let both = RestoreSpec {
            instance_ref: test.instance_ref.clone(),
            ..into
        };
        for odd in [
            both,
            RestoreSpec::plain(source()),
            RestoreSpec {
                mode: RestoreMode::Replace,
                ..test
            },
        ] {
            assert_eq!(odd.destined(), Destined::Nowhere, "{odd:?}");
        }
    }

    #[test]
    fn one_that_failed_is_over_when_its_finalizer_is_gone() {
        let mut restore = Restore::new("r", RestoreSpec::new(RestoreSource::default(), "orders"));
        let mut of = |state, finalizers: &[&str]| {
            restore.status.get_or_insert_default().state = state;
            restore.metadata.finalizers =
                Some(finalizers.iter().map(ToString::to_string).collect());
            (
                restore.is_active(),
                restore.is_unclean(),
                restore.is_unfinished(),
            )
        };
        assert_eq!(of(None, &[FINALIZER]), (false, false, false));
        assert_eq!(
            of(Some(RestoreState::Loading), &[FINALIZER]),
            (true, false, true)
        );
        assert_eq!(
            of(Some(RestoreState::Failed), &[FINALIZER]),
            (false, true, true)
        );
        assert_eq!(
            of(Some(RestoreState::Failed), &["other"]),
            (false, false, false)
        );
        // What it has put in the place of the other one is the Database's.
        assert_eq!(
            of(Some(RestoreState::Completed), &[FINALIZER]),
            (false, false, false)
        );
    }
}
