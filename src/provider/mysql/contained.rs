//! What is in a schema: everything that a dump puts there, and so whether anything would be lost with it.

use sqlx::AssertSqlSafe;

use super::dialect::Dialect;
use super::session::Session;
use crate::provider::{ProviderError, SqlName};

/// The most names that are told to people.
const NAMED: usize = 10;

/// The kinds of what is in a schema. Triggers belong to their tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Event,
    /// A procedure, a function or a package, as DROP names it.
    Routine(&'static str),
    View,
    Table,
    Sequence,
    Library,
}

/// Something in a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// Some of what is in a schema, in the order in which it can be dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contained {
    pub(super) first: Vec<Object>,
    total: usize,
}

/// Each part has the schema as two parameters: the first finds it by the catalog's own comparison, which ignores case in
/// places, the second tells names apart.
const PARTS: [&str; 3] = [
    "SELECT 1 AS place, 'EVENT' AS kind, CONVERT(EVENT_NAME USING utf8mb4) AS name FROM information_schema.EVENTS \
     WHERE EVENT_SCHEMA = ? AND CAST(EVENT_SCHEMA AS BINARY) = CAST(? AS BINARY)",
    "SELECT 2, UPPER(CONVERT(ROUTINE_TYPE USING utf8mb4)), CONVERT(ROUTINE_NAME USING utf8mb4) \
     FROM information_schema.ROUTINES \
     WHERE ROUTINE_SCHEMA = ? AND CAST(ROUTINE_SCHEMA AS BINARY) = CAST(? AS BINARY)",
    "SELECT CASE TABLE_TYPE WHEN 'VIEW' THEN 3 WHEN 'SEQUENCE' THEN 5 ELSE 4 END, \
     CASE TABLE_TYPE WHEN 'VIEW' THEN 'VIEW' WHEN 'SEQUENCE' THEN 'SEQUENCE' ELSE 'TABLE' END, \
     CONVERT(TABLE_NAME USING utf8mb4) FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = ? AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY)",
];

/// Libraries for routines in JavaScript, which MySQL has since 9.2.
const LIBRARIES: &str = "SELECT 6, 'LIBRARY', CONVERT(LIBRARY_NAME USING utf8mb4) FROM information_schema.LIBRARIES \
     WHERE LIBRARY_SCHEMA = ? AND CAST(LIBRARY_SCHEMA AS BINARY) = CAST(? AS BINARY)";

/// Reads what is in a schema, for people.
pub(super) async fn contained(
    session: &mut Session,
    dialect: &Dialect,
    schema: &SqlName,
) -> Result<Contained, ProviderError> {
    read(session, dialect, schema, NAMED).await
}

/// Reads the first of what is in a schema.
pub(super) async fn read(
    session: &mut Session,
    dialect: &Dialect,
    schema: &SqlName,
    most: usize,
) -> Result<Contained, ProviderError> {
    let mut parts = PARTS.to_vec();
    if !dialect.is_mariadb() && dialect.series >= (9, 2) {
        parts.push(LIBRARIES);
    }
    let sql = format!(
        "SELECT kind, name, CAST(COUNT(*) OVER () AS SIGNED) AS total FROM ({}) AS found ORDER BY place, name LIMIT {most}",
        parts.join(" UNION ALL ")
    );
    let name = schema.as_str().to_owned();
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for _ in 0..parts.len() * 2 {
        query = query.bind(name.clone());
    }
    let rows = session
        .rows("looking at what is in the database", query)
        .await
        .map_err(|failure| failure.error.in_database(schema.as_str()))?;
    let mut found = Contained::default();
    for row in rows {
        found.total = usize::try_from(row.number("total")?).unwrap_or(usize::MAX);
        found.first.push(Object {
            kind: kind(&row.text("kind")?)?,
            name: row.text("name")?,
        });
    }
    Ok(found)
}

fn kind(text: &str) -> Result<Kind, ProviderError> {
    Ok(match text {
        "EVENT" => Kind::Event,
        "PROCEDURE" => Kind::Routine("PROCEDURE"),
        "FUNCTION" => Kind::Routine("FUNCTION"),
        // Its body is a row of its own, and goes with it.
        "PACKAGE" => Kind::Routine("PACKAGE"),
        "PACKAGE BODY" => Kind::Routine("PACKAGE BODY"),
        "VIEW" => Kind::View,
        "TABLE" => Kind::Table,
        "SEQUENCE" => Kind::Sequence,
        "LIBRARY" => Kind::Library,
        other => {
            return Err(ProviderError::Unsupported(format!(
                "the database has a {other:?}, which this version of db-operator does not know: run a newer one"
            )));
        }
    })
}

impl Kind {
    /// As DROP names it.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Event => "EVENT",
            Self::Routine(kind) => kind,
            Self::View => "VIEW",
            Self::Table => "TABLE",
            Self::Sequence => "SEQUENCE",
            Self::Library => "LIBRARY",
        }
    }
}

impl Contained {
    /// Whether nothing is in it.
    pub(super) fn is_nothing(&self) -> bool {
        self.first.is_empty()
    }

    /// Names for people, and one that counts the rest. Empty: nothing is in it.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .first
            .iter()
            .take(NAMED)
            .map(Object::describe)
            .collect();
        let more = self.total.saturating_sub(names.len());
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        names
    }
}

impl Object {
    fn describe(&self) -> String {
        format!("{} {:?}", self.kind.sql().to_ascii_lowercase(), self.name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn names_are_told_and_the_rest_is_counted() {
        let object = |name: &str| Object {
            kind: Kind::Table,
            name: name.to_owned(),
        };
        let found = Contained {
            first: vec![object("a"), object("b\n")],
            total: 12,
        };
        assert_eq!(
            found.names(),
            ["table \"a\"", "table \"b\\n\"", "and 10 more"]
        );
        assert!(!found.is_nothing());
        assert_eq!(Contained::default().names(), [""; 0]);
        assert!(Contained::default().is_nothing());
    }

    #[test]
    fn what_is_not_known_is_not_dropped() {
        for text in ["EVENT", "PROCEDURE", "PACKAGE BODY", "VIEW", "SEQUENCE"] {
            assert_eq!(kind(text).unwrap().sql(), text);
        }
        assert!(kind("MODULE").is_err());
    }
}
