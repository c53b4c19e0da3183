//! db-operator: databases, their users, their backups and restores inside existing database servers, as Kubernetes objects.
//!
//! In the order of reading:
//!
//! - [`api`]: the custom resources.
//! - [`run`]: the process: [`config`], [`telemetry`], [`leader`], [`health`], [`metrics`].
//! - [`controller`]: what the controllers of all kinds do, with its [`Context`](controller::Context).
//! - [`instance`], [`database`], [`backup`], [`restore`]: one folder a kind.
//! - [`server`]: a SQL server as the operator knows it.
//! - [`credentials`]: the life of a password.
//! - [`job`]: a Job from a template, and what became of it.
//! - [`queue`]: who is next, where namespaces share a scarce resource.
//! - [`store`]: where backups go.
//! - [`provider`]: what the operator asks of a database engine, and how each engine does it.
//! - [`agent`]: what runs in the backup pod.
//! - [`template`]: templates that users may write.
//! - [`client`], [`watch`], [`backoff`], [`blocking`], [`causes`], [`flavour`], [`printable`]: access to the API server, and what all
//!   of these use.
//!
//! Which of them may use which: `arrows/`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agent;
pub mod backoff;
pub mod backup;
pub mod blocking;
pub mod causes;
pub mod client;
pub mod config;
pub mod controller;
pub mod credentials;
pub mod database;
pub mod flavour;
pub mod health;
pub mod instance;
pub mod job;
pub mod leader;
pub mod metrics;
pub mod printable;
pub mod provider;
pub mod queue;
pub mod restore;
pub mod run;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod template;
pub mod watch;

/// The custom resources. A crate of its own, for programs that need nothing else of the operator.
pub use db_operator_api as api;

#[cfg(test)]
mod arrows;
#[cfg(test)]
mod diagram;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod reserved_names;
#[cfg(test)]
mod testing;
