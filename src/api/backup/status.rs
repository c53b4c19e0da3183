//! How far a `Backup` is and what became of it, and the words for it.

use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;

/// The states of a `Backup`; `doc/state.png` shows the order in which they follow each other.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BackupState {
    /// It has a slot: the upload is begun and the Job created.
    Starting,
    /// The Job runs.
    BackingUp,
    /// The object is in the store, complete and checked.
    Completed,
    /// It failed, and left nothing in the store.
    Failed,
}

impl BackupState {
    /// All states, in the order of a Backup's life.
    pub const ALL: [Self; 4] = [
        Self::Starting,
        Self::BackingUp,
        Self::Completed,
        Self::Failed,
    ];

    /// The word in `status.state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::BackingUp => "BACKING_UP",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }

    /// True for the states that are final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Starting | Self::BackingUp => false,
            Self::Completed | Self::Failed => true,
        }
    }
}

/// The progress and the outcome of a backup.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// The state of the Backup: empty while it waits for a slot, then STARTING, `BACKING_UP`, and finally COMPLETED or
    /// FAILED, which never change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BackupState>,

    /// Ready (only when COMPLETED), and Reconciling or Stalled (FAILED) while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,

    /// The metadata.generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Where the backup goes, for example `s3://backups/prod/…/orders.dump.zst`. Nothing exists there before COMPLETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,

    /// The progress of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,

    /// What is backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,

    /// The upload and the Job, which the operator needs to finish or to clean up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,

    /// When it started, after any waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub started_at: Option<Timestamp>,

    /// When it became COMPLETED or FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub finished_at: Option<Timestamp>,

    /// Seconds from its start to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,

    /// Size of the dump before compression, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dumped_bytes: Option<i64>,

    /// Size of the object in the store, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<i64>,

    /// SHA-256 of the object in the store, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,

    /// Version of the dump tool, for example `pg_dump (PostgreSQL) 17.6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,

    /// Why it failed, if it is FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The progress of a backup.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// How much of the catalog's size estimate has been dumped, from 0 to 100. If the estimate was too low, at most 99
    /// until the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,

    /// Bytes that the dump tool has written so far.
    #[serde(default)]
    pub bytes_dumped: i64,

    /// Bytes (compressed) that the store has received so far.
    #[serde(default)]
    pub bytes_uploaded: i64,

    /// How fast the dump tool is writing, in bytes per second.
    #[serde(default)]
    pub bytes_per_second: i64,

    /// When one of these figures last grew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub last_advance: Option<Timestamp>,
}

/// What is backed up, as it was when the backup started.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Name of the DatabaseInstance.
    pub instance: String,

    /// Name of the SQL database.
    pub database: String,

    /// Kind and version of the server, for example `PostgreSQL 17.6`.
    pub server_version: String,

    /// The metadata.uid of the Database object.
    pub database_uid: String,
}

/// An upload and the Job that feeds it.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    /// The bucket that the upload was begun in.
    pub bucket: String,

    /// The object's key in the bucket.
    pub key: String,

    /// The store's id of the multipart upload, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,

    /// Name of the Job, in the Backup's namespace, once it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,

    /// The metadata.uid of the Job that the operator created. Another Job of that name does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_uid: Option<String>,

    /// How many parts the object has, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<i32>,

    /// The digest over the parts that the Job reported, from its report until the object is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts_digest: Option<String>,
}

/// Why a backup failed.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The reason, as one stable CamelCase word; the same as in the conditions.
    pub reason: String,

    /// An explanation, and what to do about it.
    pub message: String,

    /// The last lines that the dump tool wrote to standard error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_as_they_are_called() {
        for state in BackupState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
