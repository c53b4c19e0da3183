//! Reads the items that a PostgreSQL archive consists of, each from its first byte.

use super::contents::Item;

/// How numbers are written, and which fields an entry has.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::agent) struct Format {
    minor: u8,
    pub int: usize,
    offset: usize,
    /// Whether the tool compressed the data.
    pub is_compressed: bool,
}

/// Why an item could not be read.
pub(in crate::agent) enum Stop {
    /// More bytes are needed.
    NeedsMore,
    /// No further bytes can help.
    Broken(String),
}

/// An error about what no further bytes can mend.
pub(in crate::agent) fn broken(why: &str) -> Stop {
    Stop::Broken(why.to_owned())
}

/// The header of an archive.
pub(in crate::agent) fn header(reader: &mut Reader<'_>) -> Result<Format, Stop> {
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
    // Others than four bytes pg_restore reads with an overflow, so that two numbers may be one to it.
    if int != 4 || !(1..=8).contains(&offset) {
        return Err(broken("its header is damaged"));
    }
    if reader.byte()? != 1 {
        return Err(not_custom());
    }
    reader.int = int;
    let compression = if minor >= 15 {
        i64::from(reader.byte()?)
    } else {
        reader.int()?
    };
    for _ in 0..7 {
        reader.int()?;
    }
    for _ in 0..3 {
        reader.string()?;
    }
    Ok(Format {
        minor,
        int,
        offset,
        is_compressed: compression != 0,
    })
}

/// An entry of the table of contents.
pub(in crate::agent) struct Entry<'a> {
    /// Its number.
    pub id: i64,
    /// Whether the archive holds data for it.
    pub has_data: bool,
    /// The entries that it depends on.
    pub depends_on: Dependencies<'a>,
    /// What is looked at of it.
    pub item: Item<'a>,
}

/// The numbers of the entries that one depends on, as the archive has them.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct Dependencies<'a> {
    bytes: &'a [u8],
    int: usize,
}

impl Iterator for Dependencies<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let mut reader = Reader {
            bytes: self.bytes,
            int: self.int,
        };
        loop {
            let number = reader.string().ok()??;
            self.bytes = reader.bytes;
            if let Some(number) = std::str::from_utf8(number)
                .ok()
                .and_then(|n| n.parse().ok())
            {
                return Some(number);
            }
        }
    }
}

/// The next entry of the table of contents.
pub(in crate::agent) fn entry<'a>(
    reader: &mut Reader<'a>,
    format: Format,
) -> Result<Entry<'a>, Stop> {
    let id = reader.int()?;
    let has_data = reader.int()? != 0;
    // Two numbers of the catalog.
    for _ in 0..2 {
        reader.string()?;
    }
    let name = reader.string()?.unwrap_or_default();
    let kind = reader.string()?.unwrap_or_default();
    let _section = reader.int()?;
    let definition = reader.string()?.unwrap_or_default();
    let _drop = reader.string()?;
    let copy = reader.string()?.unwrap_or_default();
    let schema = reader.string()?.unwrap_or_default();
    let tablespace = reader.string()?.unwrap_or_default();
    let _access_method = reader.string()?;
    if format.minor >= 16 {
        let _kind = reader.int()?;
    }
    let owner = reader.string()?.unwrap_or_default();
    // "false".
    reader.string()?;
    // What it depends on, up to an absent string.
    let before = reader.bytes;
    while reader.string()?.is_some() {}
    let depends_on = Dependencies {
        bytes: &before[..before.len() - reader.bytes.len()],
        int: reader.int,
    };
    // Where its data is, which is not known in a pipe.
    reader.skip(1 + format.offset as u64)?;
    Ok(Entry {
        id,
        has_data,
        depends_on,
        item: Item {
            schema,
            name,
            kind,
            definition,
            copy,
            tablespace,
            owner,
        },
    })
}

/// The number that is farthest from zero: an integer of `pg_dump` has 32 bits.
const FARTHEST: i64 = 1 << 31;

/// Reads from the front of the bytes that have come.
pub(in crate::agent) struct Reader<'a> {
    /// What comes next.
    pub bytes: &'a [u8],
    /// The size of integers.
    pub int: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(in crate::agent) fn byte(&mut self) -> Result<u8, Stop> {
        let (&first, rest) = self.bytes.split_first().ok_or(Stop::NeedsMore)?;
        self.bytes = rest;
        Ok(first)
    }

    #[inline]
    pub(in crate::agent) fn int(&mut self) -> Result<i64, Stop> {
        let (sign, rest) = self.bytes.split_first().ok_or(Stop::NeedsMore)?;
        let (digits, rest) = rest.split_at_checked(self.int).ok_or(Stop::NeedsMore)?;
        let value = digits
            .iter()
            .rev()
            .fold(0_i64, |value, &digit| (value << 8) | i64::from(digit));
        self.bytes = rest;
        if value > FARTHEST {
            return Err(broken("a number is too large"));
        }
        Ok(if *sign == 0 { value } else { -value })
    }

    /// An integer that cannot be negative.
    #[inline]
    pub(in crate::agent) fn count(&mut self) -> Result<u64, Stop> {
        u64::try_from(self.int()?).map_err(|_| broken("a length is negative"))
    }

    /// A string; `None` if it is absent.
    fn string(&mut self) -> Result<Option<&'a [u8]>, Stop> {
        match u64::try_from(self.int()?) {
            Ok(length) => self.skip(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn skip(&mut self, length: u64) -> Result<&'a [u8], Stop> {
        let length = usize::try_from(length).map_err(|_| broken("a length is too long"))?;
        let (skipped, rest) = self.bytes.split_at_checked(length).ok_or(Stop::NeedsMore)?;
        self.bytes = rest;
        Ok(skipped)
    }
}
