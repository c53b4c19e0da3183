//! `Restore`: one backup, brought back into one `Database`. Written by the application team.
//!
//! This file holds what is asked for; `status.rs` how far it is and what became of it.

mod status;

use jiff::{SignedDuration, Timestamp};
use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FINALIZER, names};

pub use status::{
    FormerDatabase, RestoreFailure, RestoreJobRef, RestoreProgress, RestoreReport, RestoreState,
    RestoreStatus, RestoreTarget, RestoredFrom,
};

/// How long a database that was replaced is kept, unless the Restore says otherwise.
const KEEP_REPLACED: SignedDuration = SignedDuration::from_hours(72);

/// One backup, brought back into one `Database`.
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
    doc = "Brings one backup back into one Database: creating it asks for the restore, its status says how far that is, and what became of it. It is done once: the same object again, also in a cluster that was made anew, does nothing. Deleting this object cancels a restore that runs, before it has changed the database.",
    validation = names::fits_a_label(),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.databaseRef.name", description = "What is restored"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", description = "What may be in the database before"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Where it is in its life"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.shown", description = "How much of the backup is read, in percent"),
    printcolumn(name = "Backup", type_ = "date", json_path = ".status.source.startedAt", description = "How old the backup is"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Former", type_ = "string", json_path = ".status.target.former.database", description = "The database that was replaced, while it is kept", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("a Restore's spec cannot be changed: create a new Restore, under another name"),
    validation = Rule::new("self.stallSeconds <= self.deadlineSeconds")
        .message("stallSeconds must not exceed deadlineSeconds: lower it, for example 600"),
    validation = Rule::new("self.mode != 'Replace' || has(self.confirm)")
        .message("mode Replace takes the place of what is in the database: set confirm to the name of the SQL database, for example orders"),
    validation = Rule::new("self.mode == 'Replace' || !has(self.confirm)")
        .message("confirm is for mode Replace: remove it, or set mode: Replace"),
    validation = Rule::new("self.mode == 'Replace' || !has(self.keepReplaced)")
        .message("keepReplaced is for mode Replace, since otherwise nothing is replaced: remove it, or set mode: Replace")
)]
pub struct RestoreSpec {
    /// Which backup: exactly one of `backupRef`, `latest` and `manifest`.
    pub source: RestoreSource,

    /// The Database to restore, in the same namespace. It need not be the one that was backed up, but its server has to be
    /// of the same kind, and not older.
    pub database_ref: RestoredDatabase,

    /// `Empty` (default): refused unless nothing is in the database. `Replace` (PostgreSQL): the backup is loaded and checked
    /// beside the database, and takes its name in one moment; the former database is kept for a while (`keepReplaced`).
    #[serde(default)]
    pub mode: RestoreMode,

    /// For mode `Replace`: the name of the SQL database that is replaced (`status.name` of the Database), so that nobody
    /// replaces one by mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub confirm: Option<String>,

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

/// Which backup is brought back.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.backupRef) ? 1 : 0) + (has(self.latest) ? 1 : 0) + (has(self.manifest) ? 1 : 0) == 1")
    .message("source needs exactly one of backupRef, latest and manifest: write one of them, for example backupRef: {name: nightly-orders}"))]
pub struct RestoreSource {
    /// A Backup of the same namespace. The restore waits until it is COMPLETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_ref: Option<BackupRef>,

    /// The newest backup of a Database in the bucket of `databaseRef`'s instance, by the manifests there. Needs no Backup
    /// object: for after a cluster was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<LatestBackup>,

    /// One manifest in an instance's bucket, by its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestRef>,
}

/// Refers to a `Backup` by name.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BackupRef {
    /// Name of the Backup, for example `nightly-orders-202611230100`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::object_name())]
    pub name: String,
}

/// The `Database` that is restored, in the same namespace.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RestoredDatabase {
    /// Name of the Database, for example `orders`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::object_name())]
    pub name: String,
}

