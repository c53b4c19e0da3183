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
    pub(super) plugin: String,
    pub(super) hash: String,
    /// A role of MariaDB, which nobody can log in as.
    pub(super) is_role: bool,
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
            plugin: row.text("plugin")?,
            hash: row.text("hash")?,
            is_role: row.flag("is_role")?,
        };
        if user.is_none_or(|user| user.as_str() == account.user) {
            accounts.push(account);
        }
    }
    Ok(accounts)
}

/// All privileges on schemas, or those of this user and those on this schema.
pub(super) async fn grants(
    session: &mut Session,
    dialect: &Dialect,
    privileges: &[&'static SchemaPrivilege],
    of: Option<(&SqlName, &SqlName)>,
) -> Result<Vec<Grant>, ProviderError> {
    const SQL: &str = "SELECT CONVERT(d.User USING utf8mb4) AS grantee, CONVERT(d.Host USING utf8mb4) AS grantee_host, \
                       CONVERT(d.Db USING utf8mb4) AS pattern, d.* FROM mysql.db AS d";
    let values = of.map(|(schema, user)| {
        vec![
            user.to_string(),
            schema.to_string(),
            dialect.grant_pattern(schema),
        ]
    });
    let query = filtered(SQL, "WHERE d.User = ? OR d.Db = ? OR d.Db = ?", values);
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
fn filtered(
    sql: &'static str,
    filter: &'static str,
    values: Option<Vec<String>>,
) -> Statement<'static> {
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
