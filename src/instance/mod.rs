//! The life of a `DatabaseInstance`: observe → next → act → report. Like each kind, it has these files:
//!
//! | file | its one job |
//! |---|---|
//! | `reconcile.rs` | the loop of a pass, and when it runs again |
//! | `state.rs` | what follows from what was observed (pure); it has no states of its own, so no step is persisted |
//! | `observe.rs`, `view.rs` | what a pass sees before it decides; what it may use for that, which only reads |
//! | `transition.rs` | the status that follows from what the server said (pure) |
//! | `status.rs` | what its conditions say of a server (pure) |
//! | `pass.rs` | what a pass knows of its instance |
//!
//! One for each act, and what they use:
//!
//! | file | its one job |
//! |---|---|
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
mod view;

pub use reconcile::run;
