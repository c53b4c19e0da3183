//! Whether what is there now is what was dumped.
//!
//! | file | its one job |
//! |---|---|
//! | `compare.rs` | the differences, and how many of them are named (pure) |
//! | `postgresql.rs`, `mysql.rs` | counts what is there, and what else belongs to a load's end |
//! | `digest.rs` | reads all rows again through the same counting (PostgreSQL) |
//! | `queries.rs` | asks the team's questions |

mod compare;
mod digest;
mod mysql;
mod postgresql;
mod queries;

use super::failure::Failure;
use super::load::{Dump, Load};
use crate::agent::log;
use crate::agent::protocol::restore::{Level, Phase, RestoreCause};
use crate::agent::protocol::task::Flavour;
use crate::printable::several;
use compare::Differences;

pub(super) use mysql::release_events;

/// What is there now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// How many tables.
    pub tables: u64,
    /// How many rows in all of them.
    pub rows: u64,
}

/// Checks what is there now, as far as that is asked for. Returns what was found, and how long the phase before took.
pub(super) async fn check(load: &Load, dump: &Dump) -> Result<(Found, u64), Failure> {
    let task = &load.task;
    let tables = dump.tables().count();
    let counted = match task.check {
        Level::None => 0,
        Level::Rows | Level::Digest => tables,
    };
    let steps = counted + task.queries.len() + usize::from(task.check == Level::Digest) + 1;
    let took = load
        .meter
        .begin(Phase::Check, u32::try_from(steps).unwrap_or(u32::MAX));
    log::say(match task.check {
        Level::None => "rows are not compared with the backup".to_owned(),
        Level::Rows => format!("counting the rows of {}", several(tables as u64, "table")),
        Level::Digest => {
            format!(
                "counting the rows of {}, and reading them again",
                several(tables as u64, "table")
            )
        }
    });
    let mut differences = Differences::default();
    let found = match task.target.flavour {
        Flavour::Postgresql => postgresql::check(load, dump, &mut differences).await?,
        Flavour::Mysql | Flavour::Mariadb => mysql::check(load, dump, &mut differences).await?,
    };
    if let Some(failure) = differences.failure() {
        return Err(failure);
    }
    queries::ask(load, &mut differences).await?;
    match differences.failure() {
        Some(failure) => Err(failure),
        None => Ok((found, took.as_secs())),
    }
}

/// What was compared: of some tables of a dump that does not say how many rows each one has, nothing can be.
pub(super) fn compared(load: &Load, dump: &Dump) -> Level {
    let is_unknown = load.task.only.is_some() && dump.figures.is_none();
    if is_unknown {
        Level::None
    } else {
        load.task.check
    }
}

/// What was dumped, where nothing is counted.
fn as_dumped(dump: &Dump) -> Found {
    Found {
        tables: dump.tables().count() as u64,
        rows: dump.tables().map(|table| table.rows).sum(),
    }
}

/// A check could not be made.
#[expect(
    clippy::needless_pass_by_value,
    reason = "an error ends here, as words"
)]
fn cannot(doing: &str, error: impl ToString) -> Failure {
    Failure::new(
        RestoreCause::CheckFailed,
        format!("cannot {doing}: {}", error.to_string()),
    )
}
