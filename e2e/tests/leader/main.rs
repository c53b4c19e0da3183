//! One leader, with the built binary and a real API server: who leads, when, and how it ends.
//!
//! Each test has a namespace and a lease of its own. The processes may use that lease and nothing else,
//! so that they do not touch what another operator in the cluster looks after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

#[path = "../support/mod.rs"]
mod support;

mod lease;
mod scene;
mod standing_by;
mod succession;

use std::time::Duration;

const TTL: Duration = Duration::from_secs(4);
const RENEW: Duration = Duration::from_secs(1);
const LEASE: &str = "db-operator";
