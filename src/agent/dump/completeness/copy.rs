//! Counts and hashes rows as `COPY` writes them: a line each, up to `\.`.
//!
//! A line break within a value is written as `\n`, in every encoding that a server can have, so a real one is the end of a
//! row. Rows are hashed where they are; of one that comes in pieces the state of its hash is kept, never its bytes.

use std::fmt;

use memchr::memchr;
use twox_hash::XxHash3_128;

/// What follows the last row.
const END: [u8; 2] = *br"\.";

/// Counts the rows of one table.
#[derive(Default)]
pub(super) struct CopyRows {
    rows: u64,
    bytes: u64,
    sum: u128,
    /// The row whose end has not come yet, if any of it has.
    open: Option<Open>,
    has_ended: bool,
}

/// The beginning of a row.
struct Open {
    hash: XxHash3_128,
    bytes: u64,
    /// Its first bytes, which say whether it is the end.
    first: [u8; END.len()],
}

impl CopyRows {
    /// Takes the next bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.has_ended {
            let Some(end) = memchr(b'\n', rest) else {
                if !rest.is_empty() {
                    self.open.get_or_insert_with(Open::new).add(rest);
                }
                return;
            };
            let row = &rest[..end];
            match self.open.take() {
                None if row == END => self.has_ended = true,
                None => self.row(row.len() as u64, XxHash3_128::oneshot(row)),
                Some(mut open) => {
                    open.add(row);
                    if open.is_end() {
                        self.has_ended = true;
                    } else {
                        self.row(open.bytes, open.hash.finish_128());
                    }
                }
            }
            rest = &rest[end + 1..];
        }
    }

    fn row(&mut self, bytes: u64, hash: u128) {
        self.rows += 1;
        self.bytes += bytes + 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// How many rows have come.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many bytes they have, with their line breaks.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sum of their hashes.
    pub(super) fn sum(&self) -> u128 {
        self.sum
    }

    /// Whether the end has come.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

impl Open {
    fn new() -> Self {
        Self {
            hash: XxHash3_128::new(),
            bytes: 0,
            first: [0; END.len()],
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let seen = usize::try_from(self.bytes).unwrap_or(END.len());
        for (first, &byte) in self.first.iter_mut().skip(seen).zip(bytes) {
            *first = byte;
        }
        self.hash.write(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn is_end(&self) -> bool {
        self.bytes == END.len() as u64 && self.first == END
    }
}

impl fmt::Debug for CopyRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyRows")
            .field("rows", &self.rows)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(pieces: &[&[u8]]) -> (u64, u64, u128, bool) {
        let mut rows = CopyRows::default();
        for piece in pieces {
            rows.add(piece);
        }
        (rows.rows(), rows.bytes(), rows.sum(), rows.has_ended())
    }

    #[test]
    fn rows_are_lines_up_to_the_end() {
        let hash = XxHash3_128::oneshot;
        let text = b"1\ta\\nb\n\n\\\\.\n2\t\\N\n\\.\n\n\n";
        let sum = [&b"1\ta\\nb"[..], b"", br"\\.", b"2\t\\N"]
            .iter()
            .fold(0_u128, |sum, row| sum.wrapping_add(hash(row)));
        assert_eq!(counted(&[text]), (4, 17, sum, true));
        assert_eq!(counted(&[b"\\.\n\n\n"]), (0, 0, 0, true));
        assert!(!counted(&[b"1\n\\."]).3);
        // The well-known value of nothing: rows without text count, too.
        assert_eq!(hash(b""), 0x99AA_06D3_0147_98D8_6001_C324_468D_497F);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_rows_are_cut_or_ordered(
            mut rows in proptest::collection::vec("(\\PC|\\\\|\t){0,9}|[a-z]{200,900}", 0..40),
            cuts in proptest::collection::vec(1..40_usize, 0..200),
        ) {
            rows.retain(|row| row != r"\.");
            let text = |rows: &[String]| -> Vec<u8> {
                let lines = rows.iter().map(|row| format!("{row}\n"));
                (lines.collect::<String>() + "\\.\n\n\n").into_bytes()
            };
            let whole = text(&rows);
            let expected = counted(&[&whole]);
            prop_assert_eq!(expected.0, rows.len() as u64);
            prop_assert_eq!(expected.1, whole.len() as u64 - 5);
            prop_assert!(expected.3);
            let (mut pieces, mut rest) = (Vec::new(), &whole[..]);
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                pieces.push(now);
                rest = later;
            }
            pieces.push(rest);
            prop_assert_eq!(counted(&pieces), expected);
            rows.reverse();
            prop_assert_eq!(counted(&[&text(&rows)]), expected);
            if let Some(row) = rows.pop() {
                // Neither a row less nor one that is there twice is equal.
                prop_assert_ne!(counted(&[&text(&rows)]).2, expected.2);
                rows.extend([row.clone(), row]);
                prop_assert_ne!(counted(&[&text(&rows)]).2, expected.2);
            }
        }
    }
}
