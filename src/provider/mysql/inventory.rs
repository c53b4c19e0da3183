//! What comes with a schema beside its rows: settings that the meaning of the dump depends on, tables that no snapshot
//! holds still, definers that a restore needs, and rows that are too long for the server that they came from.

use std::collections::BTreeMap;

use super::catalog::{self, ANY_HOST};
use super::connect::ServerProfile;
use super::session::Session;
use crate::provider::ident::mysql_identifier;
use crate::provider::inventory::{
    Inventory, LargestRows, Objects, Setting, SettingOf, mebibytes, shown,
};
use crate::provider::{Names, ProviderError};

/// Settings of the server that a restore has to match, or that a dump does not contain.
const SETTINGS: [&str; 10] = [
    "character_set_server",
    "collation_server",
    "event_scheduler",
    "explicit_defaults_for_timestamp",
    "innodb_strict_mode",
    "lower_case_table_names",
    MAX_ALLOWED_PACKET,
    "sql_mode",
    "system_time_zone",
    "time_zone",
];

/// The longest statement that the server takes, in bytes.
const MAX_ALLOWED_PACKET: &str = "max_allowed_packet";

/// Engines whose tables a transaction's snapshot holds still.
const TRANSACTIONAL: [&str; 3] = ["InnoDB", "ROCKSDB", "TokuDB"];

/// Engines of which `mysqldump` and `mariadb-dump` dump the definition alone: the rows are elsewhere
/// (`check_if_ignore_table` in both sources).
const ELSEWHERE: [&str; 6] = [
    "MRG_MyISAM",
    "FEDERATED",
    "CONNECT",
    "OQGRAPH",
    "SPIDER",
    "VP",
];

/// What a statement has beside the values of one row, in bytes: generous for the names of a table and its columns.
const STATEMENT: u64 = 64 * 1024;

/// A table's rows are worth a word from this average on, in bytes.
const LARGE_ROW: u64 = 16 * 1024 * 1024;

const TABLES: &str = "SELECT CONVERT(TABLE_TYPE USING utf8mb4) AS type, CONVERT(ENGINE USING utf8mb4) AS engine, \
     CAST(COUNT(*) AS SIGNED) AS count FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? \
     AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) GROUP BY TABLE_TYPE, ENGINE ORDER BY 1, 2 LIMIT 50";

const TABLES_OF: &str = "SELECT CONVERT(TABLE_NAME USING utf8mb4) AS name FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = ? AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) AND TABLE_TYPE = ? AND ENGINE = ? \
     ORDER BY TABLE_NAME LIMIT 10";

const LARGEST: &str = "SELECT CONVERT(TABLE_NAME USING utf8mb4) AS name, CAST(AVG_ROW_LENGTH AS SIGNED) AS average \
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) \
     AND ENGINE IS NOT NULL ORDER BY AVG_ROW_LENGTH DESC LIMIT 1";

/// Whether a table has columns whose values stand in a dump as hexadecimal digits.
const BINARY_COLUMNS: &str = "SELECT CAST(COUNT(*) AS SIGNED) AS count FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? \
     AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) AND TABLE_NAME = ? \
     AND DATA_TYPE IN ('mediumblob', 'longblob', 'geometry', 'geomcollection', 'multipolygon', 'polygon', 'linestring')";

/// MariaDB reads the file of each view for its definer, and opens nothing that the view refers to.
const DEFINERS: [(&str, &str); 4] = [
    (
        "routines",
        "SELECT CONVERT(DEFINER USING utf8mb4) AS definer, CAST(COUNT(*) AS SIGNED) AS count FROM information_schema.ROUTINES \
         WHERE ROUTINE_SCHEMA = ? AND CAST(ROUTINE_SCHEMA AS BINARY) = CAST(? AS BINARY) GROUP BY DEFINER ORDER BY 1 LIMIT 50",
    ),
    (
        "triggers",
        "SELECT CONVERT(DEFINER USING utf8mb4) AS definer, CAST(COUNT(*) AS SIGNED) AS count FROM information_schema.TRIGGERS \
         WHERE TRIGGER_SCHEMA = ? AND CAST(TRIGGER_SCHEMA AS BINARY) = CAST(? AS BINARY) GROUP BY DEFINER ORDER BY 1 LIMIT 50",
    ),
    (
        "events",
        "SELECT CONVERT(DEFINER USING utf8mb4) AS definer, CAST(COUNT(*) AS SIGNED) AS count FROM information_schema.EVENTS \
         WHERE EVENT_SCHEMA = ? AND CAST(EVENT_SCHEMA AS BINARY) = CAST(? AS BINARY) GROUP BY DEFINER ORDER BY 1 LIMIT 50",
    ),
    (
        "views",
        "SELECT CONVERT(DEFINER USING utf8mb4) AS definer, CAST(COUNT(*) AS SIGNED) AS count FROM information_schema.VIEWS \
         WHERE TABLE_SCHEMA = ? AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) GROUP BY DEFINER ORDER BY 1 LIMIT 50",
    ),
];

