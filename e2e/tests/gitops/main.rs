//! What Argo CD makes of our objects: committed to a Git repository, synced, changed, pruned and deleted, as its users do it.
//! They need Argo CD in the cluster: `cargo xtask gitops`.
//!
//! | file | what it shows |
//! |---|---|
//! | `environments.rs` | the samples, an Application for each environment: healthy, at rest, and gone |
//! | `health.rs` | which health an object has, and when |
//! | `changes.rs` | a commit is carried out; a hand edit is taken back |
//! | `prune.rs` | what leaves Git goes, by each deletion policy |
//! | `deletion.rs` | Applications that are deleted, in any order |
//! | `alone.rs` | what needs the operator to itself: all of it in one go, and an operator that is not there |
//! | `place.rs`, `application.rs`, `repository.rs` | what they share |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a failed test may panic"
)]

mod alone;
mod application;
mod changes;
mod deletion;
mod environments;
mod health;
mod place;
mod prune;
mod repository;
