//! Reads the server's catalog. Names are compared here byte by byte, because the server's own comparisons ignore case,
//! accents or trailing spaces, each table in its own way.

use sqlx::AssertSqlSafe;

use super::dialect::Dialect;
use super::privileges::{SCHEMA_PRIVILEGES, SchemaPrivilege};
use super::rows::{Account, Grant, Holder, Part, Power, Schema, Transport};
use super::session::{Row, Session, Statement};
use crate::provider::{ProviderError, SqlName};

/// The host of every account that is created here: any.
pub(super) const ANY_HOST: &str = "%";

/// Which privileges on schemas are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'n> {
    /// All of them.
    All,
    /// Those of this user, and those on this schema, also by a pattern.
    Concerning(&'n SqlName, &'n SqlName),
    /// Those that may be for more than one schema, or for everyone: of the user without a name, of these holders, and
    /// of patterns with a `%`.
    Broad(&'n [Holder]),
}

/// The schemas, or the one of this name.
pub(super) async fn schemas(
    session: &mut Session,
    dialect: &Dialect,
    name: Option<&SqlName>,
) -> Result<Vec<Schema>, ProviderError> {
    let query = filtered(
        dialect.schemas_sql(),
        "WHERE s.SCHEMA_NAME = ?",
        name.map(|name| vec![name.to_string()]),
    );
    let mut schemas = Vec::new();
    for row in session.rows("reading the schemas", query).await? {
        let schema = Schema {
            name: row.text("name")?,
            character_set: row.text("character_set")?,
            collation: row.text("collation")?,
            read_only: row.text("options")?.contains("READ ONLY=1"),
        };
        if name.is_none_or(|name| name.as_str() == schema.name) {
            schemas.push(schema);
        }
    }
    Ok(schemas)
}

/// The schema, which has to be there.
pub(super) async fn schema(
    session: &mut Session,
    dialect: &Dialect,
    name: &SqlName,
) -> Result<Schema, ProviderError> {
    let mut found = schemas(session, dialect, Some(name)).await?.into_iter();
    found
        .next()
        .ok_or_else(|| ProviderError::InTheWay(format!("the database {name:?} is missing")))
}

/// The accounts, or those of this user name at any host.
pub(super) async fn accounts(
    session: &mut Session,
    dialect: &Dialect,
    user: Option<&SqlName>,
) -> Result<Vec<Account>, ProviderError> {
    accounts_named(session, dialect, user.map(SqlName::as_str)).await
}

/// The accounts without a name: a login under any unknown name gets one of them.
pub(super) async fn anonymous(
    session: &mut Session,
    dialect: &Dialect,
) -> Result<Vec<Account>, ProviderError> {
    accounts_named(session, dialect, Some("")).await
}

async fn accounts_named(
    session: &mut Session,
    dialect: &Dialect,
    user: Option<&str>,
) -> Result<Vec<Account>, ProviderError> {
    let query = filtered(
        dialect.accounts_sql(),
        "WHERE User = ?",
        user.map(|user| vec![user.to_string()]),
    );
    let mut accounts = Vec::new();
    for row in session.rows("reading the accounts", query).await? {
        let account = Account {
            user: row.text("user")?,
            host: row.text("host")?,
            locked: row.flag("locked")?,
            expired: row.flag("expired")?,
            lifetime: row.optional_number("lifetime")?,
            max_connections: row.number("max_connections")?,
            per_hour: [
                row.number("queries_per_hour")?,
                row.number("updates_per_hour")?,
                row.number("logins_per_hour")?,
            ],
            ends_statements: row.flag("ends_statements")?,
            has_other_way: row.flag("has_other_way")?,
            transport: match row.number("transport")? {
                0 => Transport::Any,
                1 => Transport::Tls,
                _ => Transport::Certificate,
            },
            further_factors: row.number("further_factors")?,
            locks_itself: row.flag("locks_itself")?,
            blocked: row.optional_number("blocked")?.map(|blocked| blocked != 0),
            plugin: row.text("plugin")?,
            hash: row.text("hash")?,
            is_role: row.flag("is_role")?,
        };
        if user.is_none_or(|user| user == account.user) {
            accounts.push(account);
        }
    }
    Ok(accounts)
}

