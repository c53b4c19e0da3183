//! The names that are never created, adopted or altered.

use super::Names;

/// Databases of the servers themselves and of the operator, on any engine. Compared without regard to case, because
/// MySQL may be set to do so.
const DATABASES: &[&str] = &[
    "db_operator",
    "information_schema",
    "mysql",
    "performance_schema",
    "postgres",
    "sys",
    "template0",
    "template1",
];

/// Databases and roles of managed services begin so.
const PREFIXES: &[&str] = &["pg_", "rds", "cloudsql", "azure"];

/// Roles of the servers themselves and of the operator.
const ROLES: &[&str] = &[
    "current_role",
    "current_user",
    "db_operator",
    "none",
    "postgres",
    "public",
    "root",
    "session_user",
];

/// Accounts of MySQL and MariaDB begin so.
const ROLE_PREFIXES: &[&str] = &["mysql.", "mariadb.sys"];

/// The reason why these names are nobody's, or `None` when they may be used. `administrator` is the name that the
/// operator itself logs in with.
#[must_use]
pub fn refusal(names: &Names, administrator: &str) -> Option<String> {
    let database = names.database.as_str();
    let role = names.role.as_str();
    if is_reserved_database(database) {
        return Some(format!(
            "the database name {database:?} is reserved for the server or for db-operator"
        ));
    }
    if is_reserved_role(role) {
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

/// Whether a database of this name belongs to the server or to the operator.
#[must_use]
pub fn is_reserved_database(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    DATABASES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a role of this name belongs to the server or to the operator.
#[must_use]
pub fn is_reserved_role(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ROLES.contains(&name.as_str())
        || PREFIXES
            .iter()
            .chain(ROLE_PREFIXES)
            .any(|prefix| name.starts_with(prefix))
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
