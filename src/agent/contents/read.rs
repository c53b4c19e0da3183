//! Finds the figures in an object as it passes, and reads them. What comes may be anything.
//!
//! The figures are behind the dump, so the object's frames are followed: of each only as much is looked at as says where it
//! ends.

use std::io::{self, BufReader, Read};

use sha2::{Digest, Sha256};
use zstd::stream::read::Decoder;

use super::frame::{HEAD, LONGEST, LONGEST_JSON, MAGIC, MARK};
use crate::agent::protocol::contents::{Contents, Totals};

/// What a frame of compressed data begins with.
const ZSTD: u32 = 0xFD2F_B528;

/// What all skippable frames begin with, but for the last four bits.
const SKIPPABLE: u32 = 0x184D_2A50;

/// The longest header of a frame: magic number, descriptor, window, dictionary, size.
const LONGEST_HEADER: usize = 4 + 1 + 1 + 4 + 8;

/// The window of what the figures are compressed with, at most: 8 MiB.
const WINDOW_LOG: u32 = 23;

/// Why there are no figures, though the manifest says so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ContentsError {
    /// The object is something else, or ends too early.
    #[error("the object is not as zstd writes it: it is not the one that its manifest is about")]
    NotCompressed,
    /// Nothing was found.
    #[error(
        "the object does not hold the figures of its tables, although its manifest says so: it is not the one that its manifest is about"
    )]
    Missing,
    /// What was found cannot be read.
    #[error("the figures of its tables that the object holds cannot be read: {0}")]
    Unreadable(String),
    /// What was found is of another dump.
    #[error("the figures of its tables that the object holds are not those of its manifest")]
    Others,
}

/// Looks for the figures in an object.
#[derive(Debug)]
pub struct ContentsReader {
    at: At,
    /// The beginning of a header whose end has not come yet.
    head: Vec<u8>,
    /// What a frame like ours holds.
    content: Vec<u8>,
    found: Found,
}

/// Where in the object it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    /// Before a frame, or at the end.
    Frame,
    /// Before a block of a frame, which may have a checksum at its end.
    Block { checksum: bool },
    /// In something of no interest, with this many bytes left, and what follows.
    Passing { left: u64, then: Next },
    /// In a skippable frame that may be ours.
    Content { left: usize },
    /// This is not what zstd writes.
    Lost,
}

/// What follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Frame,
    Block { checksum: bool },
}

#[derive(Debug, Default)]
enum Found {
    #[default]
    Nothing,
    One(Vec<u8>),
    Several,
}

impl Default for ContentsReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ContentsReader {
    /// A reader at the beginning of an object.
    #[must_use]
    pub fn new() -> Self {
        Self {
            at: At::Frame,
            head: Vec::with_capacity(LONGEST_HEADER),
            content: Vec::new(),
            found: Found::Nothing,
        }
    }

