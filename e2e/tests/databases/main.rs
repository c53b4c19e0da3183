//! The life of a Database, as its users see it: the API, the servers, and an operator in the cluster.
//! They need the cluster with the operator in it: `cargo xtask load`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod adoption;
mod create;
mod deletion;
mod drift;
mod instances;
mod made;
mod moved;
mod permission;
mod quiet;
mod rivals;
mod secrets;
mod threads;
