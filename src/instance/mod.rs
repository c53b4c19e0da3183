//! The life of a `DatabaseInstance`: observe → next → act → report.
//!
//! | file | its one job |
//! |---|---|
//! | `reconcile.rs` | the loop, and when it runs again |
//! | `state.rs` | what follows from what was observed (pure) |
//! | `observe.rs` | reads all that a decision depends on, and changes nothing |
//! | `transition.rs` | the status that follows from what the server said (pure) |
//! | `status.rs` | what the conditions say of a server (pure) |
//! | `pass.rs` | what a pass holds, and how it writes the status |
//! | `inspect.rs` | the act `Inspect`: ask the server, and survey its databases |
//! | `release.rs` | the act `Release`: close the connections and let the object go |
//! | `dependents.rs` | the Databases that refer to an instance, and so keep it (pure) |

mod dependents;
mod inspect;
mod observe;
mod pass;
mod reconcile;
mod release;
mod state;
mod status;
mod transition;

pub use reconcile::run;