    /// Takes the next bytes of the object, as it is stored.
    pub fn observe(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.at {
                At::Frame => self.frame(&mut bytes),
                At::Block { checksum } => self.block(&mut bytes, checksum),
                At::Passing { left, then } => {
                    let here = left.min(bytes.len() as u64);
                    bytes = &bytes[usize::try_from(here).unwrap_or(bytes.len())..];
                    self.pass(left - here, then);
                }
                At::Content { left } => {
                    let (here, rest) = bytes.split_at(left.min(bytes.len()));
                    self.content.extend_from_slice(here);
                    bytes = rest;
                    self.at = At::Content {
                        left: left - here.len(),
                    };
                    if left == here.len() {
                        self.keep();
                    }
                }
                At::Lost => return,
            }
        }
    }

    /// The figures, after the last byte; `None` if the manifest says that the object does not hold them.
    pub fn finish(self, totals: &Totals) -> Result<Option<Contents>, ContentsError> {
        if !totals.has_tables {
            return Ok(None);
        }
        if self.at != At::Frame || !self.head.is_empty() {
            return Err(ContentsError::NotCompressed);
        }
        let compressed = match self.found {
            Found::Nothing => return Err(ContentsError::Missing),
            Found::Several => return Err(ContentsError::Others),
            Found::One(compressed) => compressed,
        };
        let (contents, digest) = parsed(&compressed).map_err(ContentsError::Unreadable)?;
        let rows = contents
            .tables
            .iter()
            .try_fold(0_u64, |sum, table| sum.checked_add(table.rows));
        let same = digest == totals.digest
            && contents.tables.len() as u64 == totals.tables
            && rows == Some(totals.rows)
            && contents.large_objects == totals.large_objects;
        same.then_some(Some(contents)).ok_or(ContentsError::Others)
    }

    /// Takes bytes until there are so many of a header. `false` if they have not come yet.
    fn has(&mut self, bytes: &mut &[u8], wanted: usize) -> bool {
        let missing = wanted.saturating_sub(self.head.len());
        let (here, rest) = bytes.split_at(missing.min(bytes.len()));
        self.head.extend_from_slice(here);
        *bytes = rest;
        self.head.len() >= wanted
    }

    fn frame(&mut self, bytes: &mut &[u8]) {
        if !self.has(bytes, 4) {
            return;
        }
        let magic = number(&self.head[..4]);
        if magic == ZSTD {
            if !self.has(bytes, 5) || !self.has(bytes, header_length(self.head[4])) {
                return;
            }
            let checksum = self.head[4] & 0b100 != 0;
            self.head.clear();
            self.at = At::Block { checksum };
        } else if magic & !0xF == SKIPPABLE {
            if !self.has(bytes, HEAD) {
                return;
            }
            let size = number(&self.head[4..HEAD]) as usize;
            self.head.clear();
            if magic == MAGIC && (MARK.len()..=LONGEST).contains(&size) {
                self.content = Vec::new();
                self.at = At::Content { left: size };
            } else {
                self.pass(size as u64, Next::Frame);
            }
        } else {
            self.at = At::Lost;
        }
    }

    fn block(&mut self, bytes: &mut &[u8], checksum: bool) {
        if !self.has(bytes, 3) {
            return;
        }
        let header = number(&self.head);
        self.head.clear();
        let size = u64::from(header >> 3);
        let size = match (header >> 1) & 0b11 {
            // One byte, repeated.
            1 => 1,
            0 | 2 => size,
            _ => {
                self.at = At::Lost;
                return;
            }
        };
        if header & 1 == 0 {
            self.pass(size, Next::Block { checksum });
        } else {
            let checksum = if checksum { 4 } else { 0 };
            self.pass(size + checksum, Next::Frame);
        }
    }

    fn pass(&mut self, left: u64, then: Next) {
        self.at = match (left, then) {
            (0, Next::Frame) => At::Frame,
            (0, Next::Block { checksum }) => At::Block { checksum },
            (left, then) => At::Passing { left, then },
        };
    }

    /// After a frame that may be ours.
    fn keep(&mut self) {
        let content = std::mem::take(&mut self.content);
        self.at = At::Frame;
        if content.starts_with(&MARK) {
            self.found = match self.found {
                Found::Nothing => Found::One(content),
                Found::One(_) | Found::Several => Found::Several,
            };
        }
    }
}

/// A number of up to four bytes, lowest first.
fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, &byte| (number << 8) | u32::from(byte))
}

/// How long the header of a frame with this descriptor is, with the magic number.
fn header_length(descriptor: u8) -> usize {
    let single_segment = descriptor & 0b10_0000 != 0;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    let size = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    4 + 1 + window + dictionary + size
}

/// What a frame of ours says, and the SHA-256 of its JSON.
fn parsed(content: &[u8]) -> Result<(Contents, String), String> {
    let unreadable = |error: io::Error| error.to_string();
    let mut decoder = Decoder::new(&content[MARK.len()..]).map_err(unreadable)?;
    decoder.window_log_max(WINDOW_LOG).map_err(unreadable)?;
    let mut json = BufReader::new(Hashed {
        from: decoder.take(LONGEST_JSON),
        sha256: Sha256::new(),
    });
    let contents = serde_json::from_reader(&mut json).map_err(|error| error.to_string())?;
    Ok((contents, hex::encode(json.into_inner().sha256.finalize())))
}

/// Hashes what is read.
struct Hashed<R> {
    from: R,
    sha256: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.sha256.update(&into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
