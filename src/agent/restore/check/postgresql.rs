//! Statistics, counts and digests on PostgreSQL.

use super::compare::Differences;
use super::{Found, as_dumped, cannot, digest};
use crate::agent::protocol::restore::Level;
use crate::agent::restore::failure::Failure;
use crate::agent::restore::load::{Dump, Load};
use crate::agent::restore::postgresql::{Session, open};
use crate::agent::restore::pulse::with_pulse;

/// Checks what is there.
pub(super) async fn check(
    load: &Load,
    dump: &Dump,
    differences: &mut Differences,
) -> Result<Found, Failure> {
    with_pulse(&load.login, &load.meter, async {
        let mut session = open(load).await?;
        let found = look(load, dump, &mut session, differences).await;
        session.close().await;
        let found = found?;
        if load.task.check == Level::Digest && differences.failure().is_none() {
            load.meter.at("all rows are read again");
            digest::compare(load, dump, differences).await?;
            load.meter.step();
        }
        Ok(found)
    })
    .await
}

async fn look(
    load: &Load,
    dump: &Dump,
    session: &mut Session,
    differences: &mut Differences,
) -> Result<Found, Failure> {
    load.meter.at("statistics are gathered (ANALYZE)");
    let analyzed = session.analyze().await;
    analyzed.map_err(|error| cannot("gather statistics", error))?;
    load.meter.step();
    if load.task.check == Level::None {
        return Ok(as_dumped(dump));
    }
    if dump.figures.is_none() {
        return all_rows(load, session, differences).await;
    }
    let mut found = Found::default();
    for table in dump.tables() {
        load.meter
            .at(format_args!("counting {}.{}", table.schema, table.name));
        let rows = session.count(&table.schema, &table.name).await;
        found.tables += 1;
        found.rows += rows.as_ref().map_or(0, |rows| *rows);
        differences.rows(table, rows);
        load.meter.step();
    }
    Ok(found)
}

/// Counts all tables, where the dump is of too many to say how many rows each has.
async fn all_rows(
    load: &Load,
    session: &mut Session,
    differences: &mut Differences,
) -> Result<Found, Failure> {
    let tables = session.tables().await;
    let tables = tables.map_err(|error| cannot("see which tables there are", error))?;
    let mut found = Found::default();
    for (schema, name) in tables {
        load.meter.at(format_args!("counting {schema}.{name}"));
        let rows = session.count(&schema, &name).await;
        found.rows +=
            rows.map_err(|error| cannot(&format!("count the rows of {schema}.{name}"), error))?;
        found.tables += 1;
        load.meter.seen_at_work();
    }
    // They are of all of the dump.
    let totals = load.task.totals.as_ref();
    if let Some(totals) = totals.filter(|_| load.task.only.is_none()) {
        differences.all_rows(found.rows, totals.rows);
    }
    Ok(found)
}
