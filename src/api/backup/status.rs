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

    /// Ready (only when COMPLETED), Finished (when COMPLETED or FAILED, so `kubectl wait --for=condition=Finished` ends
    /// with both), and Reconciling or Stalled (FAILED) while they are true.
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

    /// Size of the object in the store for people, for example `27Mi`, once the backup is COMPLETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,

    /// How many Jobs were started for it. More than one: the previous ones failed with a transient error (no connection
    /// was free, a table was being altered), and nothing that they uploaded counts. Not set before the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,

    /// SHA-256 of the object in the store, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,

    /// What the backup holds, counted while it was dumped. A restore is compared with it. Not set where it could not be
    /// counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,

    /// Version of the dump tool, for example `pg_dump (PostgreSQL) 17.6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,

    /// What this backup does not contain, or what a restore of it has to do without or to be prepared for: settings,
    /// subscriptions, what only an administrator can create, tables outside the snapshot. At most 20, of at most 300
    /// characters each; the manifest beside the object in the store tells more. A backup with warnings is complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,

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

    /// The same for people, for example `67%`; without an estimate the bytes that were dumped, for example `120Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,

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

impl Progress {
    /// These figures with what people are shown of them.
    #[must_use]
    pub fn for_people(mut self) -> Self {
        let shown = match self.percent {
            Some(percent) => format!("{percent}%"),
            None => size(self.bytes_dumped.max(self.bytes_uploaded)),
        };
        self.shown = Some(shown);
        self
    }
}

/// A number of bytes for people, as Kubernetes writes quantities: `0.5Ki`, `27Mi`, `1.5Gi`. Rounded down, so that no figure
/// claims more than there is.
#[must_use]
pub fn size(bytes: i64) -> String {
    let mut tenths = bytes.max(0).saturating_mul(10) / 1024;
    let mut units = ["Ki", "Mi", "Gi", "Ti"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    match (tenths / 10, tenths % 10) {
        (whole @ 0..10, tenth @ 1..) => format!("{whole}.{tenth}{unit}"),
        (whole, _) => format!("{whole}{unit}"),
    }
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

    /// Name of the Job, in the Backup's namespace, once it is created. That of a second attempt ends in `-2`.
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

    /// What was found of the database when the backup began, as JSON, until it is in the manifest: at most 12 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<String>,
}

/// What a backup holds in all.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// How many tables.
    #[serde(default)]
    pub tables: i64,

    /// How many rows in all of them.
    #[serde(default)]
    pub rows: i64,

    /// How many large objects (PostgreSQL).
    #[serde(default)]
    pub large_objects: i64,

    /// SHA-256 of the figures of all tables, in hexadecimal digits.
    #[serde(default)]
    pub digest: String,

    /// Whether the object holds the figures of each table, so that a restore can be compared table by table. There are none
    /// beyond 100,000 tables or 100,000 sequences, 8 MiB of names (of tables on MySQL and MariaDB 4 MiB), 32 MiB of JSON, or
    /// 16 MiB of it compressed.
    #[serde(default)]
    pub has_tables: bool,
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
    fn figures_are_written_as_people_say_them() {
        for (bytes, expected) in [
            (-1, "0Ki"),
            (0, "0Ki"),
            (512, "0.5Ki"),
            (1024, "1Ki"),
            (28_546_180, "27Mi"),
            (1_048_575, "1023Ki"),
            (1_610_612_736, "1.5Gi"),
            (10_737_418_240, "10Gi"),
            (5_000_000_000_000_000, "4547Ti"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
        let of = |percent| Progress {
            percent,
            bytes_dumped: 2_097_152,
            ..Progress::default()
        };
        let shown = |percent| of(percent).for_people().shown.unwrap();
        assert_eq!(
            (shown(Some(67)), shown(None)),
            ("67%".to_owned(), "2Mi".to_owned())
        );
    }

    #[test]
    fn states_are_written_as_they_are_called() {
        for state in BackupState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
