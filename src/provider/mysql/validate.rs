//! Refuses what the server does not support, before anything is created.

use super::catalog::{self, ANY_HOST, Which};
use super::dialect::Dialect;
use super::exposure;
use super::rows::Account;
use super::session::Session;
use crate::provider::desired::canonical;
use crate::provider::{Desired, Names, ProviderError, SqlName};

/// The most characters of a schema name, with its wildcards escaped as in `mysql.db`.
const SCHEMA_LIMIT: usize = 64;

/// Checks that the server keeps these names as they are, so that different names never mean the same object.
pub(super) fn names(dialect: &Dialect, names: &Names) -> Result<(), ProviderError> {
    let server = dialect.flavour;
    for (what, name) in [("database", &names.database), ("user", &names.role)] {
        let text = name.as_str();
        // Identifiers are utf8mb3: MySQL stores `?` for anything else, so two names would become one.
        if let Some(found) = text.chars().find(|c| u32::from(*c) > 0xffff) {
            return Err(ProviderError::Unsupported(format!(
                "the {what} name {text:?} holds {found:?}, and {server} cannot store characters beyond U+FFFF in \
                 names; choose another"
            )));
        }
        // MySQL trims the names of users; neither server takes a schema whose name ends in a space.
        if text.trim() != text {
            return Err(ProviderError::Unsupported(format!(
                "the {what} name {text:?} begins or ends with a space, which {server} does not keep; choose another"
            )));
        }
    }
    let limit = dialect.user_name_limit();
    let length = names.role.as_str().chars().count();
    if length > limit {
        return Err(ProviderError::Unsupported(format!(
            "the user name {:?} has {length} characters and {server} allows {limit}; set spec.user to a shorter one",
            names.role.as_str()
        )));
    }
    let length = dialect.grant_pattern(&names.database).chars().count();
    if length > SCHEMA_LIMIT {
        return Err(ProviderError::Unsupported(format!(
            "the database name {:?} has {length} characters when each _, % and backslash counts twice, as it does in \
             privileges, and {server} allows {SCHEMA_LIMIT}; choose a shorter one",
            names.database.as_str()
        )));
    }
    if dialect.folds_names && folds(names.database.as_str()) {
        return Err(ProviderError::Unsupported(format!(
            "the server turns the names of databases into lower case (lower_case_table_names), so {:?} could meet \
             another one; choose a name without upper case",
            names.database.as_str()
        )));
    }
    Ok(())
}

/// Whether the lower case of the name differs from it. A name without upper case cannot collide with another.
fn folds(name: &str) -> bool {
    name.to_lowercase() != name
}

/// Checks that no account of this name at a single host is in the way of a new one at any host.
pub(super) fn no_other_host(accounts: &[Account], user: &SqlName) -> Result<(), ProviderError> {
    if accounts.iter().any(|account| account.host == ANY_HOST) {
        return Ok(());
    }
    match accounts.first() {
        None => Ok(()),
        Some(other) => Err(ProviderError::InTheWay(format!(
            "the server has the account {user:?} at host {:?}, which would be used instead of {user:?} at any \
             host; drop or rename it, or choose another user name",
            other.host
        ))),
    }
}

/// Checks that no one else would have access to a schema that does not exist yet.
pub(super) async fn nobody_elses(
    session: &mut Session,
    dialect: &Dialect,
    names: &Names,
) -> Result<(), ProviderError> {
    let Names { database, role } = names;
    if !catalog::schemas(session, dialect, Some(database))
        .await?
        .is_empty()
    {
        return Ok(());
    }
    let concerning = Which::Concerning(database, role);
    let grants = catalog::grants(session, dialect, &[], concerning).await?;
    let global = catalog::global_holders(session, dialect).await?;
    match exposure::beforehand(dialect, &grants, &global, database, role).first() {
        None => Ok(()),
        Some(first) => Err(ProviderError::InTheWay(first.refusal(database))),
    }
}

