//! `cargo xtask campaign backups`: the operator is killed before and after each request of a backup, to the API server
//! and to the store, and the dump tool is killed at random points. Each time the status is true, and the store has what
//! it says and nothing else.
//!
//! A backup needs pods: this campaign runs in the cluster itself, in the place of the operator that is installed there.
//!
//! - [`fixture`], `setup`: an operator between proxies, a store; a Database
//! - [`installed_operator`]: the installed operator rests, and comes back
//! - [`outcome`]: what has to be true of a backup that ended
//! - [`node`]: processes of pods, which are processes of this machine
//! - [`run`](mod@run): which faults, how many, and how it ended

pub mod fixture;
pub mod installed_operator;
pub mod node;
pub mod outcome;
pub mod run;
pub(crate) mod setup;

pub use fixture::Fixture;
pub use outcome::Store;
pub use run::{Options, run, trials};
