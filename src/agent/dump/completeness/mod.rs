//! Checks whether the output is complete, before it is compressed.
//!
//! An exit status of 0 is not enough: what counts is that the tool wrote everything up to the end. Each format shows that in
//! its own way, see `postgresql.rs` and `mysql.rs`.

mod mysql;
mod postgresql;

use crate::agent::protocol::task::Flavour;

/// Observes a dump as it passes.
#[derive(Debug)]
pub enum Completeness {
    /// PostgreSQL's custom format.
    Postgresql(Box<postgresql::Archive>),
    /// The SQL of `mysqldump` and `mariadb-dump`.
    Mysql(mysql::Tail),
}

impl Completeness {
    /// For the output of the tool for this kind of server.
    #[must_use]
    pub fn new(flavour: Flavour) -> Self {
        match flavour {
            Flavour::Postgresql => Self::Postgresql(Box::default()),
            Flavour::Mysql | Flavour::Mariadb => Self::Mysql(mysql::Tail::default()),
        }
    }

    /// Takes the next bytes.
    pub fn observe(&mut self, bytes: &[u8]) {
        match self {
            Self::Postgresql(archive) => archive.observe(bytes),
            Self::Mysql(tail) => tail.observe(bytes),
        }
    }

    /// Says what is missing, after the last byte.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Postgresql(archive) => archive.check(),
            Self::Mysql(tail) => tail.check(),
        }
    }
}
