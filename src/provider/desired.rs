//! What a server is asked for, with every default filled in.

use super::SqlName;

/// The SQL names of a database and of the role that owns it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Names {
    /// The database (MySQL: the schema).
    pub database: SqlName,
    /// The role (MySQL: the account's user part; its host is always `%`).
    pub role: SqlName,
}

/// What a `Database` object asks for, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The database and its owner.
    pub names: Names,
    /// Sessions that the role may have at once; `None` is no limit.
    pub connection_limit: Option<u32>,
    /// Settings of PostgreSQL. Empty where the server's defaults are wanted.
    pub postgresql: PostgresqlSettings,
    /// Settings of MySQL and MariaDB. Empty where the server's defaults are wanted.
    pub mysql: MysqlSettings,
}

/// Settings that only PostgreSQL has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresqlSettings {
    /// Character encoding of a new database, such as `UTF8`. An existing database keeps its own.
    pub encoding: Option<String>,
    /// `LC_COLLATE` and `LC_CTYPE` of a new database. An existing database keeps its own.
    pub locale: Option<String>,
    /// Extensions that must be installed.
    pub extensions: Vec<Extension>,
    /// Schemas that must exist, owned by the role.
    pub schemas: Vec<SqlName>,
    /// Extensions that the server does not trust but the platform team allows.
    pub allowed_extensions: Vec<String>,
}

/// One extension of a PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name in `pg_available_extensions`.
    pub name: SqlName,
    /// The schema that it goes into; `None` leaves the choice to the server.
    pub schema: Option<SqlName>,
    /// The version that is wanted; `None` is the server's default.
    pub version: Option<String>,
}

/// Settings that only MySQL and MariaDB have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MysqlSettings {
    /// Default character set of the schema; `None` is the server's own.
    pub character_set: Option<String>,
    /// Default collation of the schema; `None` is the character set's own.
    pub collation: Option<String>,
}

/// What to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The names.
    pub names: Names,
    /// Drop the database.
    pub database: bool,
    /// Drop the role.
    pub role: bool,
}
