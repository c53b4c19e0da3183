//! The life of a `Restore`: observe → next → persist or act → report. Like each kind, it has these files:
//!
//! | file | its one job |
//! |---|---|
//! | `reconcile.rs` | the loop of a pass |
//! | `state.rs` | which state follows, and what a state asks for (pure) |
//! | `observe.rs` | what a pass sees before it decides; it changes nothing |
//! | `transition.rs` | the status that is persisted with a step (pure) |
//! | `status.rs` | its conditions and Events; how a pass ends when something is in its way |
//! | `schedule.rs`, `remembered.rs` | when it is looked at; what this process has seen of it |
//! | `context.rs`, `pass.rs`, `blocked.rs` | what every pass has at hand; what it knows of its Restore; why it could not do what it was about |
//!
//! One for each act:
//!
//! | file | its one job |
//! |---|---|
//! | `pending.rs`, `once.rs`, `slot.rs` | before the beginning: what is waited for; whether it was done before; the slot that it needs |
//! | `trial.rs` | … of a test, which restores no Database: what it waits for, and whether its instance is still there for it |
//! | `prepare.rs`, `credentials.rs`, `task.rs` | the place to load into, the login's Secret, and the Job with its task |
//! | `follow.rs`, `progress.rs` | what became of the Job, and how far it is |
//! | `switch.rs`, `login.rs` | the restored database takes the name; logging in with the Database's Secret |
//! | `cleanup.rs` | what is left of the load is removed, and the restore is put on record |
//! | `sweep.rs` | from time to time: what tests have left that no Restore looks after any more is dropped |
//! | `undo.rs`, `former.rs` | the former database gets its name back; or is dropped when its time is over |
//!
//! And what these use:
//!
//! | file | its one job |
//! |---|---|
//! | `database_ref.rs` | the Database that is restored |
//! | `beginning.rs` | a Restore that is the beginning of its Database |
//! | `source.rs` | which backup: found in a bucket, or not |
//! | `fits.rs` | whether a server can take what a backup holds (pure) |
//! | `prerequisites.rs`, `load.rs` | all that a restore needs from outside; what the server is asked for (pure) |
//! | `failure.rs` | why a restore failed, with the reason for each cause of its Job (pure) |
//! | `wake.rs` | who is woken by a Restore |

mod beginning;
mod blocked;
mod cleanup;
mod context;
mod credentials;
mod database_ref;
mod failure;
mod fits;
mod follow;
mod former;
mod load;
mod login;
mod newest;
mod observe;
mod once;
mod pass;
mod pending;
mod prepare;
mod prerequisites;
mod progress;
mod readable;
mod reconcile;
pub mod remembered;
mod schedule;
mod slot;
mod source;
pub mod state;
mod status;
mod sweep;
mod switch;
mod task;
mod transition;
mod trial;
mod undo;
mod wake;

pub use context::Context;
use pass::Pass;
pub use reconcile::run;
