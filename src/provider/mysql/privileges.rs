//! The privileges that can be given on a schema, and which schemas a pattern reaches. Pure.

use super::dialect::Dialect;

/// A privilege that can be given on a schema.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SchemaPrivilege {
    /// In GRANT and in SHOW GRANTS.
    pub(super) name: &'static str,
    /// Its column of `mysql.db`, `Y` or `N`.
    pub(super) column: &'static str,
    /// The server that has it.
    servers: Servers,
}

#[derive(Debug, PartialEq, Eq)]
enum Servers {
    Both,
    /// Granted if the administrator has it, but not required: RDS's does not have it, and few owners of a schema use
    /// system versioning.
    Mariadb,
    /// From 11.3 on. Also granted if the administrator has it and not required: it only helps to dump other definers'
    /// routines.
    NewMariadb,
}

impl SchemaPrivilege {
    pub(super) fn is_known_to(&self, dialect: &Dialect) -> bool {
        match self.servers {
            Servers::Both => true,
            Servers::Mariadb => dialect.is_mariadb(),
            Servers::NewMariadb => dialect.is_mariadb() && dialect.series >= (11, 3),
        }
    }

    /// Whether an administrator may do without it.
    pub(super) fn is_optional(&self) -> bool {
        match self.servers {
            Servers::Both => false,
            Servers::Mariadb | Servers::NewMariadb => true,
        }
    }
}

const fn both(name: &'static str, column: &'static str) -> SchemaPrivilege {
    SchemaPrivilege {
        name,
        column,
        servers: Servers::Both,
    }
}

/// All of them, in the order of `mysql.db`.
pub(super) const SCHEMA_PRIVILEGES: [SchemaPrivilege; 20] = [
    both("SELECT", "Select_priv"),
    both("INSERT", "Insert_priv"),
    both("UPDATE", "Update_priv"),
    both("DELETE", "Delete_priv"),
    both("CREATE", "Create_priv"),
    both("DROP", "Drop_priv"),
    both("REFERENCES", "References_priv"),
    both("INDEX", "Index_priv"),
    both("ALTER", "Alter_priv"),
    both("CREATE TEMPORARY TABLES", "Create_tmp_table_priv"),
    both("LOCK TABLES", "Lock_tables_priv"),
    both("CREATE VIEW", "Create_view_priv"),
    both("SHOW VIEW", "Show_view_priv"),
    both("CREATE ROUTINE", "Create_routine_priv"),
    both("ALTER ROUTINE", "Alter_routine_priv"),
    both("EXECUTE", "Execute_priv"),
    both("EVENT", "Event_priv"),
    both("TRIGGER", "Trigger_priv"),
    SchemaPrivilege {
        name: "DELETE HISTORY",
        column: "Delete_history_priv",
        servers: Servers::Mariadb,
    },
    SchemaPrivilege {
        name: "SHOW CREATE ROUTINE",
        column: "Show_create_routine_priv",
        servers: Servers::NewMariadb,
    },
];

/// Whether privileges on `pattern`, as `mysql.db` holds it, reach the schema `name`. `%` is any text, `_` one
/// character, and a backslash takes the next character as it is.
pub(super) fn reaches(pattern: &str, name: &str) -> bool {
    fn matches(pattern: &[char], name: &[char]) -> bool {
        match pattern {
            [] => name.is_empty(),
            ['%', rest @ ..] => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
            ['_', rest @ ..] => !name.is_empty() && matches(rest, &name[1..]),
            ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
                name.first() == Some(literal) && matches(rest, &name[1..])
            }
        }
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    matches(&pattern, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_reach_what_the_server_says() {
        for (pattern, name, expected) in [
            ("mysql", "mysql", true),
            ("my%", "mysql", true),
            ("%", "mysql", true),
            ("m_sql", "mysql", true),
            ("m\\_sql", "mysql", false),
            ("m\\_sql", "m_sql", true),
            ("app%", "mysql", false),
            ("", "mysql", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(reaches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
