//! What the server's catalog says, as it says it. Names are compared here byte by byte, because the server's own
//! comparisons ignore case, accents or trailing spaces, each table in its own way.

use sqlx::AssertSqlSafe;

use super::super::{ProviderError, SqlName};
use super::dialect::Dialect;
use super::grants::{SCHEMA_PRIVILEGES, SchemaPrivilege};
use super::session::{Row, Session, Statement};

/// The host of every account that is made here: any.
pub(super) const ANY_HOST: &str = "%";

/// A row of `information_schema.SCHEMATA`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) character_set: String,
    pub(super) collation: String,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) locked: bool,
    /// It was asked to change its password and can do nothing before.
    pub(super) expired: bool,
    /// Days until the password expires; 0 is never, `None` the server's default.
    pub(super) lifetime: Option<i64>,
    /// Sessions at once; 0 is no limit.
    pub(super) max_connections: i64,
    /// Queries, updates and logins that it may have in an hour; 0 is no limit.
    pub(super) per_hour: [i64; 3],
    /// What it has to show beside its password.
    pub(super) transport: Transport,
    /// Wrong passwords, by whomever, lock it for a while.
    pub(super) locks_itself: bool,
    pub(super) plugin: String,
    pub(super) hash: String,
    /// A role of MariaDB, which nobody can log in as.
    pub(super) is_role: bool,
}

/// What a login has to show beside the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// Nothing.
    Any,
    /// TLS.
    Tls,
    /// A certificate of its own.
    Certificate,
}

/// Who has a right: an account, or a role, which has no host on MariaDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) user: String,
    pub(super) host: String,
}

impl Holder {
    fn read(row: &Row, user: &str, host: &str) -> Result<Self, ProviderError> {
        Ok(Self {
            user: row.text(user)?,
            host: row.text(host)?,
        })
    }
}

/// A row of `mysql.db`: what an account may do on the schemas that a pattern reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) pattern: String,
    /// Which privileges it gives.
    pub(super) held: Vec<&'static str>,
    /// Which of the privileges that an owner gets are not there.
    pub(super) lacking: Vec<&'static str>,
    /// It may give them to others.
    pub(super) with_option: bool,
}

impl Grant {
    /// Whose it is.
    pub(super) fn holder(&self) -> Holder {
        Holder {
            user: self.user.clone(),
            host: self.host.clone(),
        }
    }
}

/// Which privileges on schemas are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'n> {
    /// All of them.
    All,
    /// Those of this user, and those on this schema, also by a pattern.
    Concerning(&'n SqlName, &'n SqlName),
    /// Those that may be for more than one schema, or for everybody: of the user without a name, of these, and of patterns
    /// with a `%`.
    Broad(&'n [Holder]),
}

/// Something that makes an account more than an ordinary one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Power {
    /// `'user'@'host'`, nothing escaped.
    pub(super) grantee: String,
    pub(super) power: String,
}

/// The schemas, or the one of this name.
pub(super) async fn schemas(
    session: &mut Session,
    name: Option<&SqlName>,
) -> Result<Vec<Schema>, ProviderError> {
    const SQL: &str = "SELECT SCHEMA_NAME AS name, DEFAULT_CHARACTER_SET_NAME AS character_set, \
                       DEFAULT_COLLATION_NAME AS collation FROM information_schema.SCHEMATA";
    let query = filtered(
        SQL,
        "WHERE SCHEMA_NAME = ?",
        name.map(|name| vec![name.to_string()]),
    );
    let mut schemas = Vec::new();
    for row in session.rows("reading the schemas", query).await? {
        let schema = Schema {
            name: row.text("name")?,
            character_set: row.text("character_set")?,
            collation: row.text("collation")?,
        };
        if name.is_none_or(|name| name.as_str() == schema.name) {
            schemas.push(schema);
        }
    }
    Ok(schemas)
}

/// The accounts, or those of this user name at any host.
pub(super) async fn accounts(
    session: &mut Session,
    dialect: &Dialect,
    user: Option<&SqlName>,
) -> Result<Vec<Account>, ProviderError> {
    accounts_named(session, dialect, user.map(SqlName::as_str)).await
}

/// The accounts without a name: whoever is no other user is one of them.
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
            transport: match row.number("transport")? {
                0 => Transport::Any,
                1 => Transport::Tls,
                _ => Transport::Certificate,
            },
            locks_itself: row.flag("locks_itself")?,
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
    let rows = session
        .rows("reading the privileges on schemas", query)
        .await?;
    rows.iter().map(|row| grant(row, privileges)).collect()
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

/// A table or a routine of a schema that somebody has privileges on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// As REVOKE says it: `TABLE`, `PROCEDURE`.
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) holder: Holder,
}

/// The privileges on single tables and routines of a schema, whether or not these are there.
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

/// Which role is had by whom.
pub(super) async fn role_members(
    session: &mut Session,
    dialect: &Dialect,
) -> Result<Vec<(Holder, Holder)>, ProviderError> {
    let query = sqlx::query(dialect.role_members_sql());
    let rows = session.rows("reading who has which role", query).await?;
    rows.iter()
        .map(|row| {
            let role = Holder::read(row, "role", "role_host")?;
            Ok((role, Holder::read(row, "user", "host")?))
        })
        .collect()
}

/// Who has privileges on all schemas.
pub(super) async fn global_holders(
    session: &mut Session,
    dialect: &Dialect,
) -> Result<Vec<Holder>, ProviderError> {
    let query = sqlx::query(dialect.global_holders_sql());
    let rows = session
        .rows("reading who has privileges on all databases", query)
        .await?;
    rows.iter()
        .map(|row| Holder::read(row, "user", "host"))
        .collect()
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
    let rows = session.rows("reading global privileges", query).await?;
    rows.iter()
        .map(|row| {
            Ok(Power {
                grantee: row.text("grantee")?,
                power: row.text("power")?,
            })
        })
        .collect()
}

/// An account at any host as `information_schema` writes it.
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

/// Catalogs hold no characters beyond U+FFFF, and the servers refuse to compare with them. What is found for the text
/// in their place is sorted out by the comparison byte by byte.
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
