//! Proxies between the operator and what it talks to: they count its requests, and let things go wrong at some of them.
//!
//! - [`faults`]: what goes wrong, and when; one count for all proxies of an operator
//! - [`http`]: hands HTTP requests on, and lets happen what is decided for each of them
//!   - [`api`]: in front of an API server
//!   - [`store`]: in front of an object store; [`resign`] takes temporary keys out of requests
//! - [`tunnel`]: in front of anything that speaks TCP: a database server, or an API server that shall be unreachable
//! - [`tls_records`]: requests, as they show through TLS

pub mod api;
pub mod faults;
mod http;
mod resign;
pub mod store;
mod tls_records;
pub mod tunnel;

pub use api::ApiProxy;
pub use faults::{Effect, Fault, Faults, Moment};
pub use store::{Call, S3Proxy, StoreProxy};
pub use tunnel::Tunnel;
