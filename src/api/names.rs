//! What a name may look like, as rules that the API server enforces.
//!
//! The regular expressions are RE2, in CEL string literals with single quotes. Each rule needs a length limit on its
//! field, or the API server refuses the whole definition because the rule might cost too much.

use kube::core::Rule;

/// The most bytes of a SQL name: PostgreSQL's `NAMEDATALEN` - 1. MySQL counts 64 characters for a schema and 32 for
/// a user, MariaDB 64 and 128; what is too long for one of those is said by the server's provider.
pub const SQL_NAME_BYTES: usize = 63;

/// The longest name of a `Database` or `Backup`: it becomes the value of a label.
pub const OBJECT_NAME_LENGTH: usize = 63;

/// Databases, schemas and users that belong to the servers themselves or to the operator, in lower case. The providers
/// refuse the same names (`provider::reserved`); a test keeps the two lists equal.
pub const RESERVED_NAMES: [&str; 16] = [
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

/// Prefixes of names that belong to servers and to hosting services.
pub const RESERVED_PREFIXES: [&str; 6] = ["pg_", "rds", "cloudsql", "azure", "mysql.", "#mysql50#"];

/// CEL: `value` (an expression that yields a string) is not reserved.
fn not_reserved_expression(value: &str) -> String {
    let words = RESERVED_NAMES.map(escape).join("|");
    let prefixes = RESERVED_PREFIXES.map(escape).join("|");
    format!("!{value}.matches('(?i)^(({words})$|{prefixes})')")
}

/// A dot in a character class needs no backslash, which CEL and YAML would both want doubled.
fn escape(word: &str) -> String {
    word.replace('.', "[.]")
}

const RESERVED_MESSAGE: &str = "this name belongs to the database server, to its hosting service or to db-operator \
    (postgres, mysql, sys, root, pg_*, rds*, cloudsql*, azure*, db_operator, …): choose another one, for example the application's";

/// A SQL name is not one of the server's own.
#[must_use]
pub fn not_reserved() -> Rule {
    Rule::new(not_reserved_expression("self")).message(RESERVED_MESSAGE)
}

/// For the root of an object whose SQL name defaults to its own name: that is not reserved either.
#[must_use]
pub fn default_not_reserved() -> Rule {
    // No regular expression here: the API server has no length for metadata.name to reckon its cost with. The name of an
    // object is in lower case.
    let name = "self.metadata.name";
    let words = RESERVED_NAMES.map(|word| format!("'{word}'")).join(", ");
    let prefixes = RESERVED_PREFIXES
        .map(|prefix| format!("{name}.startsWith('{prefix}')"))
        .join(" || ");
    Rule::new(format!(
        "has(self.spec.name) || !({name} in [{words}] || {prefixes})"
    ))
    .message(
        "metadata.name is the name of the SQL database too, and this one belongs to the database server, to its \
         hosting service or to db-operator: set spec.name to another name, for example the application's",
    )
}

/// A SQL name fits PostgreSQL's limit, which is in bytes.
#[must_use]
pub fn sql_length() -> Rule {
    Rule::new(format!("size(bytes(self)) <= {SQL_NAME_BYTES}")).message(format!(
        "a SQL name has at most {SQL_NAME_BYTES} bytes (an accented letter counts as 2, other scripts as 2 to 4): choose a shorter one"
    ).as_str())
}

/// A SQL name has no control characters (NUL ends a name on every server), and no white space at its ends, where
/// MySQL cuts it off, so that two names could mean one object.
#[must_use]
pub fn sql_characters() -> Rule {
    Rule::new(r"!self.matches('\\p{Cc}|^\\s|\\s$')").message(
        "a SQL name must not contain control characters, nor begin or end with white space: remove them",
    )
}

/// A database that others may be copies of is not the operator's own, which holds the claims.
#[must_use]
pub fn not_operators_own() -> Rule {
    Rule::new("self != 'db_operator'").message(
        "db_operator holds the operator's own tables and cannot be a template: choose another database",
    )
}

/// A schema in a PostgreSQL database is not one of the server's own.
#[must_use]
pub fn schema_not_reserved() -> Rule {
    Rule::new("!self.matches('^(pg_|(information_schema|db_operator)$)')").message(
        "the schemas pg_*, information_schema and db_operator are reserved: choose another name",
    )
}

/// The name of a Kubernetes object that refers to an existing one (a DNS subdomain).
#[must_use]
pub fn object_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message(
        "the name of a Kubernetes object consists of lower case letters, digits, '-' and '.', and begins and ends with a letter or digit: write the object's metadata.name",
    )
}

/// The name of a namespace (a DNS label).
#[must_use]
pub fn namespace_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message(
        "the name of a namespace consists of lower case letters, digits and '-', and begins and ends with a letter or digit: write one that `kubectl get namespaces` lists",
    )
}

/// A key in the data of a Secret or `ConfigMap`.
#[must_use]
pub fn data_key() -> Rule {
    Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(
        "a key in a Secret or ConfigMap consists of letters, digits, '-', '_' and '.', for example ca.crt",
    )
}

/// For the root of an object whose own name becomes a label's value.
#[must_use]
pub fn fits_a_label() -> Rule {
    Rule::new(format!(
        "size(self.metadata.name) <= {OBJECT_NAME_LENGTH}"
    ))
    .message(format!(
        "metadata.name becomes a label and has at most {OBJECT_NAME_LENGTH} characters: choose a shorter one"
    ).as_str())
    .reason(kube::core::Reason::FieldValueInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_escapes_dots() {
        let rule = not_reserved().rule;
        assert!(
            rule.contains("mariadb[.]sys") && rule.contains("mysql[.]"),
            "{rule}"
        );
    }
}
