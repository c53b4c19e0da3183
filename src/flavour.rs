//! The database engines.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A database engine that the operator tells apart: it has a provider or a dialect of one, and a dump tool. The protocol of
/// the backup pod and the manifest of a backup name it in lower case.
///
/// The API has an enum of its own, because it is a crate of its own; `instance/transition.rs` turns this one into that.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// PostgreSQL, dumped by `pg_dump`.
    Postgresql,
    /// MySQL, dumped by its `mysqldump`.
    Mysql,
    /// MariaDB, dumped by `mariadb-dump`.
    Mariadb,
}

impl Flavour {
    /// The engine's name as its makers spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
