//! The differences between a backup and what is there now. Pure.

use std::fmt::Display;

use crate::agent::log;
use crate::agent::protocol::contents::Table;
use crate::agent::protocol::restore::{DIFFERENCES, RestoreCause};
use crate::agent::restore::failure::Failure;
use crate::printable::{printable, several, shortened};

/// How many characters of an error are passed on.
const ERROR: usize = 200;

/// What differs, of which some are named.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Differences {
    named: Vec<String>,
    tables: u64,
    queries: u64,
}

impl Differences {
    /// Compares the rows of a table with those that are there.
    pub(super) fn rows<E: Display>(&mut self, table: &Table, found: Result<u64, E>) {
        match found {
            Ok(found) if found == table.rows => {}
            Ok(found) => self.table(format!(
                "{}: {found} rows, and {} in the backup",
                name(table),
                table.rows
            )),
            Err(error) => self.table(format!("{}: {}", name(table), cut(&error))),
        }
    }

    /// Compares all rows together, where those of each table are not known.
    pub(super) fn all_rows(&mut self, found: u64, expected: u64) {
        if found != expected {
            self.table(format!(
                "all tables together: {found} rows, and {expected} in the backup"
            ));
        }
    }

    /// Compares the digest of a table; `None`: it is not there.
    pub(super) fn digest(&mut self, table: &Table, found: Option<&Table>) {
        match found {
            Some(found) if found.digest == table.digest && found.rows == table.rows => {}
            Some(found) if found.rows != table.rows => {
                self.rows::<String>(table, Ok(found.rows));
            }
            Some(_) => self.table(format!(
                "{}: as many rows as in the backup, but not the same",
                name(table)
            )),
            None if table.rows == 0 => {}
            None => self.table(format!("{}: is not there", name(table))),
        }
    }

    /// The answer to one of the team's questions.
    pub(super) fn query<E: Display>(&mut self, query: &str, answer: Result<bool, E>) {
        let said = match answer {
            Ok(true) => {
                log::say(format_args!("query {query:?}: true"));
                return;
            }
            Ok(false) => format!("query {query:?}: false"),
            Err(error) => format!("query {query:?}: {}", cut(&error)),
        };
        self.queries += 1;
        self.add(said);
    }

    fn table(&mut self, difference: String) {
        self.tables += 1;
        self.add(difference);
    }

    fn add(&mut self, difference: String) {
        if self.named.len() < DIFFERENCES {
            log::say(&difference);
            self.named.push(difference);
        }
    }

    /// What they come to; `None` if there are none.
    pub(super) fn failure(&self) -> Option<Failure> {
        let first = self.named.first()?;
        let message = match (self.tables, self.queries) {
            (0, 1) | (1, 0) => first.clone(),
            (0, queries) => {
                format!("{queries} queries were not answered with true, such as {first}")
            }
            (tables, _) => {
                let tables = several(tables, "table");
                format!("{tables} are not what was dumped, such as {first}")
            }
        };
        Some(Failure {
            cause: RestoreCause::CheckFailed,
            message,
            differences: self.named.clone(),
        })
    }
}

/// A table's name, for people.
fn name(table: &Table) -> String {
    match table.schema.as_str() {
        "" => printable(&table.name).into_owned(),
        schema => format!("{}.{}", printable(schema), printable(&table.name)),
    }
}

fn cut(error: &impl Display) -> String {
    shortened(&error.to_string(), ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64, digest: &str) -> Table {
        Table {
            schema: "public".to_owned(),
            name: name.to_owned(),
            rows,
            bytes: 0,
            digest: Some(digest.to_owned()),
        }
    }

    #[test]
    fn what_is_equal_is_no_difference() {
        let mut all = Differences::default();
        all.rows::<String>(&table("a", 5, "x"), Ok(5));
        all.digest(&table("a", 5, "x"), Some(&table("a", 5, "x")));
        all.digest(&table("empty", 0, "0"), None);
        all.all_rows(7, 7);
        all.query::<String>("q", Ok(true));
        assert!(all.failure().is_none());
    }

    #[test]
    fn each_difference_is_a_sentence_and_not_too_many_are_named() {
        let mut all = Differences::default();
        all.rows::<String>(&table("a", 5, "x"), Ok(4));
        all.rows(
            &table("b\n", 5, "x"),
            Err("no such table\nat all".repeat(50)),
        );
        all.digest(&table("c", 5, "x"), Some(&table("c", 5, "y")));
        all.digest(&table("d", 5, "x"), None);
        let failure = all.failure().unwrap();
        assert_eq!(failure.cause, RestoreCause::CheckFailed);
        assert_eq!(
            failure.message,
            "4 tables are not what was dumped, such as public.a: 4 rows, and 5 in the backup"
        );
        assert_eq!(
            failure.differences[0],
            "public.a: 4 rows, and 5 in the backup"
        );
        assert!(
            failure.differences[1].starts_with("public.b\u{fffd}: no such table\u{fffd}at all")
        );
        assert!(failure.differences[1].chars().count() < 220);
        for number in 0..50 {
            all.rows::<String>(&table(&number.to_string(), 1, "x"), Ok(0));
        }
        let failure = all.failure().unwrap();
        assert_eq!(failure.differences.len(), DIFFERENCES);
        assert!(failure.message.starts_with("54 tables"));
    }

    #[test]
    fn a_query_that_is_not_true_fails() {
        let mut all = Differences::default();
        all.query::<String>("newest", Ok(false));
        all.query("other", Err("it gives two columns"));
        let failure = all.failure().unwrap();
        assert_eq!(
            failure.differences,
            [
                "query \"newest\": false",
                "query \"other\": it gives two columns"
            ]
        );
        let message = "2 queries were not answered with true, such as query \"newest\": false";
        assert_eq!(failure.message, message);
    }
}
