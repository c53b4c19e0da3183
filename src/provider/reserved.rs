//! The names that are never created, adopted or altered.

use super::derived_name::Purpose;
use super::{Names, ProviderError};

/// Databases, schemas and users that belong to the servers themselves or to the operator. Compared without regard to
/// case, because MySQL may be set to do so. The API refuses the same names (`api::names`); a test keeps the two lists
/// equal.
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
    // Keywords that stand for someone else where a role is expected.
    "public",
    "none",
    "current_role",
    "current_user",
    "session_user",
];

/// Prefixes of names that belong to servers and to hosting services. After `#mysql50#`, MySQL reads the rest as a file
/// name.
pub const PREFIXES: [&str; 6] = ["pg_", "rds", "cloudsql", "azure", "mysql.", "#mysql50#"];

/// Refuses reserved names. This is the last line of defence: each provider asks before it changes anything.
pub fn refuse(names: &Names, administrator: &str) -> Result<(), ProviderError> {
    refusal(names, administrator)
        .map_or(Ok(()), |sentence| Err(ProviderError::Unsupported(sentence)))
}

/// The reason why these names may not be used, or `None` if they may. `administrator` is the name that the operator
/// itself logs in with.
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

/// Whether a database or a role of this name is never created, adopted or altered.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let name = name.to_lowercase();
    NAMES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether this is what databases and users are called that restores make beside a tenant's. A new claim on such a name is
/// refused; one that stands goes on.
#[must_use]
pub fn is_derived(name: &str) -> bool {
    let name = name.to_lowercase();
    Purpose::ALL
        .iter()
        .any(|purpose| name.contains(purpose.infix()))
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
            "#mysql50#orders",
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
    fn what_restores_make_is_told_by_its_name() {
        for name in ["orders__r_0f1e2d3c", "x__WAS_y"] {
            assert!(is_derived(name), "{name}");
        }
        for name in ["orders", "orders_r_1", "was_orders", "a__rest"] {
            assert!(!is_derived(name), "{name}");
        }
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
            "my_pg_data",
            "systems",
            "rootless",
        ] {
            assert_eq!(refusal(&names(name, name), "admin"), None, "{name}");
        }
    }
}
