//! Proxies between the operator and what it talks to: they count its requests, and let things go wrong at one of them.
//!
//! - [`faults`]: what goes wrong, and when; one count for all proxies of an operator
//! - [`api`]: in front of an API server, request by request
//! - [`tunnel`]: in front of anything that speaks TCP: a database server, or an API server that shall be unreachable

pub mod api;
pub mod faults;
pub mod tunnel;

pub use api::ApiProxy;
pub use faults::{Effect, Fault, Faults, Moment};
pub use tunnel::Tunnel;
