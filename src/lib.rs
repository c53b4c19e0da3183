//! db-operator: databases, their users and their backups inside existing database servers, as Kubernetes objects.
//!
//! In the order of reading:
//!
//! - [`api`]: the custom resources.

pub mod api;
