//! db-operator: databases, their users and their backups inside existing PostgreSQL, MySQL and MariaDB instances, as
//! Kubernetes objects.
//!
//! In the order of reading:
//!
//! - [`api`]: the custom resources, as `kubectl explain` shows them;
//! - [`database`], [`backup`]: what becomes of a `Database` and of a `Backup`; `state.rs` in each says what follows what;
//! - [`instance`]: the servers that they are on;
//! - [`template`]: handlebars, strict and bounded.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod api;
pub mod backup;
pub mod database;
pub mod instance;
pub mod template;

#[cfg(test)]
mod diagram;
#[cfg(test)]
mod testing;
