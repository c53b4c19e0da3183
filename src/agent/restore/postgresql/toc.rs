//! The table of contents of an archive, entry by entry, from a file that begins with it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::agent::dump::completeness::items::{Entry, Format, Reader, Stop, entry, header};

/// How many bytes are read at a time.
const CHUNK: usize = 64 * 1024;

/// Reads the entries of an archive.
pub(super) struct Toc {
    file: File,
    buffer: Vec<u8>,
    at: usize,
    format: Format,
    left: u64,
}

/// Why an entry could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum TocError {
    /// The file cannot be read.
    #[error("cannot read the table of contents: {0}")]
    Read(#[from] io::Error),
    /// It is no table of contents.
    #[error("its table of contents cannot be read: {0}")]
    Broken(String),
}

impl Toc {
    /// Opens an archive, of which at least the table of contents is there.
    pub(super) fn open(path: &Path) -> Result<Self, TocError> {
        let mut toc = Self {
            file: File::open(path)?,
            buffer: Vec::new(),
            at: 0,
            format: Format::default(),
            left: 0,
        };
        loop {
            let mut reader = Reader {
                bytes: &toc.buffer,
                int: 0,
            };
            match header(&mut reader).and_then(|format| Ok((format, reader.count()?))) {
                Ok((format, left)) => {
                    let at = toc.buffer.len() - reader.bytes.len();
                    (toc.at, toc.format, toc.left) = (at, format, left);
                    return Ok(toc);
                }
                Err(Stop::Broken(why)) => return Err(TocError::Broken(why)),
                Err(Stop::NeedsMore) => toc.more()?,
            }
        }
    }

    /// Hands the next entry to `look`; `None` after the last one.
    pub(super) fn next<T>(
        &mut self,
        look: impl FnOnce(&Entry<'_>) -> T,
    ) -> Result<Option<T>, TocError> {
        if self.left == 0 {
            return Ok(None);
        }
        loop {
            let mut reader = Reader {
                bytes: &self.buffer[self.at..],
                int: self.format.int,
            };
            match entry(&mut reader, self.format) {
                Ok(entry) => {
                    let seen = look(&entry);
                    self.at = self.buffer.len() - reader.bytes.len();
                    self.left -= 1;
                    return Ok(Some(seen));
                }
                Err(Stop::Broken(why)) => return Err(TocError::Broken(why)),
                Err(Stop::NeedsMore) => self.more()?,
            }
        }
    }

    fn more(&mut self) -> Result<(), TocError> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let before = self.buffer.len();
        // An entry may be long: what was read of it is looked at again, but not too often.
        self.buffer.resize(before + CHUNK.max(before), 0);
        let read = self.file.read(&mut self.buffer[before..])?;
        self.buffer.truncate(before + read);
        if read == 0 {
            return Err(TocError::Broken("it ends too early".to_owned()));
        }
        Ok(())
    }
}
