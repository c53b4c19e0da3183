//! The life of a Backup, as its users see it: the API, the store, the servers, and an operator in the cluster.
//! They need the cluster with the operator in it: `cargo xtask load`.
//!
//! | file | what it shows |
//! |---|---|
//! | `life.rs` | from the object to a restored copy: states, status, log, object, manifest |
//! | `big.rs` | … of a table of 2 GB, by `cargo xtask campaign data` |
//! | `snapshot.rs` | … of one moment, while others write |
//! | `turns.rs` | one at a time for a Database, the oldest first; a limit for each instance |
//! | `waits.rs` | what keeps a backup from beginning, and that it begins when that is mended |
//! | `deleted.rs` | deleted while it runs, itself or its Database |
//! | `templates.rs` | a platform team's own template of the Job |
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
mod canary;
mod deleted;
mod final_backup;
mod life;
mod restarts;
mod snapshot;
mod templates;
mod turns;
mod waits;
