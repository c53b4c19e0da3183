//! Is the output whole? Watches it pass, before it is compressed.
//!
//! An exit status of 0 is not enough: what counts is that the tool wrote its end. Each kind of output has an own way to
//! say that it is whole, `postgresql.rs` and `mysql.rs`.

mod mysql;
mod postgresql;

use super::errand::Flavour;

/// Watches a dump pass.
#[derive(Debug)]
pub enum Whole {
    /// PostgreSQL's custom format.
    Postgresql(Box<postgresql::Archive>),
    /// SQL of `mysqldump` and `mariadb-dump`.
    Mysql(mysql::Tail),
}

impl Whole {
    /// A watcher for the output of this kind of server's tool.
    #[must_use]
    pub fn new(flavour: Flavour) -> Self {
        match flavour {
            Flavour::Postgresql => Self::Postgresql(Box::default()),
            Flavour::Mysql | Flavour::Mariadb => Self::Mysql(mysql::Tail::default()),
        }
    }

    /// Takes the next bytes.
    pub fn pass(&mut self, bytes: &[u8]) {
        match self {
            Self::Postgresql(archive) => archive.pass(bytes),
            Self::Mysql(tail) => tail.pass(bytes),
        }
    }

    /// After the last byte: fine, or what is missing, as a sentence.
    pub fn verdict(&self) -> Result<(), String> {
        match self {
            Self::Postgresql(archive) => archive.verdict(),
            Self::Mysql(tail) => tail.verdict(),
        }
    }
}
