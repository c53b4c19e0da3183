//! The life of a Backup, as its users see it: the API, the store, the servers, and an operator in the cluster.
//! They need the cluster with the operator in it: `cargo xtask load`.
//!
//! | file | what it shows |
//! |---|---|
//! | `life.rs` | from the object to a restored copy: states, status, log, object, manifest |
//! | `turns.rs` | one at a time for a Database, the oldest first |
//! | `final_backup.rs` | the one before a deletion with `BackupBeforeDelete` |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod final_backup;
mod life;
mod turns;
