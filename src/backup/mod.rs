//! The life of a `Backup`: observe → next → act or persist → report, in the same rooms as a Database's.
//!
//! | file | its one job |
//! |---|---|
//! | `context.rs` | what every pass over a Backup has at hand |
//! | `controller.rs` | when a Backup is looked at |
//! | `reconcile.rs` | the order of a pass |
//! | `state.rs` | which state follows, and what a state asks for (pure) |
//! | `observe.rs` | what a pass sees before it decides; it changes nothing |
//! | `transition.rs` | the status that is persisted with a step |
//! | `blocked.rs` | why a pass could not do what it was about |
//! | `pass.rs` | what a pass knows, and how it writes what it found |
//! | `pending.rs` | before the beginning: what is waited for |
//! | `database_ref.rs` | the Database behind a Backup |
//! | `prerequisites.rs` | all that a backup needs from outside |
//! | `plan.rs` | how large it becomes, and in which parts (pure) |
//! | `start.rs`, `create.rs` | the act `Start`: the upload and the Job, in the place of a Job that is not ours |
//! | `follow.rs`, `progress.rs` | the act `Follow`: what became of the Job, and how far its dump is |
//! | `sign.rs` | the signed parts, kept ahead of the Job |
//! | `commit.rs`, `commit_failure.rs` | from the Job's report to an object that counts; what a failed commit means (pure) |
//! | `cleanup.rs`, `sweep.rs` | what is left behind is stopped and aborted; so is what a crash left |
//! | `revisit.rs` | when a Backup is looked at again, and what is remembered of it |

mod blocked;
mod cleanup;
mod commit;
mod commit_failure;
mod context;
mod controller;
mod create;
mod database_ref;
mod follow;
mod observe;
mod pass;
mod pending;
mod plan;
mod prerequisites;
mod progress;
mod reconcile;
pub mod revisit;
mod sign;
mod start;
pub mod state;
mod sweep;
mod transition;

pub use context::Context;
pub use controller::run;
