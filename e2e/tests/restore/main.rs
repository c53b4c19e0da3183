//! What runs inside a restore pod, as a real process: real tools and servers, a real S3 server, and what goes wrong.
//!
//! It needs the operator's binary (`cargo build`, or DB_OPERATOR_BIN), no cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../dump/fixture.rs"]
#[expect(dead_code, reason = "restores need a part of what dumps do")]
mod dump;
mod fixture;
mod hostile;
mod mariadb;
mod object_faults;
mod only;
mod postgresql;
mod tool_faults;
