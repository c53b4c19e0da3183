//! What a team with every right in its own namespace tries against everybody else, with a real identity of the cluster,
//! against the operator in it. Each attempt shows how it fails, and that the other side is as it was.
//! They need the cluster with the operator in it: `cargo xtask load`.
//!
//! | file | what is tried |
//! |---|---|
//! | `scene.rs` | who is who: the team, and a rival that has something to lose |
//! | `reach.rs` | other namespaces, instances, rights, statuses: through the API server; other databases: through SQL |
//! | `names.rs` | a rival's name in every disguise, names of the servers, what stands there already |
//! | `elsewhere.rs` | leading the operator or a backup to a host of the team's choosing |
//! | `backups.rs` | other namespaces' backups, final backups, forged states, Jobs and Secrets made beforehand |
//! | `shared.rs` | another namespace's backups, with the platform's word and without |
//! | `task.rs` | what a running backup's Secret is good for; the store's keys and the administrator's password |
//! | `templates.rs` | names and templates that try to be more than text; extensions |
//! | `load.rs` | the operator's memory and its queue |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod backups;
mod elsewhere;
mod load;
mod names;
mod reach;
mod scene;
mod shared;
mod task;
mod templates;
