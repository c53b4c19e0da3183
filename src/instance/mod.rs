//! The life of a `DatabaseInstance`: its server is reached and looked at, and its Databases are told.
//!
//! | file | its one job |
//! |---|---|
//! | `reconcile.rs` | when an instance is looked at, and the order of a pass |
//! | `status.rs` | what was found on the server, and what that means for the instance (pure) |
//! | `dependents.rs` | the Databases that refer to an instance, and so keep it (pure) |

mod dependents;
mod reconcile;
mod status;

pub use reconcile::run;
