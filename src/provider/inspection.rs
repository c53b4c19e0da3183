//! What a server is: its kind, its version, and what its administrator may do.

use super::Flavour;

/// What an inspection of a server found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Which engine answered.
    pub flavour: Flavour,
    /// The version that it reports: `17.6`, `11.8.3`.
    pub version: String,
    /// The part of the version that a client tool has to match: `17`, `11.8`, `9.7`.
    pub series: String,
    /// The TLS protocol and cipher in use, or `None` for a plaintext connection.
    pub tls: Option<String>,
    /// What identifies this server: PostgreSQL's system identifier; on MySQL and MariaDB a random text in
    /// `db_operator`, which, like the system identifier, follows the data to a promoted replica. A restored copy may
    /// share it.
    pub identity: Option<String>,
    /// Whether it is a replica, or set to read-only.
    pub read_only: bool,
    /// Privileges that the administrator lacks, each with the exact SQL that grants it.
    pub missing: Vec<MissingPrivilege>,
    /// Settings of the server that forbid what is done here, each with the SQL that changes it. The server cannot be used
    /// before that.
    pub unsuitable: Vec<Warning>,
    /// What the platform team should know about the server although nothing depends on it, each with the SQL that fixes
    /// it.
    pub warnings: Vec<Warning>,
}

/// Something about a server that should be different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is, as a sentence.
    pub what: String,
    /// The statement that fixes it, to be run by someone with the right to.
    pub sql: String,
}

/// What a dump of one database will be like, as predicted from the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// About how many bytes the dump will have before compression; 0 if the catalog does not know.
    pub bytes: u64,
    /// What makes a dump by the database's own user fail, each with the SQL that fixes it. At most 20 entries, each for
    /// any number of objects of one kind in one schema.
    pub unreadable: Vec<MissingPrivilege>,
    /// There are views that refer to something that is gone, which a dump of MySQL or MariaDB has to leave out.
    pub has_broken_views: bool,
    /// Events whose text has two semicolons in a row, which not every dump tool of MySQL and MariaDB gets past: their names, for people. At
    /// most 20 entries.
    pub endless_events: Vec<String>,
}

/// A privilege that is needed and missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPrivilege {
    /// What cannot be done without it.
    pub needed_for: String,
    /// The statement that grants it, to be run by someone with the right to.
    pub grant: String,
}

/// The connections of this process to one server at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In use, or being opened.
    pub busy: usize,
    /// Open and idle.
    pub idle: usize,
    /// The most there may be at any time.
    pub limit: usize,
}
