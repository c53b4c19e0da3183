//! `cargo xtask campaign pauses`: the leader is stopped with SIGSTOP at a random moment of its work, another process takes
//! over, and the first goes on. What the servers' own logs then say that it did has to be nothing.
//!
//! - [`plan`]: when it is stopped, and how the next one comes to lead
//! - [`fixture`]: a control plane, the servers, and the leaders, each the successor of the one before
//! - [`work`]: Databases that come, change and go, and what has to be left of them
//! - [`trial`]: one pause
//! - [`run`](mod@run): how many, and how it ended
//!
//! What a leader did is read by [`crate::statement_log`].

pub mod fixture;
pub mod plan;
pub mod run;
pub mod trial;
pub mod work;

pub use run::{Options, run};
