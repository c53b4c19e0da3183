//! PostgreSQL's custom format has no end marker, and `pg_restore --list` accepts half a file. So this parser follows its
//! blocks as they pass: a complete archive ends exactly after a block, and has one for each entry of its table of contents
//! that has data.
//!
//! The format, as `pg_dump` 12 to 18 write it to a pipe (versions 1.14 to 1.16, in `pg_backup_archiver.c` and
//! `pg_backup_custom.c`). An integer is a byte for its sign, followed by its bytes, lowest first:
//!
//! ```text
//! "PGDMP" major minor revision, size of integers, size of offsets, format (1)
//! compression: a byte since 1.15, an integer before; seven integers of a date; three strings
//! number of entries, entries
//! block: 1, id, chunks, 0                                        the data of a table
//!        3, id, any number of (oid, chunks, 0), 0                large objects
//! ```

use std::collections::HashMap;

use super::LONGEST_CONTENTS;
use super::contents::Contents;
use super::counting::{Counting, Source};
use super::items::{Format, Reader, Stop, broken, entry, header};
use crate::agent::contents::Figures;

/// Parses one archive as it passes.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    /// How many bytes came before those that are parsed now.
    seen: u64,
    /// The beginning of an item whose end has not come yet.
    rest: Vec<u8>,
    at: At,
    format: Format,
    /// The entries that have data.
    entries: HashMap<i64, Data>,
    /// What its table of contents says.
    contents: Contents,
    /// Counts what is in it.
    counting: Counting,
    /// The longest chunk of a table's data, in bytes: `pg_dump` writes one for each row.
    longest: u64,
    /// Where its table of contents ends, in bytes; 0 as long as it has not.
    contents_end: u64,
    /// Some rows are neither copied nor in large objects.
    has_statements: bool,
}

/// What is known of an entry's data.
#[derive(Clone, Copy, Debug)]
enum Data {
    /// Its block, which is one of large objects or not, has not come yet.
    Awaited(Source, bool),
    /// It has.
    Come,
}

/// Where the parser is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum At {
    /// Before the end of the header.
    #[default]
    Header,
    /// In the table of contents, with this many entries left.
    Contents(u64),
    /// Before a block, or at the end.
    Block,
    /// Before the length of a chunk of a table's data.
    Chunk,
    /// In a chunk of a table's data, with this many bytes left.
    Data(u64),
    /// Before the number of a large object, or the end of them.
    Object,
    /// Before the length of a chunk of a large object.
    ObjectChunk,
    /// In a chunk of a large object, with this many bytes left.
    ObjectData(u64),
    /// This is not an archive.
    Broken(String),
}

/// The longest header or entry, in bytes; the definition of a view may be long.
const ENTRY_LIMIT: usize = 256 * 1024 * 1024;

/// How many new bytes are joined to an unfinished item at first.
const NEAR: usize = 4096;

const DATA: u8 = 1;
const OBJECTS: u8 = 3;

