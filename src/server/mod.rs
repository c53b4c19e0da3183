//! A SQL server as the operator knows it: how it is reached, whether it may be used, and how it is asked.
//!
//! | file | its one job |
//! |---|---|
//! | `access.rs` | from an instance and its Secrets to what a provider needs to connect |
//! | `connections.rs` | the providers that are open |
//! | `handle.rs` | a server that may be used, asked behind its breaker |
//! | `breaker.rs` | when a server that fails is left alone (pure) |
//! | `refusal.rs` | when a server that refused is asked again (pure) |
//! | `permission.rs` | which namespaces may use an instance |
//! | `resolve.rs` | from the name of an instance to its server, or why that may not be used (pure) |
//! | `tenancy.rs` | an instance as one namespace may use it |
//! | `names.rs`, `desired.rs` | the SQL names of a Database, and all that it asks for (pure) |
//! | `registry.rs` | what is known of each instance, for the objects that live on it |

pub(crate) mod access;
pub(crate) mod breaker;
pub(crate) mod connections;
pub(crate) mod desired;
#[cfg(test)]
pub(crate) mod fakes;
mod handle;
mod names;
pub(crate) mod permission;
pub(crate) mod refusal;
pub(crate) mod registry;
pub(crate) mod resolve;
pub(crate) mod tenancy;

use crate::api::InstanceReason;
pub use handle::{Server, ServerError, Version, ask};
pub use names::names;

/// What is said of a server: the reason and the message of its instance's conditions.
pub type Finding = (InstanceReason, String);