/// Checks that the character set and the collation exist on this server and belong together.
pub(super) async fn text_settings(
    session: &mut Session,
    dialect: &Dialect,
    desired: &Desired,
) -> Result<(), ProviderError> {
    let server = format!("{} {}", dialect.flavour, dialect.version);
    let wanted = &desired.mysql;
    if let Some(character_set) = &wanted.character_set {
        let query = sqlx::query(
            "SELECT CHARACTER_SET_NAME AS charset FROM information_schema.CHARACTER_SETS \
             WHERE CHARACTER_SET_NAME = ?",
        )
        .bind(character_set.clone());
        if session
            .rows("looking for the character set", query)
            .await?
            .is_empty()
        {
            return Err(ProviderError::Unsupported(format!(
                "{server} has no character set {character_set:?}; SHOW CHARACTER SET lists those it has"
            )));
        }
    }
    let Some(collation) = &wanted.collation else {
        return Ok(());
    };
    let query = sqlx::query(dialect.collation_sql())
        .bind(collation.clone())
        .bind(collation.clone());
    let rows = session.rows("looking for the collation", query).await?;
    if rows.is_empty() {
        return Err(ProviderError::Unsupported(format!(
            "{server} has no collation {collation:?}; SHOW COLLATION lists those it has"
        )));
    }
    let of = rows
        .iter()
        .map(|row| row.text("charset"))
        .collect::<Result<Vec<_>, _>>()?;
    let is_for = |character_set: &str| {
        of.iter()
            .any(|name| canonical(name).eq_ignore_ascii_case(canonical(character_set)))
    };
    match &wanted.character_set {
        Some(character_set) if !is_for(character_set) => Err(ProviderError::Unsupported(format!(
            "the collation {collation:?} is for {} and not for the character set {character_set:?}",
            of.join(", ")
        ))),
        // A collation of MariaDB that is named without its character set: the server takes its own default for that.
        None if of.len() > 1 => {
            let default = default_character_set(session).await?;
            if is_for(&default) {
                return Ok(());
            }
            Err(ProviderError::Unsupported(format!(
                "the collation {collation:?} is for {} and not for the server's default character set {default:?}; set \
                 spec.mysql.characterSet to one of those, for example utf8mb4",
                of.join(", ")
            )))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn default_character_set(session: &mut Session) -> Result<String, ProviderError> {
    let sql = "SHOW VARIABLES WHERE Variable_name = 'character_set_server'";
    let variables = session
        .variables("asking for the server's character set", sql)
        .await?;
    Ok(variables.into_values().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn refusal(version: &str, folds_names: bool, database: &str, role: &str) -> Option<String> {
        let dialect = Dialect::new(version, "", folds_names, false).unwrap();
        let names_ = Names {
            database: SqlName::new(database).unwrap(),
            role: SqlName::new(role).unwrap(),
        };
        names(&dialect, &names_)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn ordinary_and_odd_names_pass() {
        for name in [
            "orders",
            "Orders",
            "dätä",
            "a b",
            "x`; drop",
            "we'ird",
            "back\\slash",
            "p_c%t",
        ] {
            assert_eq!(refusal("9.7.4", false, name, name), None);
            assert_eq!(refusal("10.11.19-MariaDB", false, name, name), None);
        }
    }

    #[test]
    fn what_a_server_would_change_is_refused() {
        for name in ["emoji😀", " a", "a ", "a\u{a0}"] {
            assert!(refusal("9.7.4", false, name, "r").is_some(), "{name:?}");
            assert!(
                refusal("11.8.3-MariaDB", false, "d", name).is_some(),
                "{name:?}"
            );
        }
        assert!(
            refusal("9.7.4", true, "Orders", "r")
                .unwrap()
                .contains("lower_case")
        );
        assert_eq!(refusal("9.7.4", true, "orders", "R"), None);
    }

    #[test]
    fn limits_are_named() {
        let user = "u".repeat(33);
        assert!(
            refusal("9.7.4", false, "d", &user)
                .unwrap()
                .contains("allows 32")
        );
        assert_eq!(refusal("11.8.3-MariaDB", false, "d", &"u".repeat(63)), None);
        assert_eq!(refusal("9.7.4", false, &"d".repeat(63), "u"), None);
        let underscores = "a_".repeat(22);
        assert!(
            refusal("9.7.4", false, &underscores, "u")
                .unwrap()
                .contains("allows 64")
        );
    }
}
