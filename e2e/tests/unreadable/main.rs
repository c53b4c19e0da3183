//! What a team can store in its own namespace, and the operator's types refuse: one bad object is one bad object. All others go
//! on, also after another replica leads and reads everything anew.
//! They need the cluster with the operator in it: `cargo xtask load`. Those that end operators run alone (`.config/nextest.toml`).
//!
//! | file | what it holds |
//! |---|---|
//! | `raw.rs` | objects as JSON, since no typed client reads them, and taking all of them away |
//! | `bystander.rs` | a Database of another team, asked for once a second |
//! | `dates.rs` | a time that Go reads and we do not, in an object of each kind that is watched or read |
//! | `control_plane.rs` | the same before the operator begins, on an API server of the test's own; a watch that is refused |
//! | `odd.rs` | objects as a team could write them, from a seed |
//! | `fuzz.rs` | a few thousand of those |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod bystander;
mod control_plane;
mod dates;
mod fuzz;
mod odd;
mod raw;

/// What Go reads, and a time of ours ends a few hours before.
const TOO_LATE: &str = "9999-12-31T23:59:59Z";
