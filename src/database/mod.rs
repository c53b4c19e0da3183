//! The life of a `Database`: observe → next → act or persist → report.
//!
//! | file | its one job |
//! |---|---|
//! | `reconcile.rs` | the loop |
//! | `state.rs` | which state follows, and what a state asks for (pure) |
//! | `observe.rs` | reads all that a decision depends on, and changes nothing |
//! | `transition.rs` | the status that is persisted with a step (pure) |
//! | `status.rs` | what the conditions and Events say |
//! | `pass.rs` | what a pass holds, and how it writes what it found |
//! | `view.rs` | what an observation may use: it only reads |
//! | `blocked.rs` | why a pass could not do what it was about |
//! | `context.rs` | what every pass can use |
//! | `provision.rs` | the acts `Create` and `Maintain`: Secret, user, database and login |
//! | `claim.rs` | the part of them that claims the names |
//! | `spec.rs`, `drift.rs` | what is asked for, and how the server differs from it (pure) |
//! | `backups.rs` | the Backups of a Database: which one is current |
//! | `final_backup/` | the act `RequestFinalBackup`, and the credentials that the backup logs in with |
//! | `delete.rs` | the act `Delete`: release the claim, and keep or drop what it is for |
//! | `schedule.rs` | when a Database is looked at, and what is remembered of a pass |
//! | `revisit.rs` | when an unchanged Database is looked at again |
//! | `allowance.rs` | how often someone may ask for a look (pure) |
//! | `wake.rs` | what wakes the controller, and whom a Database wakes |

mod allowance;
mod backups;
mod blocked;
mod claim;
mod context;
mod delete;
mod drift;
mod final_backup;
mod observe;
mod pass;
mod provision;
mod reconcile;
mod revisit;
mod schedule;
mod spec;
pub mod state;
mod status;
mod transition;
mod view;
mod wake;

use blocked::Blocked;
pub use context::Context;
pub use reconcile::run;
