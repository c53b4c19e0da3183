//! What the operator knows about a `Database`, and the words for it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DatabaseInit;
use crate::conditions::Condition;
use crate::restore::RestoreState;

/// The states of a `Database`; `doc/state.png` shows the order in which they follow each other.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DatabaseState {
    /// The user, the database and the Secret are being created, and the backup of `spec.initFrom` is being loaded.
    Creating,
    /// The Secret exists, and logging in with it works.
    Created,
    /// A backup was requested and is being started.
    BackupRequested,
    /// A backup is running.
    BackupInProgress,
    /// A backup has completed.
    BackupCompleted,
    /// The object was deleted; a final backup is being started.
    BackupBeforeDeleteRequested,
    /// The final backup is running.
    BackupBeforeDeleteInProgress,
    /// The final backup has completed.
    BackupBeforeDeleteCompleted,
    /// The object was deleted; its policy is read for the last time.
    DeletionRequested,
    /// The claim is being released, and database and user are dropped if the policy says so.
    DeletionInProgress,
    /// Nothing is left to be done.
    Deleted,
}

impl DatabaseState {
    /// All states, in the order of a Database's life.
    pub const ALL: [Self; 11] = [
        Self::Creating,
        Self::Created,
        Self::BackupRequested,
        Self::BackupInProgress,
        Self::BackupCompleted,
        Self::BackupBeforeDeleteRequested,
        Self::BackupBeforeDeleteInProgress,
        Self::BackupBeforeDeleteCompleted,
        Self::DeletionRequested,
        Self::DeletionInProgress,
        Self::Deleted,
    ];

    /// The word in `status.state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Created => "CREATED",
            Self::BackupRequested => "BACKUP_REQUESTED",
            Self::BackupInProgress => "BACKUP_IN_PROGRESS",
            Self::BackupCompleted => "BACKUP_COMPLETED",
            Self::BackupBeforeDeleteRequested => "BACKUP_BEFORE_DELETE_REQUESTED",
            Self::BackupBeforeDeleteInProgress => "BACKUP_BEFORE_DELETE_IN_PROGRESS",
            Self::BackupBeforeDeleteCompleted => "BACKUP_BEFORE_DELETE_COMPLETED",
            Self::DeletionRequested => "DELETION_REQUESTED",
            Self::DeletionInProgress => "DELETION_IN_PROGRESS",
            Self::Deleted => "DELETED",
        }
    }
}

/// What the operator knows about a `Database`.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// The state of the Database: CREATING, CREATED (a Secret exists, logging in with it works, and the backup of
    /// `spec.initFrom` is loaded and compared), one of
    /// `BACKUP_REQUESTED`, `BACKUP_IN_PROGRESS`, `BACKUP_COMPLETED` (it stays usable), or, while it is being deleted, one of
    /// `BACKUP_BEFORE_DELETE_REQUESTED`, `BACKUP_BEFORE_DELETE_IN_PROGRESS`, `BACKUP_BEFORE_DELETE_COMPLETED`,
    /// `DELETION_REQUESTED`, `DELETION_IN_PROGRESS`, DELETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DatabaseState>,

    /// Ready, and Reconciling or Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,

    /// The metadata.generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The metadata.generation that was last brought about completely; absent while something that it asks for is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_generation: Option<i64>,

    /// Annotations that request something, each with the value that was handled last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub handled: BTreeMap<String, String>,

    /// The Secret to bind to, as the Service Binding specification (servicebinding.io) requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,

    /// Name of the SQL database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Name of the SQL user that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,

    /// What was claimed on the server for this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,

    /// The Secret's version when logging in with it last worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,

    /// How the database begins, or began, with `spec.initFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<DatabaseInit>,

    /// The backup that is active, in the states BACKUP_*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<ActiveBackup>,

    /// The last backup that completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<LastBackup>,

    /// The restore whose turn it is, or the last one that ended, as long as its Restore is there. The turn of one that failed
    /// ends when what it made is removed: until then this has the state that it failed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<DatabaseRestore>,

    /// The database that the last Restore in mode Replace replaced, while it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<Replaced>,

    /// The final backup, in the states `BACKUP_BEFORE_DELETE`_*; it is kept in the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_backup: Option<FinalBackup>,

    /// What the deletion does on the server: `Keep` or `Drop`. Decided by the policy when the state becomes
    /// `DELETION_IN_PROGRESS`, and final from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionEffect>,
}

/// What a deletion does on the server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum DeletionEffect {
    /// Database and user stay.
    Keep,
    /// Database and user are dropped.
    Drop,
}

/// The Secret to bind to.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Binding {
    /// Name of the Secret, in the Database's namespace.
    pub name: String,
}

/// What was claimed on the server.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The cluster that claimed it.
    pub cluster_id: String,

    /// The server that holds it: PostgreSQL's system identifier, MySQL's or MariaDB's server UUID.
    pub server_identity: String,

    /// False: the database already existed and was adopted.
    pub created_database: bool,

    /// False: the user already existed and was adopted.
    pub created_user: bool,

    /// Whether the instance's list allows deletionPolicy to drop what was adopted.
    #[serde(default)]
    pub drop_adopted: bool,
}

/// A version of a Secret.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Its metadata.uid: a different one means that it was deleted and created again.
    pub uid: String,

    /// Its metadata.resourceVersion: a different one means that it was changed.
    pub resource_version: String,
}

/// The backup that is active for a Database.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ActiveBackup {
    /// Name of the Backup, in the Database's namespace.
    pub name: String,

    /// Its metadata.uid, so that another Backup of the same name is not mistaken for it.
    pub uid: String,
}

/// A restore of a Database.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DatabaseRestore {
    /// Name of the Restore, in the Database's namespace.
    pub name: String,

    /// Its metadata.uid, so that another Restore of the same name is not mistaken for it.
    pub uid: String,

    /// The state of the Restore; absent until it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RestoreState>,
}

/// A database that a Restore replaced, and that is kept for a while.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replaced {
    /// The name that it has now on the server. Nobody can log in to it.
    pub database: String,

    /// When it is dropped.
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub until: Timestamp,

    /// When it was replaced. Of several, only the newest is kept.
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub replaced_at: Timestamp,

    /// Name of the Restore that replaced it.
    pub restore: String,

    /// The Restore's metadata.uid. The Restore may be gone by now.
    pub restore_uid: String,
}

/// A completed backup.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastBackup {
    /// Name of the Backup, in the Database's namespace.
    pub name: String,

    /// When it completed.
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub finished_at: Timestamp,

    /// Where it is, for example `s3://backups/prod/…/orders.dump.zst`.
    pub destination: String,
}

/// The backup before a deletion.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalBackup {
    /// Name of the Backup, in the operator's namespace.
    pub name: String,

    /// Which attempt it is, from 1.
    pub attempt: i32,

    /// Whether it has completed. The backup is then in the store, even if the Backup object is removed.
    #[serde(default)]
    pub completed: bool,

    /// When the next attempt may start, after a failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::conditions::timestamp")]
    pub retry_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_as_they_are_called() {
        for state in DatabaseState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
