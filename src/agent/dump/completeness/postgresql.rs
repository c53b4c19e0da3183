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

/// Parses one archive as it passes.
#[derive(Debug, Default)]
pub struct Archive {
    /// How many bytes came before those that are parsed now.
    seen: u64,
    /// The beginning of an item whose end has not come yet.
    rest: Vec<u8>,
    at: At,
    format: Format,
    /// The entries that have data, and whether their block has come.
    entries: HashMap<i64, bool>,
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

#[derive(Clone, Copy, Debug, Default)]
struct Format {
    minor: u8,
    int: usize,
    offset: usize,
}

/// The longest header or entry, in bytes; the definition of a view may be long.
const ENTRY_LIMIT: usize = 256 * 1024 * 1024;

/// How many new bytes are joined to an unfinished item at first.
const NEAR: usize = 4096;

const DATA: u8 = 1;
const OBJECTS: u8 = 3;

/// Why an item could not be read.
enum Stop {
    /// More bytes are needed.
    NeedsMore,
    /// No further bytes can help.
    Broken(String),
}

impl Archive {
    /// Takes the next bytes.
    pub fn observe(&mut self, bytes: &[u8]) {
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
    pub fn check(&self) -> Result<(), String> {
        if let At::Broken(why) = &self.at {
            return Err(why.clone());
        }
        if self.at != At::Block || !self.rest.is_empty() {
            return Err(format!("it ends in the middle, {}", self.place()));
        }
        let missing = self.entries.values().filter(|&&found| !found).count();
        if missing > 0 {
            return Err(format!(
                "{missing} of {} tables have no data in it",
                self.entries.len()
            ));
        }
        Ok(())
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
                    let here = (bytes.len() - position) as u64;
                    if left > here {
                        self.set_left(left - here);
                        return bytes.len();
                    }
                    position += usize::try_from(left).unwrap_or_default();
                    self.at = match self.at {
                        At::Data(_) => At::Chunk,
                        _ => At::ObjectChunk,
                    };
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
                Ok(()) => position += before - reader.bytes.len(),
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

    fn set_left(&mut self, left: u64) {
        self.at = match self.at {
            At::Data(_) => At::Data(left),
            _ => At::ObjectData(left),
        };
    }

    /// Reads one item. If that is not possible yet, nothing changes.
    fn step(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        self.at = match self.at {
            At::Header => {
                self.format = header(reader)?;
                let count = reader.count()?;
                Self::after_entry(count)
            }
            At::Contents(left) => {
                let entry = entry(reader, self.format)?;
                if entry.has_data && self.entries.insert(entry.id, false).is_some() {
                    return Err(broken("two entries have one number"));
                }
                Self::after_entry(left - 1)
            }
            At::Block => {
                let kind = reader.byte()?;
                let id = reader.int()?;
                match self.entries.get_mut(&id) {
                    Some(found) if !*found => *found = true,
                    Some(_) => return Err(broken("a table has two blocks of data")),
                    None => return Err(broken("data of something that is not in its contents")),
                }
                match kind {
                    DATA => At::Chunk,
                    OBJECTS => At::Object,
                    _ => return Err(broken("a block of no known kind")),
                }
            }
            At::Chunk => match reader.count()? {
                0 => At::Block,
                length => At::Data(length),
            },
            // An oid from 2³¹ on is written as a negative number.
            At::Object => match reader.int()? {
                0 => At::Block,
                _ => At::ObjectChunk,
            },
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

fn broken(why: &str) -> Stop {
    Stop::Broken(why.to_owned())
}

fn header(reader: &mut Reader<'_>) -> Result<Format, Stop> {
    let not_custom = || broken("it is not in the custom format: give pg_dump --format=custom");
    for &expected in b"PGDMP" {
        if reader.byte()? != expected {
            return Err(not_custom());
        }
    }
    let (major, minor, _revision) = (reader.byte()?, reader.byte()?, reader.byte()?);
    if major != 1 || !(14..=16).contains(&minor) {
        return Err(Stop::Broken(format!(
            "its archive version {major}.{minor} is not known to this release of db-operator"
        )));
    }
    let (int, offset) = (usize::from(reader.byte()?), usize::from(reader.byte()?));
    if !(1..=8).contains(&int) || !(1..=8).contains(&offset) {
        return Err(broken("its header is damaged"));
    }
    if reader.byte()? != 1 {
        return Err(not_custom());
    }
    reader.int = int;
    if minor >= 15 {
        reader.byte()?;
    } else {
        reader.int()?;
    }
    for _ in 0..7 {
        reader.int()?;
    }
    for _ in 0..3 {
        reader.string()?;
    }
    Ok(Format { minor, int, offset })
}

struct Entry {
    id: i64,
    has_data: bool,
}

fn entry(reader: &mut Reader<'_>, format: Format) -> Result<Entry, Stop> {
    let id = reader.int()?;
    let has_data = reader.int()? != 0;
    // Two numbers of the catalog, tag, kind.
    for _ in 0..4 {
        reader.string()?;
    }
    let _section = reader.int()?;
    // Definition, drop, copy, namespace, tablespace, access method.
    for _ in 0..6 {
        reader.string()?;
    }
    if format.minor >= 16 {
        let _kind = reader.int()?;
    }
    // Owner, and "false".
    for _ in 0..2 {
        reader.string()?;
    }
    // What it depends on, up to an absent string.
    while reader.string()? {}
    // Where its data is, which is not known in a pipe.
    reader.skip(1 + format.offset as u64)?;
    Ok(Entry { id, has_data })
}

/// Reads from the front of the bytes that have come.
struct Reader<'a> {
    bytes: &'a [u8],
    int: usize,
}

impl Reader<'_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Stop> {
        let (&first, rest) = self.bytes.split_first().ok_or(Stop::NeedsMore)?;
        self.bytes = rest;
        Ok(first)
    }

    #[inline]
    fn int(&mut self) -> Result<i64, Stop> {
        let (sign, rest) = self.bytes.split_first().ok_or(Stop::NeedsMore)?;
        let (digits, rest) = rest.split_at_checked(self.int).ok_or(Stop::NeedsMore)?;
        let value = digits
            .iter()
            .rev()
            .fold(0_i64, |value, &digit| (value << 8) | i64::from(digit));
        self.bytes = rest;
        Ok(if *sign == 0 { value } else { -value })
    }

    /// An integer that cannot be negative.
    #[inline]
    fn count(&mut self) -> Result<u64, Stop> {
        u64::try_from(self.int()?).map_err(|_| broken("a length is negative"))
    }

    /// Skips a string; false if it is absent.
    fn string(&mut self) -> Result<bool, Stop> {
        match u64::try_from(self.int()?) {
            Ok(length) => self.skip(length).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn skip(&mut self, length: u64) -> Result<(), Stop> {
        let length = usize::try_from(length).map_err(|_| broken("a length is too long"))?;
        self.bytes = self.bytes.get(length..).ok_or(Stop::NeedsMore)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "postgresql_tests.rs"]
mod tests;
