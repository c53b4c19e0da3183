//! db-operator: databases, their users and their backups inside existing database servers, as Kubernetes objects.
//!
//! In the order of reading:
//!
//! - [`api`]: the custom resources.
//! - [`run`]: the process: [`config`], [`telemetry`], [`leader`], [`health`], [`metrics`].
//! - [`controller`]: what all controllers share, with its [`Context`](controller::Context), [`watch`], [`error`], [`backoff`],
//!   [`finalizer`], [`status`], [`trigger`] and [`watchdog`].
//! - [`instance`], [`database`], [`backup`]: one controller a kind.
//! - [`provider`]: what the operator asks of a database engine, and how each engine does it.
//! - [`agent`]: what runs in the backup pod.
//! - [`store`]: where backups go.
//! - [`queue`]: who is next, where namespaces share something that there is little of.
//! - [`template`]: texts that users may shape.
//! - [`causes`]: an error and what caused it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agent;
pub mod api;
pub mod backoff;
pub mod backup;
pub mod blocking;
pub mod causes;
pub mod client;
pub mod config;
mod context;
pub mod controller;
pub mod database;
pub mod error;
pub mod finalizer;
pub mod health;
pub mod instance;
pub mod leader;
pub mod metrics;
pub mod provider;
pub mod queue;
pub mod run;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod template;
pub mod trigger;
pub mod watch;
pub mod watchdog;

#[cfg(test)]
mod diagram;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod reserved_names;
#[cfg(test)]
mod testing;
