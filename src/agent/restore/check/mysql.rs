//! Counts on MySQL and MariaDB, and the events that waited for them.

use std::collections::HashSet;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::compare::Differences;
use super::{Found, as_dumped, cannot};
use crate::agent::log;
use crate::agent::protocol::contents::Table;
use crate::agent::protocol::restore::Level;
use crate::agent::restore::failure::Failure;
use crate::agent::restore::load::{Dump, Load};
use crate::agent::restore::pulse::with_pulse;
use crate::provider::dial;
use crate::provider::ident::mysql_identifier;

/// Tables that keep former rows: the dump has those, too.
const VERSIONED: &str = "SELECT CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'SYSTEM VERSIONED'";

/// Events that were held, by the state that they were given, and what their text was read in.
const HELD: &str = "SELECT CAST(EVENT_NAME AS CHAR), CAST(CHARACTER_SET_CLIENT AS CHAR), CAST(COLLATION_CONNECTION AS CHAR)
FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() AND STATUS IN ('SLAVESIDE_DISABLED', 'REPLICA_SIDE_DISABLED')";

const TABLES: &str = "SELECT CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1";

/// Checks what is there.
pub(super) async fn check(
    load: &Load,
    dump: &Dump,
    differences: &mut Differences,
) -> Result<Found, Failure> {
    if load.task.check == Level::Digest {
        return Err(cannot(
            "compare digests",
            "only dumps of PostgreSQL have them (level Rows is possible)",
        ));
    }
    load.meter.step();
    if load.task.check == Level::None {
        return Ok(as_dumped(dump));
    }
    with_pulse(&load.login, &load.meter, async {
        let mut connection = open(load).await?;
        let found = look(load, dump, &mut connection, differences).await;
        let _ = connection.close().await;
        found
    })
    .await
}

async fn look(
    load: &Load,
    dump: &Dump,
    connection: &mut MySqlConnection,
    differences: &mut Differences,
) -> Result<Found, Failure> {
    let versioned: HashSet<String> = names(connection, VERSIONED).await?.into_iter().collect();
    let mut found = Found::default();
    let Some(figures) = &dump.figures else {
        for name in names(connection, TABLES).await? {
            load.meter.at(format_args!("counting {name}"));
            let rows = count(connection, &name, versioned.contains(&name)).await;
            found.rows +=
                rows.map_err(|error| cannot(&format!("count the rows of {name}"), error))?;
            found.tables += 1;
            load.meter.seen_at_work();
        }
        if let Some(totals) = &load.task.totals {
            differences.all_rows(found.rows, totals.rows);
        }
        return Ok(found);
    };
    for table in &figures.tables {
        let Table { name, .. } = table;
        load.meter.at(format_args!("counting {name}"));
        let rows = count(connection, name, versioned.contains(name)).await;
        found.tables += 1;
        found.rows += rows.as_ref().map_or(0, |rows| *rows);
        differences.rows(table, rows);
        load.meter.step();
    }
    Ok(found)
}

/// Lets the events run that were held while the database was loaded and checked: the last thing. Returns which of them are not
/// quite what they were, a sentence.
pub(in crate::agent::restore) async fn release_events(
    load: &Load,
) -> Result<Option<String>, Failure> {
    let mut connection = open(load).await?;
    let rows = sqlx::query(HELD).fetch_all(&mut connection).await;
    let rows = rows.map_err(|error| cannot("look at the events", error))?;
    let mut changed = Vec::new();
    for row in &rows {
        let held = Held::read(row).map_err(|error| cannot("look at the events", error))?;
        let (statements, is_same) = held.enable();
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut connection)
                .await
                .map_err(|error| cannot(&format!("enable the event {}", held.name), error))?;
        }
        if !is_same {
            changed.push(held.name);
        }
    }
    if !rows.is_empty() {
        log::say(format_args!("{} events are enabled", rows.len()));
    }
    let _ = connection.close().await;
    let few = changed.iter().take(3).map(String::as_str);
    Ok((!changed.is_empty()).then(|| {
        format!(
            "the character sets of {} events whose names are not ASCII are utf8mb4 now: {}",
            changed.len(),
            few.collect::<Vec<_>>().join(", ")
        )
    }))
}

/// An event that is held.
struct Held {
    name: String,
    client: String,
    collation: String,
}

impl Held {
    fn read(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get(0)?,
            client: row.try_get(1)?,
            collation: row.try_get(2)?,
        })
    }

    /// The statements that let it run, and whether it stays what it is. The server notes the session's character set with the
    /// event, whose text stays as it was written under its own: so that one is set before. A name beyond ASCII could then not
    /// be said.
    fn enable(&self) -> (Vec<String>, bool) {
        let Self {
            name,
            client,
            collation,
        } = self;
        let enable = format!("ALTER EVENT {} ENABLE", mysql_identifier(name));
        let is_plain = |word: &str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            !word.is_empty() && word.bytes().all(is_part)
        };
        if !(is_plain(client) && is_plain(collation)) {
            return (vec![enable], false);
        }
        if client == "utf8mb4" || name.is_ascii() {
            let set =
                format!("SET character_set_client = {client}, collation_connection = {collation}");
            return (vec![set, enable, "SET NAMES utf8mb4".to_owned()], true);
        }
        (vec![enable], false)
    }
}

async fn open(load: &Load) -> Result<MySqlConnection, Failure> {
    dial::mysql(&load.login.mysql())
        .await
        .map_err(|error| cannot("log in to the database", error))
}

async fn names(
    connection: &mut MySqlConnection,
    query: &'static str,
) -> Result<Vec<String>, Failure> {
    let rows = sqlx::query(query).fetch_all(connection).await;
    let rows = rows.map_err(|error| cannot("look at the database", error))?;
    rows.iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()
        .map_err(|error| cannot("look at the database", error))
}

async fn count(
    connection: &mut MySqlConnection,
    table: &str,
    is_versioned: bool,
) -> Result<u64, sqlx::Error> {
    let of = if is_versioned {
        " FOR SYSTEM_TIME ALL"
    } else {
        ""
    };
    let statement = format!("SELECT COUNT(*) FROM {}{of}", mysql_identifier(table));
    let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    let row = query.fetch_one(connection).await?;
    Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_the_character_set_that_its_text_is_read_in() {
        let of = |name: &str, client: &str, collation: &str| {
            let held = Held {
                name: name.to_owned(),
                client: client.to_owned(),
                collation: collation.to_owned(),
            };
            let (statements, is_same) = held.enable();
            (statements.join("; "), is_same)
        };
        assert_eq!(
            of("e", "latin1", "latin1_german2_ci"),
            (
                "SET character_set_client = latin1, collation_connection = latin1_german2_ci; ALTER EVENT `e` ENABLE; SET NAMES utf8mb4"
                    .to_owned(),
                true
            )
        );
        let (statements, is_same) = of("é", "utf8mb4", "utf8mb4_bin");
        assert!(is_same && statements.contains("utf8mb4_bin; ALTER EVENT `é`"));
        let enable = |name: &str| (format!("ALTER EVENT `{name}` ENABLE"), false);
        assert_eq!(of("é", "latin1", "latin1_bin"), enable("é"));
        assert_eq!(of("e", "latin1; DROP", "latin1_bin"), enable("e"));
        assert_eq!(of("e", "", ""), enable("e"));
    }
}
