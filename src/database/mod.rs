//! The life of a `Database`: observe → next → persist or act → report. Like each kind, it has these files:
//!
//! | file | its one job |
//! |---|---|
//! | `reconcile.rs` | the loop of a pass |
//! | `state.rs` | which state follows, and what a state asks for (pure) |
//! | `observe.rs`, `view.rs` | what a pass sees before it decides; what it may use for that, which only reads |
//! | `transition.rs` | the status that is persisted with a step (pure) |
//! | `status.rs` | its conditions and Events; how a pass ends when something is in its way |
//! | `schedule.rs`, `remembered.rs` | when it is looked at; what this process has seen of it |
//! | `context.rs`, `pass.rs`, `blocked.rs` | what every pass has at hand; what it knows of its Database; why it could not do what it was about |
//!
//! One for each act:
//!
//! | file | its one job |
//! |---|---|
//! | `provision.rs` | the acts `Create` and `Maintain`: Secret, user, database and login |
//! | `wanted.rs`, `claim.rs`, `secret.rs`, `matching.rs`, `login.rs` | the parts of them that say what is asked for, claim the names, write the Secret, make the server match, and log in |
//! | `init/` | before `Create`: the database begins with a backup (`spec.initFrom`) |
//! | `concerns.rs` | what a person should know of a database that exists |
//! | `final_backup/` | the act `RequestFinalBackup`, and the credentials that the backup logs in with |
//! | `delete.rs` | the act `Delete`: release the claim, and keep or drop what it is for |
//!
//! And what these use:
//!
//! | file | its one job |
//! |---|---|
//! | `spec.rs`, `drift.rs` | what is asked for, and how the server differs from it (pure) |
//! | `backups.rs`, `restores.rs` | the Backups of a Database: which one is current; its Restores: whose turn it is, and when nothing else alters the database |
//! | `former.rs` | the databases that Restores replaced: which one is noted, and its end |
//! | `wake.rs` | what wakes the controller, and whom a Database wakes |

mod backups;
mod blocked;
mod claim;
mod concerns;
mod context;
mod delete;
mod drift;
mod final_backup;
mod former;
mod init;
mod login;
mod matching;
mod observe;
mod pass;
mod provision;
mod reconcile;
mod remembered;
mod restores;
mod schedule;
mod secret;
mod spec;
pub mod state;
mod status;
mod transition;
mod view;
mod wake;
mod wanted;

pub use context::Context;
pub use reconcile::run;
