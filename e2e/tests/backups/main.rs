//! The life of a Backup, as its users see it: the API, the store, the servers, and an operator in the cluster.
//! They need the cluster with the operator in it: `cargo xtask load`.
//!
//! | file | what it shows |
//! |---|---|
//! | `life.rs` | from the object to a restored copy: states, status, log, object, manifest |
//! | `rewritten.rs` | … under another name and by another user, with what only a rewritten dump can bring back |
//! | `big.rs` | … of a table of 2 GB, by `cargo xtask campaign data` |
//! | `snapshot.rs` | … of one moment, while others write |
//! | `turns.rs` | one at a time for a Database, the oldest first; a limit for each instance |
//! | `waits.rs` | what keeps a backup from beginning, and that it begins when that is mended |
//! | `deleted.rs` | deleted while it runs, itself or its Database |
//! | `broken_views.rs` | made without what refers to something that is gone |
//! | `templates.rs` | a platform team's own template of the Job |
//! | `warnings.rs` | what a backup does not contain, in its status and its manifest |
//! | `broken_off.rs` | a restore that fails early, or of an object that breaks off, ends within seconds |
//! | `canary.rs` | passwords and keys show nowhere |
//! | `final_backup.rs` | the one before a deletion with `BackupBeforeDelete` |
//! | `restarts.rs` | … with operators that end meanwhile; `.config/nextest.toml` lets no other test run then |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod big;
mod broken_off;
mod broken_views;
mod canary;
mod deleted;
mod final_backup;
mod life;
mod restarts;
mod rewritten;
mod snapshot;
mod templates;
mod turns;
mod waits;
mod warnings;
