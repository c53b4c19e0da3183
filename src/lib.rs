//! db-operator

pub mod provider;
