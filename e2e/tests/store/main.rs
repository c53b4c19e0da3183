//! The object store's client, signatures and commit on a real S3 server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod commit;
mod fixture;
mod leftovers;
mod life;
mod refusals;
mod window;
