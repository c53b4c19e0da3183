//! The custom resources of the group `db-operator.dev`, version `v1alpha1`, and nothing else: no client, no clock.
//!
//! A crate of its own, so that a program that only reads or writes these objects needs nothing else of the operator, which
//! knows it as `db_operator::api`.
//!
//! | file | what it holds |
//! |---|---|
//! | `instance/` | [`DatabaseInstance`]: where a server is and who may use it |
//! | `destination.rs` | where an instance's backups go, and how their Jobs are made |
//! | `shared.rs` | whose backups Restores of other namespaces may read |
//! | `job_pod.rs` | what an instance sets of the pods of those Jobs |
//! | `database/` | [`Database`]: one database and the user that owns it |
//! | `backup/` | [`Backup`]: one backup of one database |
//! | `restore/` | [`Restore`]: one backup, brought back into one database |
//! | `references.rs` | how these objects name Secrets, `ConfigMap`s and each other |
//! | `quantity.rs` | amounts of bytes as Kubernetes writes them |
//! | `names.rs` | what a name may look like, as rules the API server enforces |
//! | `conditions.rs`, `reason.rs` | what a status says, in the words of kstatus |
//! | `crds.rs` | the custom resource definitions as the files in `crds/` |
//! | `reference.rs` | the same for people: `doc/reference/api.md` |
//!
//! Doc comments of fields are what `kubectl explain` shows. A rule that the API server can check is a CEL rule beside
//! the field it is about; a rule that compares optional fields with their older values is at the object's root, over
//! the effective value, because a field rule is not evaluated when a field is taken away and set anew.
// The derives of the kinds repeat each struct inside a function, where none of it can be reached.
#![allow(unreachable_pub)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod backup;
pub mod conditions;
pub mod crds;
pub mod database;
pub mod destination;
pub mod instance;
pub mod job_pod;
pub mod names;
pub mod quantity;
pub mod reason;
pub mod references;
pub mod restore;
pub mod shared;

#[cfg(test)]
mod reference;
#[cfg(test)]
#[path = "../testing.rs"]
mod testing;

pub use backup::{Backup, BackupSpec, BackupState, BackupStatus};
pub use conditions::{Condition, ConditionStatus, Report};
pub use database::{
    AdoptionPolicy, Database, DatabaseSpec, DatabaseState, DatabaseStatus, DeletionPolicy,
};
pub use instance::{DatabaseInstance, DatabaseInstanceSpec, DatabaseInstanceStatus, Provider};
pub use reason::{BackupReason, DatabaseReason, InstanceReason, Outcome, Reason, RestoreReason};
pub use restore::{Restore, RestoreMode, RestoreSpec, RestoreState, RestoreStatus};

/// The API group of all kinds.
pub const GROUP: &str = "db-operator.dev";

/// The only version of the API so far.
pub const VERSION: &str = "v1alpha1";

/// The finalizer that each kind carries while something has to be done before it may go.
pub const FINALIZER: &str = "db-operator.dev/finalizer";

/// Annotation: look again now, once per value (any text, usually a timestamp).
pub const RECONCILE_REQUESTED_AT: &str = "db-operator.dev/reconcile-requested-at";

/// Annotation on a [`Database`]: make a database again that somebody dropped, empty or as `initFrom` says, once per value.
pub const RECREATE_REQUESTED_AT: &str = "db-operator.dev/recreate-requested-at";

/// Annotation on a [`Restore`] that replaced a database: put the former one back while it is kept, once per value.
pub const UNDO_REQUESTED_AT: &str = "db-operator.dev/undo-requested-at";

/// Annotation on a [`Database`] that is being deleted: let the object go and leave the server as it is.
/// Its value must be the name of the SQL database.
pub const RELEASE: &str = "db-operator.dev/release";

/// Annotation on a [`DatabaseInstance`] whose server changed its identity: go on with the new one.
/// Its value must be the identity in `status.identity.seen`.
pub const ACKNOWLEDGE_IDENTITY: &str = "db-operator.dev/acknowledge-identity";

/// Label on a Secret, with the value `true`: a [`Database`] of the same name may take it over and keep its password.
pub const ADOPT_LABEL: &str = "db-operator.dev/adopt";

/// Label on what the operator makes: the name of the [`Database`] it belongs to.
pub const DATABASE_LABEL: &str = "db-operator.dev/database";

/// Label on what the operator makes for a backup: the name of the [`Backup`] it belongs to.
pub const BACKUP_LABEL: &str = "db-operator.dev/backup";

/// Label on what the operator makes for a restore: the name of the [`Restore`] it belongs to.
pub const RESTORE_LABEL: &str = "db-operator.dev/restore";

/// Label on a final backup in the operator's own namespace: the namespace of the [`Database`] it was made of.
pub const DATABASE_NAMESPACE_LABEL: &str = "db-operator.dev/database-namespace";
