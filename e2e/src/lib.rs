//! A whole Kubernetes on one bare machine, and the tests of db-operator that need it.
//!
//! In reading order:
//! - [`command`], [`cache`], [`lock`]: running programs, keeping what was built, one clone at a time
//! - [`host`], [`tools`]: what the machine must have: Debian packages, and programs built from pinned Go modules
//! - [`cluster`]: the cluster itself, from `up` to `down`
//! - [`images`], [`servers`], [`operator`], [`objects`]: what runs in it
//! - [`demo`]: all of it at once, for a person
//! - [`fault_proxy`], [`campaign`]: faults on purpose, and what must hold in spite of them
//! - [`statement_log`]: what a database server was told, and by whom
//! - [`audit`]: what the operator asked of the API server
//! - [`bench`]: how fast the operator is, and what it costs
//! - [`kubeconfig`]: how clients find it
//! - [`dataset`]: what a backup has to bring back
//! - [`sql_servers`], [`s3`]: database servers and an S3 server as processes, for tests that need no cluster
//! - [`check`], [`suite`]: `cargo xtask test`, from quick to slow
//! - [`test_one`]: one of those tests, in any cluster
//! - [`gitops`]: `cargo xtask gitops`, Argo CD and what it makes of our objects
//! - [`book`]: the documentation as a book
//! - [`testing`]: what tests of the operator in the cluster share

pub mod alerts;
pub mod audit;
pub mod bench;
pub mod book;
pub mod cache;
pub mod campaign;
pub mod check;
pub mod cluster;
pub mod command;
pub mod dataset;
pub mod demo;
pub mod error;
pub mod fault_proxy;
pub mod gitops;
pub mod host;
pub mod images;
pub mod kubeconfig;
pub mod lock;
pub mod objects;
pub mod operator;
pub mod portable;
pub mod s3;
pub mod servers;
pub mod sql_servers;
pub mod statement_log;
pub mod suite;
pub mod test_one;
pub mod testing;
pub mod tools;
pub mod tree;

pub use error::{Error, Result};

use std::path::Path;

/// The checkout that this program was built from.
#[must_use]
pub fn clone_root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
