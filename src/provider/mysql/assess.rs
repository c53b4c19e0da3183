//! What a dump of one schema will be like: what `mysqldump` and `mariadb-dump` read, asked of the catalog.
//!
//! With all privileges on its schema, the schema's own user reads all tables, triggers and events, whoever defined
//! them. Two things end its dump nevertheless: a routine of another definer, whose text it is not shown, and a view
//! that refers to something that is gone (error 1356). Such views lose no data: the pod leaves them out of the dump. And
//! some builds of the tools never get past an event whose text has two semicolons in a row, which the pod tries.

use super::catalog::{self, ANY_HOST};
use super::connect::ServerProfile;
use super::session::Session;
use crate::provider::ident::{mysql_account, mysql_identifier};
use crate::provider::inventory::shown;
use crate::provider::{Assessment, MissingPrivilege, Names, ProviderError};

/// The most routines that are named.
const NAMED: usize = 20;

/// A definition counts as 1000 bytes.
const SIZE: &str = "SELECT CAST(COALESCE(SUM(1000 + COALESCE(DATA_LENGTH, 0)), 0) AS SIGNED) AS bytes \
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY)";

const ROUTINES: &str = "SELECT CONVERT(ROUTINE_NAME USING utf8mb4) AS name, \
     CONVERT(DEFINER USING utf8mb4) AS definer FROM information_schema.ROUTINES \
     WHERE ROUTINE_SCHEMA = ? AND CAST(ROUTINE_SCHEMA AS BINARY) = CAST(? AS BINARY)";

/// The comment of a working view is the word VIEW; of any other it is what is wrong with it. MariaDB only opens views
/// for columns such as the number of rows.
const VIEWS: &str = "SELECT CONVERT(TABLE_NAME USING utf8mb4) AS name, CONVERT(TABLE_COMMENT USING utf8mb4) AS comment, \
     CAST(TABLE_ROWS AS SIGNED) AS opened FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? \
     AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY) AND TABLE_TYPE = 'VIEW'";

/// Events in whose text the tools may look for a delimiter for ever.
const ENDLESS_EVENTS: &str = "SELECT CONVERT(EVENT_NAME USING utf8mb4) AS name FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? \
     AND CAST(EVENT_SCHEMA AS BINARY) = CAST(? AS BINARY) AND (INSTR(EVENT_DEFINITION, ';;') > 0 OR INSTR(EVENT_COMMENT, ';;') > 0 \
     OR INSTR(EVENT_NAME, ';;') > 0 OR INSTR(DEFINER, ';;') > 0) ORDER BY EVENT_NAME LIMIT 20";

/// Predicts a dump.
pub(super) async fn assess(
    session: &mut Session,
    profile: &ServerProfile,
    names: &Names,
) -> Result<Assessment, ProviderError> {
    catalog::schema(session, &profile.dialect, &names.database).await?;
    let schema = names.database.as_str();
    let of = |sql: &'static str| sqlx::query(sql).bind(schema).bind(schema);
    let rows = session.rows("estimating the size", of(SIZE)).await?;
    let bytes = match rows.first() {
        Some(row) => row.number("bytes")?,
        None => 0,
    };
    let mut unreadable = Vec::new();
    let own = format!("{}@{ANY_HOST}", names.role);
    let mut foreign = Vec::new();
    for row in session.rows("reading the routines", of(ROUTINES)).await? {
        if row.text("definer")? != own {
            foreign.push(row.text("name")?);
        }
    }
    foreign.sort_unstable();
    if !foreign.is_empty() && !shows_routines(session, profile, names).await? {
        unreadable.push(MissingPrivilege {
            needed_for: format!(
                "dumping the routines of other definers: {}",
                listed(schema, &foreign)
            ),
            grant: profile.dialect.routine_grant(
                &names.database,
                &mysql_account(names.role.as_str(), ANY_HOST),
            ),
        });
    }
    let mut has_broken_views = false;
    for row in session.rows("checking the views", of(VIEWS)).await? {
        has_broken_views |= row.text("comment")? != "VIEW";
    }
    let mut endless_events = Vec::new();
    for row in session
        .rows("reading the events", of(ENDLESS_EVENTS))
        .await?
    {
        endless_events.push(shown(&mysql_identifier(&row.text("name")?)));
    }
    Ok(Assessment {
        bytes: u64::try_from(bytes).unwrap_or_default(),
        unreadable,
        has_broken_views,
        endless_events,
    })
}

/// Whether the user may see the routines of any definer.
async fn shows_routines(
    session: &mut Session,
    profile: &ServerProfile,
    names: &Names,
) -> Result<bool, ProviderError> {
    let dialect = &profile.dialect;
    let grantee = catalog::grantee(names.role.as_str());
    for power in catalog::powers(session, dialect, Some(&names.role)).await? {
        if power.grantee == grantee && dialect.shows_routines(&power.power) {
            return Ok(true);
        }
    }
    let of = catalog::Which::Concerning(&names.database, &names.role);
    let grants = catalog::grants(session, dialect, &[], of).await?;
    Ok(grants.iter().any(|grant| {
        let reaches = |schema: &str| dialect.reaches(&grant.pattern, schema);
        grant.user == names.role.as_str()
            && grant.host == ANY_HOST
            && (grant.held.contains(&"SHOW CREATE ROUTINE") && reaches(names.database.as_str())
                || dialect.is_mariadb() && grant.held.contains(&"SELECT") && reaches("mysql"))
    }))
}

fn written(schema: &str, name: &str) -> String {
    format!("{}.{}", mysql_identifier(schema), mysql_identifier(name))
}

fn listed(schema: &str, names: &[String]) -> String {
    let mut listed: Vec<String> = names
        .iter()
        .take(NAMED)
        .map(|name| written(schema, name))
        .collect();
    if names.len() > NAMED {
        listed.push(format!("and {} more", names.len() - NAMED));
    }
    listed.join(", ")
}