/// Takes it.
pub(super) async fn take(
    session: &mut Session,
    profile: &ServerProfile,
    names: &Names,
) -> Result<Inventory, ProviderError> {
    let mut inventory = Inventory::default();
    let schema = catalog::schema(session, &profile.dialect, &names.database).await?;
    inventory.created_with = BTreeMap::from([
        ("characterSet".to_owned(), shown(&schema.character_set)),
        ("collation".to_owned(), shown(&schema.collation)),
    ]);
    let packet = settings(session, &mut inventory).await?;
    tables(session, names, &mut inventory).await?;
    definers(session, names, &mut inventory).await?;
    largest_rows(session, names, packet, &mut inventory).await?;
    Ok(inventory)
}

/// The server's settings; how long a statement may be, in bytes.
async fn settings(
    session: &mut Session,
    inventory: &mut Inventory,
) -> Result<Option<u64>, ProviderError> {
    let listed = SETTINGS.map(|name| format!("'{name}'")).join(", ");
    let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({listed})");
    let values = session
        .variables("reading the server's settings", &sql)
        .await?;
    let known = SETTINGS.iter().filter_map(|name| {
        Some(Setting::new(
            SettingOf::Server,
            None,
            name,
            values.get(*name)?,
        ))
    });
    inventory.set_settings(known.collect());
    Ok(values
        .get(MAX_ALLOWED_PACKET)
        .and_then(|bytes| bytes.parse().ok()))
}

/// Tables by their kind and engine.
async fn tables(
    session: &mut Session,
    names: &Names,
    inventory: &mut Inventory,
) -> Result<(), ProviderError> {
    let schema = names.database.as_str();
    let query = sqlx::query(TABLES).bind(schema).bind(schema);
    for row in session.rows("counting the tables", query).await? {
        let (kind, engine) = (row.text("type")?, row.text("engine")?);
        let count = u64::try_from(row.number("count")?).unwrap_or_default();
        let described = Described::of(&kind, &engine);
        if described == Described::Ordinary {
            continue;
        }
        let query = sqlx::query(TABLES_OF)
            .bind(schema)
            .bind(schema)
            .bind(&kind)
            .bind(&engine);
        let mut listed = Vec::new();
        for row in session.rows("naming the tables", query).await? {
            listed.push(mysql_identifier(&row.text("name")?));
        }
        described.tell(&engine, count, listed, inventory);
    }
    Ok(())
}

/// What tables of one kind and engine are to a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Described {
    /// All of it is in the dump, as of one moment; or it is no table.
    Ordinary,
    /// In the dump, but as of whichever moment the dump comes to it.
    NotInSnapshot,
    /// Only its definition is in the dump.
    Elsewhere,
    /// MariaDB's sequences.
    Sequence,
    /// MariaDB's tables that keep their former rows.
    Versioned,
}

impl Described {
    fn of(kind: &str, engine: &str) -> Self {
        let among = |engines: &[&str]| engines.iter().any(|of| of.eq_ignore_ascii_case(engine));
        match kind {
            "SEQUENCE" => Self::Sequence,
            "BASE TABLE" | "SYSTEM VERSIONED" if among(&ELSEWHERE) => Self::Elsewhere,
            "BASE TABLE" | "SYSTEM VERSIONED" if !engine.is_empty() && !among(&TRANSACTIONAL) => {
                Self::NotInSnapshot
            }
            "SYSTEM VERSIONED" => Self::Versioned,
            // A table that the server cannot open has no engine: the dump tool says so itself.
            _ => Self::Ordinary,
        }
    }

    fn tell(self, engine: &str, count: u64, names: Vec<String>, inventory: &mut Inventory) {
        let engine = shown(engine);
        let (word, meaning) = match self {
            Self::Ordinary => return,
            Self::NotInSnapshot => (
                format!("{engine} tables"),
                Some(
                    "they are not transactional, so their rows are those of the moment when the dump comes to them, and may \
                     not fit the other tables; ALTER TABLE … ENGINE = InnoDB changes that",
                ),
            ),
            Self::Elsewhere => (
                format!("{engine} tables"),
                Some("only their definitions are in the dump, not their rows"),
            ),
            Self::Sequence => ("sequences".to_owned(), None),
            Self::Versioned => ("system-versioned tables".to_owned(), None),
        };
        let Some(objects) = Objects::of(&word, count, names) else {
            return;
        };
        if let Some(meaning) = meaning {
            inventory.warn_of(&objects, meaning);
        }
        match self {
            Self::NotInSnapshot => inventory.not_in_snapshot.push(objects),
            Self::Elsewhere => inventory.not_in_dump.push(objects),
            Self::Ordinary | Self::Sequence | Self::Versioned => inventory.also.push(objects),
        }
    }
}