/// Privileges on schemas.
pub(super) async fn grants(
    session: &mut Session,
    dialect: &Dialect,
    privileges: &[&'static SchemaPrivilege],
    which: Which<'_>,
) -> Result<Vec<Grant>, ProviderError> {
    const SQL: &str = "SELECT CONVERT(d.User USING utf8mb4) AS grantee, CONVERT(d.Host USING utf8mb4) AS grantee_host, \
                       CONVERT(d.Db USING utf8mb4) AS pattern, d.* FROM mysql.db AS d";
    let query = match which {
        Which::All => filtered(SQL, "", None),
        Which::Concerning(schema, user) => {
            let values = vec![
                user.to_string(),
                schema.to_string(),
                dialect.grant_pattern(schema),
                schema.to_string(),
            ];
            let filter = "WHERE d.User = ? OR d.Db = ? OR d.Db = ? OR ? LIKE d.Db";
            filtered(SQL, filter, Some(values))
        }
        Which::Broad(everybody) => {
            let filter = format!(
                "WHERE d.User = '' OR INSTR(d.Db, '%') > 0{}",
                " OR d.User = ?".repeat(everybody.len())
            );
            let values = everybody.iter().map(|holder| holder.user.clone());
            filtered(SQL, &filter, Some(values.collect()))
        }
    };
    let doing = "reading the privileges on schemas";
    session
        .list(doing, query, |row| grant(row, privileges))
        .await
}

fn grant(row: &Row, privileges: &[&'static SchemaPrivilege]) -> Result<Grant, ProviderError> {
    let mut held = Vec::new();
    let mut lacking = Vec::new();
    for privilege in SCHEMA_PRIVILEGES
        .iter()
        .filter(|privilege| row.has(privilege.column))
    {
        if row.text(privilege.column)? == "Y" {
            held.push(privilege.name);
        } else if privileges.contains(&privilege) {
            lacking.push(privilege.name);
        }
    }
    Ok(Grant {
        user: row.text("grantee")?,
        host: row.text("grantee_host")?,
        pattern: row.text("pattern")?,
        held,
        lacking,
        with_option: row.text("Grant_priv")? == "Y",
    })
}

/// The privileges on single tables and routines of a schema, whether or not these exist.
pub(super) async fn parts(
    session: &mut Session,
    schema: &SqlName,
) -> Result<Vec<Part>, ProviderError> {
    const SQL: &str = "SELECT kind, name, user, host, of_schema FROM (\
         SELECT 'TABLE' AS kind, CONVERT(Table_name USING utf8mb4) AS name, CONVERT(User USING utf8mb4) AS user, \
         CONVERT(Host USING utf8mb4) AS host, CONVERT(Db USING utf8mb4) AS of_schema FROM mysql.tables_priv WHERE Db = ? \
         UNION ALL SELECT CONVERT(Routine_type USING utf8mb4), CONVERT(Routine_name USING utf8mb4), \
         CONVERT(User USING utf8mb4), CONVERT(Host USING utf8mb4), CONVERT(Db USING utf8mb4) \
         FROM mysql.procs_priv WHERE Db = ?) AS parts";
    let query = filtered(SQL, "", Some(vec![schema.to_string(), schema.to_string()]));
    let rows = session
        .rows("reading the privileges on tables and routines", query)
        .await?;
    let mut parts = Vec::new();
    for row in &rows {
        if row.text("of_schema")? == schema.as_str() {
            parts.push(Part {
                kind: row.text("kind")?,
                name: row.text("name")?,
                holder: Holder::read(row, "user", "host")?,
            });
        }
    }
    Ok(parts)
}

/// The events of a schema.
pub(super) async fn events(
    session: &mut Session,
    schema: &SqlName,
) -> Result<Vec<String>, ProviderError> {
    const SQL: &str = "SELECT CONVERT(EVENT_NAME USING utf8mb4) AS name, CONVERT(EVENT_SCHEMA USING utf8mb4) AS of_schema \
                       FROM information_schema.EVENTS";
    let query = filtered(
        SQL,
        "WHERE EVENT_SCHEMA = ?",
        Some(vec![schema.to_string()]),
    );
    let mut events = Vec::new();
    for row in session.rows("reading the events", query).await? {
        if row.text("of_schema")? == schema.as_str() {
            events.push(row.text("name")?);
        }
    }
    Ok(events)
}

/// Which users have which role.
pub(super) async fn role_members(
    session: &mut Session,
    dialect: &Dialect,
) -> Result<Vec<(Holder, Holder)>, ProviderError> {
    let query = sqlx::query(dialect.role_members_sql());
    session
        .list("reading who has which role", query, |row| {
            let role = Holder::read(row, "role", "role_host")?;
            Ok((role, Holder::read(row, "user", "host")?))
        })
        .await
}

/// Who has privileges on all schemas.
pub(super) async fn global_holders(
    session: &mut Session,
    dialect: &Dialect,
) -> Result<Vec<Holder>, ProviderError> {
    let query = sqlx::query(dialect.global_holders_sql());
    let doing = "reading who has privileges on all databases";
    session
        .list(doing, query, |row| Holder::read(row, "user", "host"))
        .await
}

/// What makes accounts more than ordinary ones, or this one.
pub(super) async fn powers(
    session: &mut Session,
    dialect: &Dialect,
    user: Option<&SqlName>,
) -> Result<Vec<Power>, ProviderError> {
    let query = filtered(
        dialect.powers_sql(),
        "WHERE grantee = ?",
        user.map(|user| vec![grantee(user.as_str())]),
    );
    session
        .list("reading global privileges", query, |row| {
            Ok(Power {
                grantee: row.text("grantee")?,
                power: row.text("power")?,
            })
        })
        .await
}

/// An account at any host, as `information_schema` writes it.
pub(super) fn grantee(user: &str) -> String {
    format!("'{user}'@'{ANY_HOST}'")
}

/// A statement of constant text, with its filter and the filter's parameters where they are given.
fn filtered(sql: &'static str, filter: &str, values: Option<Vec<String>>) -> Statement<'static> {
    let Some(values) = values else {
        return sqlx::query(sql);
    };
    let statement = sqlx::query(AssertSqlSafe(format!("{sql} {filter}")));
    values
        .iter()
        .map(|value| comparable(value))
        .fold(statement, Statement::bind)
}

/// Catalogs contain no characters beyond U+FFFF, and the servers refuse to compare with them. The comparison byte by
/// byte sorts out what is found for the replacement text.
fn comparable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if u32::from(c) > 0xffff {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}
