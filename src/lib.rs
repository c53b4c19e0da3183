//! db-operator: databases, their users and their backups inside existing database servers, as Kubernetes objects.
//!
//! In the order of reading:
//!
//! - [`api`]: the custom resources.
//! - [`provider`]: what the operator asks of a database engine, and how each engine does it.
//! - [`instance`]: the servers, each with its provider and what was last found on it.
//! - [`database`]: the life of a `Database`.
//! - [`template`]: handlebars, strict and bounded.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod api;
pub mod database;
pub mod instance;
pub mod provider;
pub mod template;
