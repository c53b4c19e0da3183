//! What runs inside a backup pod, as a real process: real dump tools and servers, a real S3 server, and what goes wrong.
//!
//! It needs the operator's binary (`cargo build`, or DB_OPERATOR_BIN), no cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod figures;
mod fixture;
mod mariadb;
mod mariadb_content;
mod passing;
mod postgresql;
mod postgresql_content;
mod rewrite;
mod store_faults;
mod tool_faults;
mod windows;
