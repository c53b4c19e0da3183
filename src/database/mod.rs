//! The life of a `Database`: observe → next → act or persist → report.
//!
//! | file | its one job |
//! |---|---|
//! | `context.rs` | what every pass over a Database has at hand |
//! | `controller.rs` | when a Database is looked at |
//! | `reconcile.rs` | the order of a pass |
//! | `state.rs` | which state follows, and what a state asks for (pure) |
//! | `observe.rs` | what a pass sees before it decides |
//! | `transition.rs` | the status that is persisted with a step (pure) |
//! | `status.rs` | what the conditions say, and what people are told |
//! | `blocked.rs` | why a pass could not do what it was about |
//! | `pass.rs` | what a pass knows, and how it writes what it found |
//! | `spec.rs`, `drift.rs` | what is asked for, and how the server differs from it (pure) |
//! | `provision.rs` | the acts `Create` and `Maintain`: claim, Secret, user, database, login |
//! | `backups.rs` | the Backups of a Database: which one is next, and telling them |
//! | `final_backup/` | the backup before a deletion, and the credentials that it logs in with |
//! | `delete.rs` | the act `GiveUp`: release the claim, and keep or drop what it is for |
//! | `revisit.rs` | when an unchanged Database is looked at again |
//! | `allowance.rs` | how often somebody may ask for a look (pure) |

mod allowance;
mod backups;
mod blocked;
mod context;
mod controller;
mod delete;
pub mod drift;
mod final_backup;
mod observe;
mod pass;
mod provision;
mod reconcile;
pub mod revisit;
mod spec;
pub mod state;
mod status;
mod transition;

pub use context::Context;
pub use controller::run;
