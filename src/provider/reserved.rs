//! The names that are never created, adopted or altered.

use super::{Names, ProviderError};

/// Databases, schemas and users of the servers themselves and of the operator. Compared without regard to case, because
/// MySQL may be set to do so.
pub const NAMES: [&str; 16] = [
    "postgres",
    "template0",
    "template1",
    "mysql",
    "information_schema",
    "performance_schema",
    "sys",
    "ndbinfo",
    "root",
    "mariadb.sys",
    "db_operator",
    // Words that stand for somebody else where a role is expected.
    "public",
    "none",
    "current_role",
    "current_user",
    "session_user",
];

/// What the names of servers and of hosting services begin with. `#mysql50#` makes MySQL read the rest as a file's name.
pub const PREFIXES: [&str; 6] = ["pg_", "rds", "cloudsql", "azure", "mysql.", "#mysql50#"];

/// Refuses names that are nobody's to use. The last line of defence: each provider asks before it changes anything.
pub fn refuse(names: &Names, administrator: &str) -> Result<(), ProviderError> {
    refusal(names, administrator)
        .map_or(Ok(()), |sentence| Err(ProviderError::Unsupported(sentence)))
}

/// The reason why these names are nobody's, or `None` when they may be used. `administrator` is the name that the
/// operator itself logs in with.
#[must_use]
pub fn refusal(names: &Names, administrator: &str) -> Option<String> {
    let database = names.database.as_str();
    let role = names.role.as_str();
    if is_reserved(database) {
        return Some(format!(
            "the database name {database:?} is reserved for the server or for db-operator"
        ));
    }
    if is_reserved(role) {
        return Some(format!(
            "the user name {role:?} is reserved for the server or for db-operator"
        ));
    }
    // Azure and others log in as `name@host`; the role is `name`.
    let login = administrator.split('@').next().unwrap_or(administrator);
    if role == administrator || role == login {
        return Some(format!("the user name {role:?} is the administrator's own"));
    }
    None
}

/// True for names of databases and roles that are never created, adopted or altered.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let name = name.to_lowercase();
    NAMES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::provider::SqlName;

    fn names(database: &str, role: &str) -> Names {
        Names {
            database: SqlName::new(database).unwrap(),
            role: SqlName::new(role).unwrap(),
        }
    }

    #[test]
    fn what_belongs_to_a_server_is_reserved() {
        for database in [
            "postgres",
            "template1",
            "MySQL",
            "information_schema",
            "db_operator",
            "rdsadmin",
            "pg_x",
        ] {
            assert!(
                refusal(&names(database, "orders"), "admin").is_some(),
                "{database}"
            );
        }
        for role in [
            "postgres",
            "root",
            "pg_monitor",
            "rds_superuser",
            "cloudsqladmin",
            "mysql.sys",
            "mariadb.sys",
        ] {
            assert!(refusal(&names("orders", role), "admin").is_some(), "{role}");
        }
    }

    #[test]
    fn the_administrator_is_reserved() {
        assert!(refusal(&names("orders", "boss"), "boss").is_some());
        assert!(refusal(&names("orders", "boss"), "boss@server").is_some());
    }

    #[test]
    fn ordinary_names_are_free() {
        for name in [
            "orders",
            "Orders",
            "postgresql",
            "rollup",
            "public_data",
            "x\"; --",
            "mysql2",
        ] {
            assert_eq!(refusal(&names(name, name), "admin"), None, "{name}");
        }
    }
}
