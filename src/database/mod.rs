//! The life of a `Database`: observe → next → act → report.
//!
//! | file | its one job |
//! |---|---|
//! | `controller.rs` | when a Database is looked at |
//! | `walk.rs` | the order of a pass |
//! | `state.rs` | what follows a state, and what it asks for (pure) |
//! | `observe.rs` | what a pass sees before it decides |
//! | `notes.rs` | what is persisted together with a state (pure) |
//! | `pass.rs` | what a pass knows, and how it writes what it found |
//! | `report.rs`, `events.rs` | what the conditions say, and what people are told |
//! | `desired.rs`, `drift.rs` | what is asked for, and what differs from it (pure) |
//! | `establish.rs` | claim, Secret, user, database, login |
//! | `turn.rs` | the Backups: whose turn it is, and telling them |
//! | `final_backup.rs`, `final_credentials.rs` | the backup before a deletion, and what it logs in with |
//! | `give_up.rs` | release or drop |
//! | `hold.rs`, `credentials.rs`, `secret.rs` | the Secret: in a pass; whose it is and writing it; what it holds (pure) |
//! | `stored.rs` | a Secret as the API server has it, with nothing decoded that is not asked for |
//! | `memory.rs` | what need not be looked at again yet |
//! | `allowance.rs` | how often somebody may ask for a look (pure) |

mod allowance;
pub mod controller;
mod credentials;
mod desired;
pub mod drift;
mod establish;
mod events;
mod final_backup;
mod final_credentials;
mod give_up;
mod hold;
pub mod memory;
mod notes;
mod observe;
mod pass;
mod report;
pub mod secret;
pub mod state;
mod stored;
mod turn;
mod walk;

pub use controller::run;
pub(crate) use desired::names;
pub(crate) use pass::is_allowed;
