//! How far a `Backup` is and what became of it, and the words for it.

use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;

/// Where a `Backup` is in its life; `doc/state.png` shows how they follow each other.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BackupState {
    /// Its turn has come: the upload is begun and the Job created.
    Starting,
    /// The Job runs.
    BackingUp,
    /// The object is in the store, whole and checked.
    Completed,
    /// It did not work, and left nothing in the store.
    Failed,
}

impl BackupState {
    /// All of them, in the order of a life.
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

    /// True for the states that nothing follows.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Starting | Self::BackingUp => false,
            Self::Completed | Self::Failed => true,
        }
    }
}

/// How far a backup is, and what became of it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// Where the Backup is in its life: nothing while it waits for its turn, then STARTING, `BACKING_UP`, and at the end
    /// COMPLETED or FAILED, which never change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BackupState>,

    /// Ready (only when COMPLETED), and Reconciling or Stalled (FAILED) while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,

    /// The metadata.generation that was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Where the backup goes, for example `s3://backups/prod/…/orders.dump.zst`. Nothing is there before COMPLETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,

    /// How far the Job is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,

    /// What is backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,

    /// The upload and the Job, as the operator needs them to finish or to clean up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,

    /// When its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub started_at: Option<Timestamp>,

    /// When it was COMPLETED or FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub finished_at: Option<Timestamp>,

    /// How long it took from its start to its end, in seconds.
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

    /// Why it failed, when it is FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How far a backup is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// How much of the catalog's estimate is dumped, from 0 to 100. At most 99 before the end, where the estimate was
    /// too low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,

    /// What the dump tool wrote so far, in bytes.
    #[serde(default)]
    pub bytes_dumped: i64,

    /// What the store received so far (compressed), in bytes.
    #[serde(default)]
    pub bytes_uploaded: i64,

    /// How fast the dump tool writes, in bytes per second over the last moments.
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

    /// The store's id of the multipart upload, once it is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,

    /// Name of the Job, in the Backup's namespace, once it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,

    /// The metadata.uid of the Job that the operator created. Another one of that name does not count.
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
    /// Why, in one stable CamelCase word; the same as in the conditions.
    pub reason: String,

    /// Why, for a person, and what to do about it.
    pub message: String,

    /// The last lines that the dump tool wrote to its standard error.
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
