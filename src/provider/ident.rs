//! SQL names, and the only place that quotes identifiers and string literals.
//!
//! Every statement that cannot take parameters (DDL) is built from what this file returns. The rules of quoting depend
//! on settings of the session, so each provider pins these when it connects: PostgreSQL
//! `standard_conforming_strings = on`, MySQL and MariaDB an `sql_mode` without `ANSI_QUOTES` and
//! `NO_BACKSLASH_ESCAPES`.

use std::fmt;
use std::str::FromStr;

/// The longest name that every engine keeps as it is, in bytes. PostgreSQL truncates longer ones with no more than a
/// notice.
pub const MAX_NAME_BYTES: usize = 63;

/// The name of a database, role, schema or extension: 1 to 63 bytes without control characters.
///
/// [`fmt::Display`] is for people; only [`SqlName::postgresql`] and [`SqlName::mysql`] are for statements.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlName(String);

/// Why a text cannot be a [`SqlName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It is empty.
    #[error("a SQL name cannot be empty")]
    Empty,
    /// It is too long.
    #[error(
        "the SQL name {name:?} has {bytes} bytes; {MAX_NAME_BYTES} are allowed, so choose a shorter one"
    )]
    TooLong {
        /// The name.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// It contains a control character, such as a line break or NUL.
    #[error("the SQL name {name:?} holds the control character {found:?}; remove it")]
    ControlCharacter {
        /// The name.
        name: String,
        /// The first such character.
        found: char,
    },
}

impl SqlName {
    /// Takes a name as it is: nothing is trimmed, folded or truncated.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        if name.is_empty() {
            return Err(InvalidName::Empty);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(InvalidName::TooLong {
                bytes: name.len(),
                name,
            });
        }
        if let Some(found) = name.chars().find(|c| c.is_control()) {
            return Err(InvalidName::ControlCharacter { name, found });
        }
        Ok(Self(name))
    }

    /// The name as the catalog holds it, for parameters and comparisons.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an identifier in PostgreSQL: `"orders"`.
    #[must_use]
    pub fn postgresql(&self) -> String {
        quoted(&self.0, '"')
    }

    /// The name as an identifier in MySQL and MariaDB: `` `orders` ``.
    #[must_use]
    pub fn mysql(&self) -> String {
        quoted(&self.0, '`')
    }
}

impl fmt::Display for SqlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SqlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for SqlName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

/// A name from a catalog, as an identifier in PostgreSQL.
#[must_use]
pub fn postgresql_identifier(name: &str) -> String {
    quoted(name, '"')
}

/// A name from a catalog, or the pattern of a GRANT, as an identifier in MySQL and MariaDB.
#[must_use]
pub fn mysql_identifier(name: &str) -> String {
    quoted(name, '`')
}

/// A string literal for PostgreSQL, in the form whose meaning no setting changes when it holds a backslash: `E'…'`.
#[must_use]
pub fn postgresql_literal(text: &str) -> String {
    let body = quoted(text, '\'');
    if body.contains('\\') {
        format!("E{}", body.replace('\\', "\\\\"))
    } else {
        body
    }
}

/// A string literal for MySQL and MariaDB, under an `sql_mode` without `NO_BACKSLASH_ESCAPES`.
#[must_use]
pub fn mysql_literal(text: &str) -> String {
    quoted(text, '\'').replace('\\', "\\\\")
}

/// An account of MySQL and MariaDB, `'user'@'host'`.
#[must_use]
pub fn mysql_account(user: &str, host: &str) -> String {
    format!("{}@{}", mysql_literal(user), mysql_literal(host))
}

/// `schema.*` for GRANT and REVOKE in MySQL and MariaDB, where `_` and `%` in a schema's name are wildcards.
#[must_use]
pub fn mysql_grant_pattern(schema: &SqlName) -> String {
    let mut pattern = String::with_capacity(schema.0.len() + 8);
    for character in schema.0.chars() {
        if matches!(character, '_' | '%' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// `text` between `quote`s, each one inside doubled.
fn quoted(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        if character == quote {
            out.push(quote);
        }
        out.push(character);
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn names_keep_their_spelling() {
        for name in [
            "orders",
            "Orders",
            " a b ",
            "x\"; drop role y; --",
            "dätä",
            "a`b",
            "a\\b",
            "it's",
            "select",
        ] {
            assert_eq!(SqlName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_are_measured_in_bytes() {
        assert!(SqlName::new("é".repeat(31)).is_ok());
        assert_eq!(
            SqlName::new("é".repeat(32)),
            Err(InvalidName::TooLong {
                name: "é".repeat(32),
                bytes: 64
            })
        );
    }

    #[test]
    fn names_hold_no_control_characters_and_are_not_empty() {
        assert_eq!(SqlName::new(""), Err(InvalidName::Empty));
        for found in ['\0', '\n', '\t', '\u{7f}', '\u{85}'] {
            let name = format!("a{found}b");
            assert_eq!(
                SqlName::new(name.clone()),
                Err(InvalidName::ControlCharacter { name, found })
            );
        }
    }

    #[test]
    fn quotes_are_doubled() {
        let name = SqlName::new("a\"b`c'd\\e").unwrap();
        assert_eq!(name.postgresql(), "\"a\"\"b`c'd\\e\"");
        assert_eq!(name.mysql(), "`a\"b``c'd\\e`");
        assert_eq!(postgresql_literal("it's"), "'it''s'");
        assert_eq!(postgresql_literal("a\\'b"), "E'a\\\\''b'");
        assert_eq!(mysql_literal("a\\'b"), "'a\\\\''b'");
        assert_eq!(mysql_identifier("a`\\_b"), "`a``\\_b`");
        assert_eq!(mysql_account("o'b@c", "%"), "'o''b@c'@'%'");
    }

    #[test]
    fn wildcards_are_escaped_in_grants() {
        assert_eq!(
            mysql_grant_pattern(&SqlName::new("p_c%t\\`").unwrap()),
            "p\\_c\\%t\\\\`"
        );
    }
}
