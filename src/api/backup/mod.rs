//! `Backup`: one backup of one `Database`. Written by the application team, or by the operator before a deletion.
//!
//! This file holds what is asked for; `status.rs` how far it is and what became of it.

mod status;

use kube::{CustomResource, KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};

use super::names;
use super::references::DatabaseRef;

pub use status::{BackupState, BackupStatus, Failure, Progress, Source, Totals, Upload, size};

/// One backup of one `Database`.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "db-operator.dev",
    version = "v1alpha1",
    kind = "Backup",
    plural = "backups",
    namespaced,
    shortname = "dbb",
    category = "db-operator",
    status = "BackupStatus",
    derive = "PartialEq",
    doc = "One backup of one Database: creating it asks for the backup, its status says how far that is, and what became of it. Backups of one Database run one at a time, the oldest first. Deleting this object stops a backup that runs, and never deletes one that is complete.",
    validation = names::fits_a_label(),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.databaseRef.name", description = "What is backed up"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Where it is in its life"),
    printcolumn(name = "Destination", type_ = "string", json_path = ".status.destination", description = "Where it goes"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.shown", description = "How much is dumped, in percent of the estimate"),
    printcolumn(name = "Size", type_ = "string", json_path = ".status.size", description = "Size of the object in the store"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("a Backup's spec cannot be changed: create a new Backup"),
    validation = Rule::new("self.stallSeconds <= self.deadlineSeconds")
        .message("stallSeconds must not exceed deadlineSeconds: lower it, for example 600")
)]
pub struct BackupSpec {
    /// The Database to back up, in the same namespace.
    pub database_ref: DatabaseRef,

    /// The backup fails if it has not completed after this time, in seconds from its start (time spent waiting before
    /// that is not counted). From 60 to 604800 (a week). Default: 21600 (6 hours). The instance's
    /// `spec.backup.job.maxDeadlineSeconds` applies if it is lower.
    #[serde(default = "default_deadline_seconds")]
    #[schemars(range(min = 60, max = 604_800))]
    pub deadline_seconds: i64,

    /// The backup fails if nothing is dumped or uploaded for this time, in seconds. From 30 to 86400 (a day).
    /// Default: 600 (10 minutes). The instance's `spec.backup.job.maxStallSeconds` applies if it is lower.
    #[serde(default = "default_stall_seconds")]
    #[schemars(range(min = 30, max = 86_400))]
    pub stall_seconds: i64,
}

fn default_deadline_seconds() -> i64 {
    21_600
}

fn default_stall_seconds() -> i64 {
    600
}

impl BackupSpec {
    /// A backup of this Database with the default limits.
    #[must_use]
    pub fn new(database_ref: DatabaseRef) -> Self {
        Self {
            database_ref,
            deadline_seconds: default_deadline_seconds(),
            stall_seconds: default_stall_seconds(),
        }
    }
}

impl Backup {
    /// Its state, if it has started.
    #[must_use]
    pub fn state(&self) -> Option<BackupState> {
        self.status.as_ref().and_then(|status| status.state)
    }

    /// The namespace that its Database is in.
    #[must_use]
    pub fn database_namespace(&self) -> Option<String> {
        self.spec
            .database_ref
            .namespace
            .clone()
            .or_else(|| self.namespace())
    }

    /// The namespace and the name of the Database that it is of. `None` if it names a namespace where that is not accepted:
    /// only in the `operators` own is it.
    #[must_use]
    pub fn database_key(&self, operators: &str) -> Option<(&str, &str)> {
        let reference = &self.spec.database_ref;
        let own = self.metadata.namespace.as_deref()?;
        let namespace = match reference.namespace.as_deref() {
            None => own,
            Some(named) if own == operators => named,
            Some(_) => return None,
        };
        Some((namespace, &reference.name))
    }

    /// True from its start to its end. Each Database has at most one active backup at a time.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state().is_some_and(|state| !state.is_terminal())
    }
}

/// The name of a final backup: the Database's name, truncated so that the whole fits into a label, eight digits of its
/// UID to tell it from another Database of that name, and the attempt.
pub(super) fn final_name(database: &str, uid: Option<&str>, attempt: i32) -> String {
    let uid: String = uid.unwrap_or_default().chars().take(8).collect();
    let tail = format!("-final-{uid}-{attempt}");
    let room = names::OBJECT_NAME_LENGTH.saturating_sub(tail.len());
    let head: String = database.chars().take(room).collect();
    format!("{}{tail}", head.trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_backups_name_fits_and_tells_attempts_and_objects_apart() {
        let uid = Some("0f1e2d3c-aaaa-bbbb-cccc-000000000000");
        assert_eq!(final_name("orders", uid, 1), "orders-final-0f1e2d3c-1");
        assert_ne!(final_name("orders", uid, 1), final_name("orders", uid, 2));
        assert_ne!(
            final_name("orders", uid, 1),
            final_name("orders", Some("11111111-2222"), 1)
        );

        let long = final_name(
            &format!("{}.{}", "a".repeat(40), "b".repeat(22)),
            uid,
            i32::MAX,
        );
        assert!(long.len() <= names::OBJECT_NAME_LENGTH, "{long}");
        assert!(!long.contains(".-"), "{long}");
    }
}