/// Who defined what, apart from the database's own user.
async fn definers(
    session: &mut Session,
    names: &Names,
    inventory: &mut Inventory,
) -> Result<(), ProviderError> {
    let schema = names.database.as_str();
    let own = format!("{}@{ANY_HOST}", names.role);
    for (kind, sql) in DEFINERS {
        let query = sqlx::query(sql).bind(schema).bind(schema);
        let (mut all, mut others, mut definers) = (0, 0, Vec::new());
        for row in session.rows("reading who defined what", query).await? {
            let (definer, count) = (row.text("definer")?, row.number("count")?);
            let count = u64::try_from(count).unwrap_or_default();
            all += count;
            if definer != own {
                others += count;
                definers.push(definer);
            }
        }
        if kind == "events" {
            inventory.also.extend(Objects::of(kind, all, []));
        }
        let word = format!("definers of {kind}");
        if let Some(objects) = Objects::of(&word, others, definers) {
            inventory.warn_of(
                &objects,
                "a restore as the database's own user is refused with another user's name: the page about restores shows how to \
                 leave definers out",
            );
            inventory.other_users.push(objects);
        }
    }
    Ok(())
}

/// The table with the largest rows, by the server's own statistics: a single row among many small ones does not show.
async fn largest_rows(
    session: &mut Session,
    names: &Names,
    packet: Option<u64>,
    inventory: &mut Inventory,
) -> Result<(), ProviderError> {
    let schema = names.database.as_str();
    let query = sqlx::query(LARGEST).bind(schema).bind(schema);
    let rows = session.rows("looking for large rows", query).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let (name, average) = (row.text("name")?, row.number("average")?);
    let average = u64::try_from(average).unwrap_or_default();
    if average == 0 {
        return Ok(());
    }
    let table = shown(&mysql_identifier(&name));
    inventory.largest_rows = Some(LargestRows {
        table: table.clone(),
        average_bytes: average,
    });
    // Text may be longer in a dump, too, but only where each character is escaped.
    if average.saturating_mul(2) < packet.unwrap_or(u64::MAX).min(LARGE_ROW) {
        return Ok(());
    }
    let query = sqlx::query(BINARY_COLUMNS)
        .bind(schema)
        .bind(schema)
        .bind(&name);
    let rows = session.rows("looking for binary columns", query).await?;
    let binary = match rows.first() {
        Some(row) => row.flag("count")?,
        None => false,
    };
    let dumped = if binary {
        average.saturating_mul(2)
    } else {
        average
    } + STATEMENT;
    let doubled = if binary {
        ", twice as long in a dump"
    } else {
        ""
    };
    match packet {
        Some(packet) if dumped > packet => inventory.warn(&format!(
            "rows of {table} have about {} on average{doubled} (an estimate), and the server takes statements of at most {} \
             (max_allowed_packet): raise that, for example to {}, on the server that it is restored to",
            mebibytes(average),
            mebibytes(packet),
            mebibytes(dumped.next_power_of_two()),
        )),
        Some(_) | None if average >= LARGE_ROW => inventory.warn(&format!(
            "rows of {table} have about {} on average{doubled} (an estimate); the dump tool holds a whole row in memory",
            mebibytes(average),
        )),
        Some(_) | None => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_apart_by_what_a_dump_does_with_them() {
        for (kind, engine, expected) in [
            ("BASE TABLE", "InnoDB", Described::Ordinary),
            ("BASE TABLE", "MyISAM", Described::NotInSnapshot),
            ("BASE TABLE", "Aria", Described::NotInSnapshot),
            ("BASE TABLE", "MEMORY", Described::NotInSnapshot),
            ("SYSTEM VERSIONED", "InnoDB", Described::Versioned),
            ("SYSTEM VERSIONED", "Aria", Described::NotInSnapshot),
            ("BASE TABLE", "FEDERATED", Described::Elsewhere),
            ("SEQUENCE", "InnoDB", Described::Sequence),
            ("VIEW", "", Described::Ordinary),
            ("BASE TABLE", "", Described::Ordinary),
        ] {
            assert_eq!(Described::of(kind, engine), expected, "{kind} {engine}");
        }
    }
}
