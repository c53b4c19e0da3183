//! db-operator
