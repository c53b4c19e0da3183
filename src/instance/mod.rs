//! Instances: the servers, each with its provider, its breaker and what was last found on it.
//!
//! | file | its one job |
//! |---|---|
//! | `controller.rs` | when an instance is looked at, and the order of a pass |
//! | `access.rs` | from the object and its Secrets to what a provider needs |
//! | `connections.rs` | the providers that are open |
//! | `destination.rs` | the object stores that backups go to |
//! | `verdict.rs` | what was found, and what that means (pure) |
//! | `users.rs` | who refers to an instance, and so keeps it (pure) |
//! | `registry.rs` | what the other controllers may know of an instance |
//! | `refused.rs` | when a server that refused is asked again (pure) |
//! | `server.rs` | a server that may be used: asked behind its breaker |
//! | `breaker.rs` | when a server that fails is left alone (pure) |

mod access;
pub mod breaker;
pub mod connections;
pub mod controller;
pub mod destination;
mod refused;
pub mod registry;
pub mod server;
mod users;
mod verdict;

pub use controller::run;
