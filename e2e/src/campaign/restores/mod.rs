//! `cargo xtask campaign restores`: the operator is killed before and after each request of a restore, to the API server,
//! to the store and to the database server. Each time it ends in the restored database, whole, with a login that works,
//! and nothing is left but what the status names; a test ends with its report, and nothing is left of it at all.
//!
//! It runs in the cluster itself, on the fixture of [`super::backups`].
//!
//! - [`scenario`]: what is restored into what, and when that is done
//! - [`contents`]: what is in a database before and afterwards
//! - `look`: what the server has when the operator is dead
//! - [`outcome`]: what has to be true in the end
//! - [`run`](mod@run): which faults, how many, and how it ended

pub mod contents;
mod look;
pub mod outcome;
pub mod run;
pub mod scenario;

pub use contents::{Contents, Source};
pub use run::{Options, run, trials};
pub use scenario::{Scenario, Target};
