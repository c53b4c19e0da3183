//! How far a `Restore` is and what became of it, and the words for it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CheckLevel;
use crate::backup::size;
use crate::conditions::Condition;

/// The states of a `Restore`; `doc/state.png` shows the order in which they follow each other.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RestoreState {
    /// It has its turn: the target is looked at, and the place to load into and the Job are made.
    Preparing,
    /// The Job loads the backup.
    Loading,
    /// The Job compares what it loaded with the backup.
    Checking,
    /// The restored database takes the other one's place.
    Switching,
    /// The Database has what was backed up; with mode `Test`, what was loaded was checked, and is dropped.
    Completed,
    /// It failed, and the Database has what it had before.
    Failed,
}

impl RestoreState {
    /// All states, in the order of a Restore's life.
    pub const ALL: [Self; 6] = [
        Self::Preparing,
        Self::Loading,
        Self::Checking,
        Self::Switching,
        Self::Completed,
        Self::Failed,
    ];

    /// The word in `status.state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "PREPARING",
            Self::Loading => "LOADING",
            Self::Checking => "CHECKING",
            Self::Switching => "SWITCHING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }

    /// True for the states that are final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Preparing | Self::Loading | Self::Checking | Self::Switching => false,
            Self::Completed | Self::Failed => true,
        }
    }
}

/// The progress and the outcome of a restore.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreStatus {
    /// The state of the Restore: empty while it waits, then PREPARING, LOADING, CHECKING, SWITCHING (not with mode `Test`), and
    /// finally COMPLETED or FAILED, which never change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RestoreState>,

    /// Ready (only when COMPLETED), Finished (when COMPLETED or FAILED, so `kubectl wait --for=condition=Finished` ends
    /// with both), and Reconciling or Stalled (FAILED) while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,

    /// The metadata.generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Annotations that request something, each with the value that was handled last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub handled: BTreeMap<String, String>,

    /// The backup that was chosen. Once it is here, no other one is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RestoredFrom>,

    /// Where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<RestoreTarget>,

    /// The progress of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RestoreProgress>,

    /// The Job that loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RestoreJobRef>,

    /// When it started, after any waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub started_at: Option<Timestamp>,

    /// When SWITCHING began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub switching_since: Option<Timestamp>,

    /// When it became COMPLETED or FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub finished_at: Option<Timestamp>,

    /// Seconds from its start to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,

    /// What was loaded and compared, and how long each part took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RestoreReport>,

    /// What of the backup was not brought back, a sentence each. At most 8, of at most 200 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,

    /// What a person should know of a restore that is done, or being done: at most 8, of at most 300 characters each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,

    /// Why it failed, if it is FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RestoreFailure>,
}

/// The backup that is brought back.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredFrom {
    /// The DatabaseInstance whose bucket it is in.
    pub instance: String,

    /// The bucket.
    pub bucket: String,

    /// The key of the object with the dump; that of its manifest has `.json` behind it.
    pub key: String,

    /// SHA-256 of the manifest as it was chosen, in hexadecimal digits. A manifest that was changed since is not followed.
    pub manifest_sha256: String,

    /// Name of the Backup that made it.
    pub backup: String,

    /// Name of the Database that was backed up.
    pub database: String,

    /// Its namespace: the one of this object, or one whose backups the instance's `spec.backup.shared` lets it read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// The id of the cluster that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,

    /// When the backup began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub started_at: Option<Timestamp>,

    /// Kind and version of the server that was backed up, for example `PostgreSQL 17.6`.
    pub server_version: String,

    /// Size of the object in bytes.
    pub bytes: i64,
}

/// Where a restore goes.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreTarget {
    /// Name of the DatabaseInstance.
    pub instance: String,

    /// Name of the SQL database. With mode `Test`, it is made for that, and dropped again.
    pub database: String,

    /// Name of the SQL user that owns it.
    pub user: String,

    /// The metadata.uid of the Database object. Not with mode `Test`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub database_uid: String,

    /// The server: PostgreSQL's system identifier, MySQL's or MariaDB's server UUID.
    pub server_identity: String,

    /// The SQL database that is loaded into: beside the target on PostgreSQL, the target itself on MySQL and MariaDB, and with
    /// mode `Test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<String>,

    /// The SQL user that was made for this load alone. It is dropped afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,

    /// The role that all that is loaded belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,

    /// The database that was replaced, while it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<FormerDatabase>,

    /// How often the switch was tried and found someone in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,

    /// When the switch, or the undoing, is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub retry_at: Option<Timestamp>,
}

/// A database that was replaced and is kept for a while.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerDatabase {
    /// The name that it has now on the server. Nobody can log in to it.
    pub database: String,

    /// When it is dropped.
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub until: Timestamp,

    /// When it was replaced. Of several, only the newest is kept.
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub replaced_at: Timestamp,
}

/// The Job that loads.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RestoreJobRef {
    /// Its name, in the Restore's namespace.
    pub name: String,

    /// The metadata.uid of the Job that the operator created. Another Job of that name does not count.
    pub uid: String,
}

/// The progress of a restore.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreProgress {
    /// How much of the object has been read, from 0 to 100. Building indexes and checking come after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,

    /// How far it is for people: `67%`, then `indexes 3/9` and `checks 2/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,

    /// Bytes of the object that were fetched so far.
    #[serde(default)]
    pub bytes_fetched: i64,

    /// How fast the object is being read, in bytes per second.
    #[serde(default)]
    pub bytes_per_second: i64,

    /// When one of these figures last grew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub last_advance: Option<Timestamp>,
}

impl RestoreProgress {
    /// These figures with what people are shown of them while rows are loaded.
    #[must_use]
    pub fn for_people(mut self) -> Self {
        let shown = match self.percent {
            Some(percent) => format!("{percent}%"),
            None => size(self.bytes_fetched),
        };
        self.shown = Some(shown);
        self
    }
}

/// What was loaded and compared, and how long each part took.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// How many tables there are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<i64>,

    /// How many rows they have in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,

    /// What was compared with the backup and is equal: `Digest`, `Rows` or `None`, which may be less than was asked for
    /// where the backup tells no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<CheckLevel>,

    /// How many of `spec.check.queries` were answered with true: all of them, or the restore fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<i32>,

    /// Tables that are not what the backup says, a sentence each. At most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,

    /// Seconds from the start until the Job ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare_seconds: Option<i64>,

    /// Seconds that loading the rows took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_seconds: Option<i64>,

    /// Seconds that building indexes and constraints took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_seconds: Option<i64>,

    /// Seconds that statistics and checks took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_seconds: Option<i64>,

    /// Seconds from the Job's report until the restored database had its name, with all attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_seconds: Option<i64>,

    /// For how long nobody could log in to the database, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_millis: Option<i64>,

    /// The loading tool's version, for example `pg_restore (PostgreSQL) 17.6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
}

/// Why a restore failed.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreFailure {
    /// The reason, as one stable CamelCase word; the same as in the conditions.
    pub reason: String,

    /// An explanation, and what to do about it.
    pub message: String,

    /// The last lines that the loading tool wrote to standard error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_as_they_are_called() {
        for state in RestoreState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }

    #[test]
    fn progress_without_a_size_is_shown_in_bytes() {
        let shown = |percent| {
            let progress = RestoreProgress {
                percent,
                bytes_fetched: 2_097_152,
                ..RestoreProgress::default()
            };
            progress.for_people().shown.unwrap()
        };
        assert_eq!(
            (shown(Some(67)), shown(None)),
            ("67%".to_owned(), "2Mi".to_owned())
        );
    }
}
