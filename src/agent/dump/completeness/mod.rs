//! Checks whether the output is complete, before it is compressed, and counts what is in it.
//!
//! An exit status of 0 is not enough: what counts is that the tool wrote everything up to the end. Each format shows that in
//! its own way, see `postgresql.rs` and `mysql.rs`. PostgreSQL's format also says what is in it (`contents.rs`). What is
//! counted decides nothing about whether the dump is complete.
//!
//! | file | its one job |
//! |---|---|
//! | `postgresql.rs`, `items.rs` | follows an archive block by block; reads its header and entries |
//! | `contents.rs`, `statement.rs` | what its table of contents says of a restore; words of its statements |
//! | `counting.rs`, `copy.rs` | counts what is in an archive; rows as `COPY` writes them |
//! | `mysql.rs` | the last line of a dump in SQL |
//! | `inserts.rs`, `values.rs` | counts what is in a dump in SQL; rows as `INSERT` has them |

pub(in crate::agent) mod contents;
mod copy;
mod counting;
mod inserts;
pub(in crate::agent) mod items;
mod mysql;
mod postgresql;
pub(in crate::agent) mod statement;
mod values;

use crate::agent::contents::Figures;
use crate::agent::protocol::task::Flavour;

/// The longest table of contents of an archive that a Restore takes, in bytes: it is a file in memory there.
pub(in crate::agent) const LONGEST_CONTENTS: u64 = 64 * 1024 * 1024;

/// Observes a dump as it passes.
#[derive(Debug)]
pub(in crate::agent) enum Completeness {
    /// PostgreSQL's custom format.
    Postgresql(Box<postgresql::Archive>),
    /// The SQL of `mysqldump` and `mariadb-dump`.
    Mysql(mysql::Tail, Box<inserts::Inserts>),
}

impl Completeness {
    /// For the output of the tool for this kind of server.
    #[must_use]
    pub(in crate::agent) fn new(flavour: Flavour) -> Self {
        match flavour {
            Flavour::Postgresql => Self::Postgresql(Box::default()),
            Flavour::Mysql | Flavour::Mariadb => {
                Self::Mysql(mysql::Tail::default(), Box::default())
            }
        }
    }

    /// Takes the next bytes.
    pub(in crate::agent) fn observe(&mut self, bytes: &[u8]) {
        match self {
            Self::Postgresql(archive) => archive.observe(bytes),
            Self::Mysql(tail, inserts) => {
                tail.observe(bytes);
                inserts.observe(bytes);
            }
        }
    }

    /// Says what is missing, after the last byte.
    pub(in crate::agent) fn check(&self) -> Result<(), String> {
        match self {
            Self::Postgresql(archive) => archive.check(),
            Self::Mysql(tail, _) => tail.check(),
        }
    }

    /// Whether what has come is no dump, whatever follows.
    pub(in crate::agent) fn is_broken(&self) -> bool {
        match self {
            Self::Postgresql(archive) => archive.is_broken(),
            // That shows only at its end.
            Self::Mysql(..) => false,
        }
    }

    /// What was counted, after the last byte; why it could not be, otherwise.
    pub(in crate::agent) fn figures(self) -> Result<Figures, String> {
        match self {
            Self::Postgresql(archive) => archive.figures(),
            Self::Mysql(_, inserts) => inserts.finish(),
        }
    }

    /// How many tables with data there are, as soon as the dump says so.
    pub(in crate::agent) fn tables(&self) -> Option<u32> {
        match self {
            Self::Postgresql(archive) => archive.tables(),
            Self::Mysql(..) => None,
        }
    }

    /// What a restore of it needs, a sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
        match self {
            Self::Postgresql(archive) => archive.warnings(),
            Self::Mysql(..) => Vec::new(),
        }
    }

    /// The largest row so far, in bytes, where the format shows it.
    pub(super) fn largest_row(&self) -> Option<u64> {
        match self {
            Self::Postgresql(archive) => Some(archive.largest_row()).filter(|&bytes| bytes > 0),
            Self::Mysql(..) => None,
        }
    }
}
