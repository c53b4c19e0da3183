//! Gathers the figures of tables in bounded memory: beyond a number of tables only their sum is kept.

use std::num::NonZeroU32;
use std::ops::Range;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::frame;
use crate::agent::protocol::contents::{Contents, MOST, Sequence, Table, Totals};

/// The most bytes of all names together. With the figures of [`MOST`] tables that is 14 MiB, which a server with so many
/// tables makes its own dump tool need many times over.
const NAMES: usize = 8 * 1024 * 1024;

/// What a dump holds, so far.
#[derive(Debug)]
pub struct Figures {
    tables: Vec<Counted>,
    sequences: Vec<Position>,
    /// Schemas and names, one after the other.
    names: Vec<u8>,
    large_objects: u64,
    /// All tables together.
    sum: Counted,
    number: u64,
    /// Whether tables are kept one by one.
    is_named: bool,
    has_digests: bool,
}

/// A table that is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TableId(NonZeroU32);

/// What all figures come to.
#[derive(Debug)]
pub struct Finished {
    /// For the manifest.
    pub totals: Totals,
    /// What is appended to the object, if each table's figures are.
    pub frame: Option<Vec<u8>>,
}

/// A place in [`Figures::names`].
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    schema: Text,
    name: Text,
    rows: u64,
    bytes: u64,
    digest: [u8; 16],
}

#[derive(Clone, Copy, Debug)]
struct Position {
    schema: Text,
    name: Text,
    value: i64,
    is_called: bool,
}

impl Text {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Counted {
    fn digest(&self) -> u128 {
        u128::from_ne_bytes(self.digest)
    }

    fn add(&mut self, rows: u64, bytes: u64, digest: u128) {
        self.rows = self.rows.saturating_add(rows);
        self.bytes = self.bytes.saturating_add(bytes);
        self.digest = self.digest().wrapping_add(digest).to_ne_bytes();
    }
}

impl Figures {
    /// Figures of nothing yet, with or without a digest of each table's rows.
    #[must_use]
    pub fn new(has_digests: bool) -> Self {
        Self {
            tables: Vec::new(),
            sequences: Vec::new(),
            names: Vec::new(),
            large_objects: 0,
            sum: Counted::default(),
            number: 0,
            is_named: true,
            has_digests,
        }
    }

    /// Takes note of a table; `None` where it is counted only together with all others.
    pub fn table(&mut self, schema: &[u8], name: &[u8]) -> Option<TableId> {
        self.number += 1;
        if self.tables.len() == MOST {
            self.forget();
        }
        let (schema, name) =
            self.named(schema, name, self.tables.last().map(|last| last.schema))?;
        self.tables.push(Counted {
            schema,
            name,
            ..Counted::default()
        });
        let number = u32::try_from(self.tables.len()).ok()?;
        NonZeroU32::new(number).map(TableId)
    }

    /// Counts rows of a table. `digest` is the sum of their hashes.
    pub fn rows(&mut self, table: Option<TableId>, rows: u64, bytes: u64, digest: u128) {
        let index = table.map(|id| id.0.get() as usize - 1);
        if let Some(table) = index.and_then(|index| self.tables.get_mut(index)) {
            table.add(rows, bytes, digest);
        }
        self.sum.add(rows, bytes, digest);
    }

    /// Takes note of a sequence.
    pub fn sequence(&mut self, schema: &[u8], name: &[u8], value: i64, is_called: bool) {
        if self.sequences.len() == MOST {
            self.forget();
        }
        let last = self.sequences.last().map(|last| last.schema);
        if let Some((schema, name)) = self.named(schema, name, last) {
            self.sequences.push(Position {
                schema,
                name,
                value,
                is_called,
            });
        }
    }

    /// Counts a large object.
    pub fn large_object(&mut self) {
        self.large_objects += 1;
    }

    /// Sums them up, and writes them as a frame.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        let frame = self.sorted().and_then(|()| frame::written(&self));
        let (digest, frame) = match frame {
            Some((digest, frame)) => (digest, Some(frame)),
            None => (frame::digest(&self.together()), None),
        };
        Finished {
            totals: Totals {
                tables: self.number,
                rows: self.sum.rows,
                large_objects: self.large_objects,
                digest,
                has_tables: frame.is_some(),
            },
            frame,
        }
    }

    /// Table by table, if they are few enough: what the object would hold.
    #[must_use]
    pub fn contents(mut self) -> Option<Contents> {
        self.sorted()?;
        Some(Contents {
            tables: self.all_tables().collect(),
            sequences: self.all_sequences().collect(),
            large_objects: self.large_objects,
        })
    }

    /// All tables as one, without a name.
    fn together(&self) -> Contents {
        Contents {
            tables: vec![self.shown(&self.sum)],
            sequences: Vec::new(),
            large_objects: self.large_objects,
        }
    }

    /// Two names as they are kept. A schema that is the one before is kept once.
    fn named(&mut self, schema: &[u8], name: &[u8], before: Option<Text>) -> Option<(Text, Text)> {
        if self.is_named && self.names.len() + schema.len() + name.len() > NAMES {
            self.forget();
        }
        if !self.is_named {
            return None;
        }
        let same = before.filter(|before| self.names[before.range()] == *schema);
        let schema = match same {
            Some(same) => same,
            None => self.text(schema)?,
        };
        Some((schema, self.text(name)?))
    }

