//! db-operator: databases inside existing PostgreSQL, MySQL and MariaDB instances, as Kubernetes objects.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod database;
pub mod instance;
pub mod template;