/// The newest backup of a Database.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestBackup {
    /// The Database that was backed up, in the same namespace. It need not exist any more.
    pub database: RestoredDatabase,

    /// Only backups that began before this time, for example `2026-11-23T06:00:00Z`. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub before: Option<Timestamp>,

    /// The id of the cluster that made the backup: one of the instance's `takeOverClaimsFrom`. Default: this cluster's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$')")
        .message("clusterId may contain only letters, digits, '-', '_' and '.': write one of the instance's takeOverClaimsFrom, or leave it out for this cluster's own"))]
    pub cluster_id: Option<String>,
}

/// One manifest in a bucket.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ManifestRef {
    /// The DatabaseInstance whose `spec.backup` names the bucket, for example `shared-postgres`. It has to allow the
    /// Restore's namespace.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = names::object_name())]
    pub instance: String,

    /// The manifest's whole key in the bucket, for example
    /// `prod/9f1c2d3e/team-a/orders/20261123T010000Z-nightly-0f1e2d3c.dump.zst.json`. It has to be of this namespace, and of
    /// this cluster or of one in the instance's `takeOverClaimsFrom`.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.endsWith('.json')")
        .message("key must be the key of a backup's manifest, which ends in .json: write that of the object with .json behind it"))]
    pub key: String,
}

/// What may be in the database before.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum RestoreMode {
    /// Nothing.
    #[default]
    Empty,
    /// Anything: the restored database takes its place, and the former one is kept for a while.
    Replace,
}

impl RestoreMode {
    /// The word in `spec.mode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Replace => "Replace",
        }
    }
}

/// What has to be true of the loaded data.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RestoreCheck {
    /// `Rows` (default): each table has as many rows as in the backup. `Digest` (PostgreSQL): a digest of each table's rows
    /// is the backup's; the loaded data is read once more for that. `None`: nothing is compared. A backup of a former version,
    /// whose manifest has no such figures, is loaded without: `status.report` says what was compared.
    #[serde(default)]
    pub level: CheckLevel,

    /// Questions of your own, each of which has to be answered with true. At most 10. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub queries: Vec<CheckQuery>,
}

/// How much is compared with the backup.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum CheckLevel {
    /// Nothing.
    None,
    /// The number of rows of each table.
    #[default]
    Rows,
    /// A digest of all rows of each table (PostgreSQL).
    Digest,
}

/// One question about the loaded data.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CheckQuery {
    /// Its name, as messages have it, for example `newest-order`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$')")
        .message("the name of a query consists of letters, digits, '-', '_' and '.', and begins and ends with a letter or digit, for example newest-order"))]
    pub name: String,

    /// One SQL statement that gives one boolean, for example
    /// `select max(created_at) > now() - interval '2 days' from orders`. It runs in the restored database, as the database's
    /// user, read-only, for at most 60 seconds.
    #[schemars(length(min = 1, max = 2048))]
    pub sql: String,
}

/// What may be left out of a restore.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Accepted {
    /// Rows of extensions' own tables.
    ExtensionData,
}

impl RestoreSpec {
    /// A restore of this source into this Database with the default limits and checks, in mode `Empty`.
    #[must_use]
    pub fn new(source: RestoreSource, database: &str) -> Self {
        Self {
            source,
            database_ref: RestoredDatabase {
                name: database.to_owned(),
            },
            mode: RestoreMode::Empty,
            confirm: None,
            check: RestoreCheck::default(),
            jobs: default_jobs(),
            keep_replaced: None,
            max_downtime_seconds: default_max_downtime_seconds(),
            accept: Vec::new(),
            deadline_seconds: default_deadline_seconds(),
            stall_seconds: default_stall_seconds(),
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

    /// The namespace and the name of the Database that it restores.
    #[must_use]
    pub fn database_key(&self) -> (String, &str) {
        (
            self.namespace().unwrap_or_default(),
            &self.spec.database_ref.name,
        )
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