    fn text(&mut self, text: &[u8]) -> Option<Text> {
        let start = u32::try_from(self.names.len()).ok()?;
        self.names.extend_from_slice(text);
        let end = u32::try_from(self.names.len()).ok()?;
        Some(Text { start, end })
    }

    /// From here on all are counted together.
    pub fn forget(&mut self) {
        self.is_named = false;
        self.tables = Vec::new();
        self.sequences = Vec::new();
        self.names = Vec::new();
    }

    /// Puts them in the order of their names; `None` if there are none to put in order.
    fn sorted(&mut self) -> Option<()> {
        let names = &self.names;
        let of = |schema: Text, name: Text| (&names[schema.range()], &names[name.range()]);
        self.tables.sort_unstable_by(|one, other| {
            of(one.schema, one.name).cmp(&of(other.schema, other.name))
        });
        self.sequences.sort_unstable_by(|one, other| {
            of(one.schema, one.name).cmp(&of(other.schema, other.name))
        });
        self.is_named.then_some(())
    }

    /// A name as JSON can hold it: whoever compares it has to do the same to a name that is not UTF-8.
    fn name(&self, text: Text) -> String {
        String::from_utf8_lossy(&self.names[text.range()]).into_owned()
    }

    fn shown(&self, table: &Counted) -> Table {
        Table {
            schema: self.name(table.schema),
            name: self.name(table.name),
            rows: table.rows,
            bytes: table.bytes,
            digest: self.has_digests.then(|| format!("{:032x}", table.digest())),
        }
    }

    fn all_tables(&self) -> impl Iterator<Item = Table> {
        self.tables.iter().map(|table| self.shown(table))
    }

    fn all_sequences(&self) -> impl Iterator<Item = Sequence> {
        self.sequences.iter().map(|sequence| Sequence {
            schema: self.name(sequence.schema),
            name: self.name(sequence.name),
            value: sequence.value,
            is_called: sequence.is_called,
        })
    }
}

/// As [`Contents`] are written, without holding all of them at once.
impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        struct Tables<'a>(&'a Figures);
        impl Serialize for Tables<'_> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_seq(self.0.all_tables())
            }
        }
        struct Sequences<'a>(&'a Figures);
        impl Serialize for Sequences<'_> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_seq(self.0.all_sequences())
            }
        }
        let mut contents = to.serialize_struct("Contents", 3)?;
        contents.serialize_field("tables", &Tables(self))?;
        if !self.sequences.is_empty() {
            contents.serialize_field("sequences", &Sequences(self))?;
        }
        contents.serialize_field("largeObjects", &self.large_objects)?;
        contents.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_contents_are_written_as() {
        let mut figures = Figures::new(true);
        let b = figures.table(b"public", b"b");
        let a = figures.table(b"public", b"a\xff");
        figures.table(b"audit", b"z");
        figures.rows(b, 2, 20, u128::MAX);
        figures.rows(a, 1, 5, 7);
        figures.rows(b, 1, 10, 2);
        figures.sequence(b"public", b"s", -5, true);
        figures.large_object();
        figures.sorted().unwrap();
        let text = serde_json::to_string(&figures).unwrap();
        let contents = figures.contents().unwrap();
        assert_eq!(text, serde_json::to_string(&contents).unwrap());
        let names: Vec<&str> = contents.tables.iter().map(|table| &*table.name).collect();
        assert_eq!(names, ["z", "a\u{fffd}", "b"]);
        let b = &contents.tables[2];
        assert_eq!((b.rows, b.bytes), (3, 30));
        assert_eq!(
            b.digest.as_deref(),
            Some("00000000000000000000000000000001")
        );
        assert_eq!(contents.sequences[0].value, -5);
        // Nothing to say of sequences, as on MySQL.
        let mut figures = Figures::new(false);
        figures.table(b"", b"t");
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(
            text,
            r#"{"tables":[{"name":"t","rows":0,"bytes":0}],"largeObjects":0}"#
        );
        assert_eq!(
            text,
            serde_json::to_string(&figures.contents().unwrap()).unwrap()
        );
    }

    #[test]
    fn beyond_a_number_of_tables_only_their_sum_is_kept() {
        let mut figures = Figures::new(true);
        for number in 0..=MOST {
            let table = figures.table(b"public", number.to_string().as_bytes());
            assert_eq!(table.is_none(), number == MOST);
            figures.rows(table, 3, 6, 1);
        }
        assert!(figures.names.capacity() == 0 && figures.tables.capacity() == 0);
        figures.sequence(b"public", b"s", 1, true);
        let Finished { totals, frame } = figures.finish();
        let number = MOST as u64 + 1;
        assert_eq!((totals.tables, totals.rows), (number, 3 * number));
        assert!(!totals.has_tables && frame.is_none());
        assert_eq!(totals.digest.len(), 64);
        let mut long = Figures::new(false);
        for number in 0..5 {
            long.table(&vec![b's'; NAMES / 4], &[number]);
            long.table(&vec![b't'; NAMES / 4], &[number]);
        }
        assert!(!long.finish().totals.has_tables);
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order() {
        let of = |order: &[u8], most: usize| {
            let mut figures = Figures::new(true);
            if most == 0 {
                figures.forget();
            }
            for &table in order {
                let id = figures.table(b"s", &[table]);
                figures.rows(id, u64::from(table), 1, u128::from(table) << 100);
            }
            figures.finish().totals
        };
        for most in [0, 1] {
            assert_eq!(of(b"abc", most), of(b"cab", most));
            assert_ne!(of(b"abc", most).digest, of(b"abd", most).digest);
        }
    }
}
