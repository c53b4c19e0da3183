//! Counts what is in a PostgreSQL archive: the rows of each table, sequences, large objects.
//!
//! This decides nothing about whether the archive is complete. What it does not know ends the counting, not the dump.

use super::contents::Item;
use super::copy::CopyRows;
use crate::agent::contents::{Figures, TableId};

/// Whose data a block holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A table's; `None` where tables are counted together.
    Table(Option<TableId>),
    /// Not a table's: that of large objects.
    Other,
}

/// A table whose rows come; `None` where nobody knows which.
#[derive(Clone, Copy, Debug)]
struct Open(Option<TableId>);

/// Counts as the archive passes.
#[derive(Debug)]
pub(super) struct Counting {
    figures: Figures,
    /// Whose rows come, if they are a table's.
    open: Option<Open>,
    rows: CopyRows,
    /// Why it cannot count.
    unknown: Option<&'static str>,
}

impl Default for Counting {
    fn default() -> Self {
        Self {
            figures: Figures::new(true),
            open: None,
            rows: CopyRows::default(),
            unknown: None,
        }
    }
}

impl Counting {
    /// After the header.
    pub(super) fn begin(&mut self, is_compressed: bool) {
        if is_compressed {
            self.unknown = Some("the tool compresses them itself: give pg_dump --compress=0");
        }
    }

    /// Takes note of an entry that has data.
    pub(super) fn entry(&mut self, item: &Item<'_>) -> Source {
        if item.kind != b"TABLE DATA" {
            return Source::Other;
        }
        if !item.copy.starts_with(b"COPY ") {
            self.unknown = Some("they are not as COPY writes them: give pg_dump no --inserts");
        }
        Source::Table(self.figures.table(item.schema, item.name))
    }

    /// Takes note of an entry if it is the value of a sequence.
    pub(super) fn sequence(&mut self, item: &Item<'_>) {
        if item.kind != b"SEQUENCE SET" {
            return;
        }
        if let Some((value, is_called)) = position(item.definition) {
            self.figures
                .sequence(item.schema, item.name, value, is_called);
        } else {
            self.unknown = Some("the value of a sequence is not as pg_dump writes it");
        }
    }

    /// At the beginning of a block of data.
    pub(super) fn open(&mut self, source: Source) {
        self.open = match source {
            Source::Table(table) if self.unknown.is_none() => Some(Open(table)),
            Source::Table(_) | Source::Other => None,
        };
    }

    /// Takes a table's next bytes.
    #[inline]
    pub(super) fn data(&mut self, bytes: &[u8]) {
        if self.open.is_some() {
            self.rows.add(bytes);
        }
    }

    /// At the end of a table's data.
    pub(super) fn close(&mut self) {
        let Some(Open(table)) = self.open.take() else {
            return;
        };
        let rows = std::mem::take(&mut self.rows);
        if !rows.has_ended() {
            self.unknown = Some("the rows of a table have no end");
        }
        self.figures
            .rows(table, rows.rows(), rows.bytes(), rows.sum());
    }

    /// At the beginning of a large object.
    pub(super) fn large_object(&mut self) {
        self.figures.large_object();
    }

    /// The figures; why there are none, where something could not be counted.
    pub(super) fn finish(self) -> Result<Figures, String> {
        match self.unknown {
            Some(why) => Err(why.to_owned()),
            None => Ok(self.figures),
        }
    }
}

/// The end of `SELECT pg_catalog.setval('public.numbers', 7, true);`
fn position(definition: &[u8]) -> Option<(i64, bool)> {
    let after_name = definition.rsplit(|&byte| byte == b'\'').next()?;
    let text = std::str::from_utf8(after_name).ok()?.trim_end();
    let (value, is_called) = text
        .strip_prefix(", ")?
        .strip_suffix(");")?
        .split_once(", ")?;
    let is_called = match is_called {
        "true" => true,
        "false" => false,
        _ => return None,
    };
    Some((value.parse().ok()?, is_called))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_where_its_statement_says() {
        for (statement, expected) in [
            (
                &b"SELECT pg_catalog.setval('public.numbers', 7, true);\n"[..],
                Some((7, true)),
            ),
            (
                b"SELECT pg_catalog.setval('a.\"b'', 1, true);\"', -3, false);\n",
                Some((-3, false)),
            ),
            (
                b"SELECT pg_catalog.setval('\xe9', 9223372036854775807, true);\n",
                Some((i64::MAX, true)),
            ),
            (
                b"SELECT pg_catalog.setval('s', 9223372036854775808, true);\n",
                None,
            ),
            (b"SELECT pg_catalog.setval('s', 1);\n", None),
            (b"", None),
        ] {
            assert_eq!(
                position(statement),
                expected,
                "{}",
                String::from_utf8_lossy(statement)
            );
        }
    }
}
