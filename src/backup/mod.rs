//! The life of a `Backup`: observe → next → persist or act → report. Like each kind, it has these files:
//!
//! | file | its one job |
//! |---|---|
//! | `reconcile.rs` | the loop of a pass |
//! | `state.rs` | which state follows, and what a state asks for (pure) |
//! | `observe.rs` | what a pass sees before it decides; it changes nothing |
//! | `transition.rs` | the status that is persisted with a step (pure) |
//! | `status.rs` | its conditions and Events; how a pass ends when something is in its way |
//! | `schedule.rs`, `remembered.rs` | when it is looked at; what this process has seen of it |
//! | `context.rs`, `pass.rs`, `blocked.rs` | what every pass has at hand; what it knows of its Backup; why it could not do what it was about |
//!
//! One for each act:
//!
//! | file | its one job |
//! |---|---|
//! | `pending.rs`, `slot.rs` | before the beginning: what is waited for; the slot that it needs |
//! | `start.rs`, `create.rs` | the upload and the Job, in the place of a Job that is not ours |
//! | `follow.rs`, `progress.rs`, `sign.rs` | what became of the Job, how far its dump is, and the signed parts ahead of it |
//! | `held_up.rs`, `retry.rs` | who holds up a dump that does not move; whether one that failed is tried again (pure) |
//! | `commit.rs`, `commit_failure.rs` | from the Job's report to an object that counts; what a failed commit means (pure) |
//! | `cleanup.rs`, `sweep.rs` | what is left behind is stopped and aborted; so is what a crash left |
//!
//! And what these use:
//!
//! | file | its one job |
//! |---|---|
//! | `database_ref.rs` | the Database behind a Backup |
//! | `contents.rs` | what a look at the database found: warnings, and what the manifest is to say |
//! | `prerequisites.rs`, `plan.rs` | all that a backup needs from outside; how large it becomes, and in which parts (pure) |
//! | `server_version.rs` | kind and version of a server, as the status holds them |
//! | `wake.rs` | who is woken by a Backup |

mod blocked;
mod cleanup;
mod commit;
mod commit_failure;
mod contents;
mod context;
mod create;
mod database_ref;
#[cfg(test)]
mod fakes;
mod follow;
mod held_up;
mod observe;
mod pass;
mod pending;
mod plan;
mod prerequisites;
mod progress;
mod reconcile;
pub mod remembered;
mod retry;
mod schedule;
mod server_version;
mod sign;
mod slot;
mod start;
pub mod state;
mod status;
mod sweep;
mod transition;
mod wake;

pub use context::Context;
use pass::Pass;
pub use reconcile::run;