impl Archive {
    /// Takes the next bytes.
    pub(crate) fn observe(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            // Enough for an integer, and usually for an entry: the rest is parsed where it is, without copying it.
            let (near, far) = bytes.split_at(bytes.len().min(NEAR));
            let before = self.rest.len();
            let mut joined = std::mem::take(&mut self.rest);
            joined.extend_from_slice(near);
            let mut parsed = self.parse(&joined);
            if parsed < before {
                joined.extend_from_slice(far);
                parsed += self.parse(&joined[parsed..]);
            }
            if parsed < before {
                self.seen += parsed as u64;
                joined.drain(..parsed);
                self.rest = joined;
                return;
            }
            self.seen += before as u64;
            bytes = &bytes[parsed - before..];
            self.seen += (parsed - before) as u64;
        }
        let parsed = self.parse(bytes);
        self.seen += parsed as u64;
        self.rest.extend_from_slice(&bytes[parsed..]);
    }

    /// Says what is missing, after the last byte.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let At::Broken(why) = &self.at {
            return Err(why.clone());
        }
        if self.at != At::Block || !self.rest.is_empty() {
            return Err(format!("it ends in the middle, {}", self.place()));
        }
        let is_missing = |data: &&Data| matches!(data, Data::Awaited(..));
        let missing = self.entries.values().filter(is_missing).count();
        if missing > 0 {
            return Err(format!(
                "{missing} of {} tables have no data in it",
                self.entries.len()
            ));
        }
        Ok(())
    }

    /// Whether this is no archive, whatever follows.
    #[must_use]
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.at, At::Broken(_))
    }

    /// How many entries have data, once its table of contents has come.
    #[must_use]
    pub(crate) fn tables(&self) -> Option<u32> {
        let is_known = !matches!(self.at, At::Header | At::Contents(_) | At::Broken(_));
        is_known.then(|| u32::try_from(self.entries.len()).unwrap_or(u32::MAX))
    }

    /// The largest row so far, in bytes; 0 if there was none.
    #[must_use]
    pub(crate) fn largest_row(&self) -> u64 {
        self.longest
    }

    /// What a restore of it needs.
    #[must_use]
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut all = self.contents.warnings();
        if self.contents_end > LONGEST_CONTENTS {
            all.push(format!(
                "its table of contents has {} MiB, and a Restore takes {} MiB: with so many tables or large objects, only pg_restore by hand loads it",
                self.contents_end >> 20,
                LONGEST_CONTENTS >> 20
            ));
        }
        if self.has_statements {
            all.push(
                "its rows are statements, which a Restore does not take: only pg_restore by hand loads it; give pg_dump no --inserts"
                    .to_owned(),
            );
        }
        all
    }

    /// What is in it, table by table; why not, where that cannot be told.
    pub(crate) fn figures(self) -> Result<Figures, String> {
        self.counting.finish()
    }

    fn place(&self) -> &'static str {
        match self.at {
            At::Header => "in its header",
            At::Contents(_) => "in its table of contents",
            At::Block | At::Chunk | At::Data(_) => "in a table's data",
            At::Object | At::ObjectChunk | At::ObjectData(_) => "in large objects",
            At::Broken(_) => "after what is no dump",
        }
    }

    /// Parses these bytes as far as possible, and returns how far that is.
    fn parse(&mut self, bytes: &[u8]) -> usize {
        let mut position = 0;
        loop {
            // Each row of a table is a chunk: this is the path that millions of them take.
            match self.at {
                At::Data(left) | At::ObjectData(left) => {
                    let rest = &bytes[position..];
                    let here =
                        usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    let is_rows = matches!(self.at, At::Data(_));
                    if is_rows {
                        self.counting.data(&rest[..here]);
                    }
                    position += here;
                    let left = left - here as u64;
                    self.at = match (left, is_rows) {
                        (0, true) => At::Chunk,
                        (0, false) => At::ObjectChunk,
                        (left, true) => At::Data(left),
                        (left, false) => At::ObjectData(left),
                    };
                    if left > 0 {
                        return bytes.len();
                    }
                }
                At::Broken(_) => return bytes.len(),
                _ => {}
            }
            let mut reader = Reader {
                bytes: &bytes[position..],
                int: self.format.int,
            };
            let before = reader.bytes.len();
            match self.step(&mut reader) {
                Ok(()) => {
                    position += before - reader.bytes.len();
                    if self.contents_end == 0 && self.at == At::Block {
                        self.contents_end = self.seen + position as u64;
                    }
                }
                Err(Stop::NeedsMore) if bytes.len() - position > ENTRY_LIMIT => {
                    self.at = At::Broken("an entry of its table of contents has no end".to_owned());
                }
                Err(Stop::NeedsMore) => return position,
                Err(Stop::Broken(why)) => {
                    let place = self.seen + position as u64;
                    self.at = At::Broken(format!("{why} (at byte {place})"));
                }
            }
        }
    }

    /// Reads one item. If that is not possible yet, nothing changes.
    fn step(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        self.at = match self.at {
            At::Header => {
                self.format = header(reader)?;
                self.counting.begin(self.format.is_compressed);
                let count = reader.count()?;
                Self::after_entry(count)
            }
            At::Contents(left) => {
                let entry = entry(reader, self.format)?;
                if entry.has_data {
                    let is_objects = entry.item.kind == b"BLOBS";
                    self.has_statements |= !is_objects && entry.item.copy.is_empty();
                    let source = self.counting.entry(&entry.item);
                    let awaited = Data::Awaited(source, is_objects);
                    if self.entries.insert(entry.id, awaited).is_some() {
                        return Err(broken("two entries have one number"));
                    }
                }
                self.counting.sequence(&entry.item);
                self.contents.add(&entry.item);
                Self::after_entry(left - 1)
            }
            At::Block => {
                let kind = reader.byte()?;
                let id = reader.int()?;
                let (source, is_objects) = match self.entries.insert(id, Data::Come) {
                    Some(Data::Awaited(source, is_objects)) => (source, is_objects),
                    Some(Data::Come) => return Err(broken("a table has two blocks of data")),
                    None => return Err(broken("data of something that is not in its contents")),
                };
                match (kind, is_objects) {
                    (DATA, false) => {
                        self.counting.open(source);
                        At::Chunk
                    }
                    (OBJECTS, true) => At::Object,
                    // What is no large object to it, pg_restore would run.
                    (DATA, true) | (OBJECTS, false) => {
                        return Err(broken("a block of another kind than its entry's"));
                    }
                    _ => return Err(broken("a block of no known kind")),
                }
            }
            At::Chunk => match reader.count()? {
                0 => {
                    self.counting.close();
                    At::Block
                }
                length => {
                    self.longest = self.longest.max(length);
                    At::Data(length)
                }
            },
            // An oid from 2³¹ on is written as a negative number.
            At::Object if reader.int()? == 0 => At::Block,
            At::Object => {
                self.counting.large_object();
                At::ObjectChunk
            }
            At::ObjectChunk => match reader.count()? {
                0 => At::Object,
                length => At::ObjectData(length),
            },
            At::Data(_) | At::ObjectData(_) | At::Broken(_) => return Err(Stop::NeedsMore),
        };
        Ok(())
    }

    fn after_entry(left: u64) -> At {
        match left {
            0 => At::Block,
            left => At::Contents(left),
        }
    }
}

#[cfg(test)]
#[path = "postgresql_tests.rs"]
mod tests;
