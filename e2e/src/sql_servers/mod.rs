//! Database servers for tests of the SQL side: local processes, and those that run in the cluster.

pub mod mariadb;
pub mod mysql;
