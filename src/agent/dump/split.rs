//! Splits the compressed stream into parts, and hashes both each part, for its upload, and the whole object.

use base64::Engine;
use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::buffers::Buffers;
use crate::agent::protocol::part_sizes::{PartSizes, buffers};
use crate::agent::upload::Part;

/// What all parts of an object come to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Totals {
    /// How many there are.
    pub parts: u32,
    /// The object's size in bytes.
    pub bytes: u64,
    /// The object's SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// The object is larger than all parts together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the dump is larger than {capacity} bytes, compressed, which is what {max_parts} parts can hold as they were planned from the catalog's estimate: use a store that accepts more parts (maxParts), or one that accepts parts of growing sizes (equalParts: false)"
)]
pub(super) struct OutOfParts {
    /// How many bytes fit into all parts together.
    pub capacity: u64,
    /// The most parts that the store accepts.
    pub max_parts: u32,
}

/// Splits one stream.
pub(super) struct Splitter {
    sizes: PartSizes,
    buffers: Buffers,
    number: u32,
    left: u64,
    md5: Md5,
    content: Vec<Bytes>,
    sha256: Sha256,
    bytes: u64,
}

impl Splitter {
    /// A splitter that begins with part one.
    #[must_use]
    pub(super) fn new(sizes: PartSizes, buffers: Buffers) -> Self {
        let mut splitter = Self {
            sizes,
            buffers,
            number: 0,
            left: 0,
            md5: Md5::new(),
            content: Vec::new(),
            sha256: Sha256::new(),
            bytes: 0,
        };
        splitter.begin();
        splitter
    }

    /// Takes the next bytes, and hands each full part to `sink`.
    pub(super) fn add(&mut self, mut bytes: Bytes, sink: &impl Fn(Part)) -> Result<(), OutOfParts> {
        self.sha256.update(&bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if !self.sizes.allows(self.number) {
                return Err(OutOfParts {
                    capacity: self.sizes.capacity(),
                    max_parts: self.sizes.max_parts,
                });
            }
            let fits = usize::try_from(self.left).unwrap_or(usize::MAX);
            let now = bytes.split_to(fits.min(bytes.len()));
            self.md5.update(&now);
            self.left -= now.len() as u64;
            self.content.push(now);
            if self.left == 0 {
                sink(self.end());
                self.begin();
            }
        }
        Ok(())
    }

    /// Hands the last part to `sink`, after the last bytes.
    pub(super) fn finish(mut self, sink: &impl Fn(Part)) -> Totals {
        let mut parts = self.number - 1;
        if !self.content.is_empty() {
            sink(self.end());
            parts += 1;
        }
        Totals {
            parts,
            bytes: self.bytes,
            sha256: hex::encode(self.sha256.finalize()),
        }
    }

    fn begin(&mut self) {
        self.number += 1;
        self.left = self.sizes.size(self.number);
        // Larger parts get more memory, but only once they come.
        self.buffers.allow(buffers(self.left));
    }

    fn end(&mut self) -> Part {
        let content = std::mem::take(&mut self.content);
        let md5 = std::mem::take(&mut self.md5).finalize();
        Part {
            number: self.number,
            size: content.iter().map(|bytes| bytes.len() as u64).sum(),
            md5: base64::engine::general_purpose::STANDARD.encode(md5),
            content,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use proptest::prelude::*;

    fn sizes(first: u64, largest: u64, max_parts: u32) -> PartSizes {
        PartSizes {
            first,
            settled: first,
            largest,
            equal: false,
            max_parts,
        }
    }

    fn split(sizes: &PartSizes, chunks: &[Vec<u8>]) -> (Vec<Part>, Result<Totals, OutOfParts>) {
        let parts = RefCell::new(Vec::new());
        let sink = |part| parts.borrow_mut().push(part);
        let mut splitter = Splitter::new(sizes.clone(), Buffers::new(0));
        let added = chunks
            .iter()
            .try_for_each(|chunk| splitter.add(Bytes::from(chunk.clone()), &sink));
        let totals = added.map(|()| splitter.finish(&sink));
        (parts.into_inner(), totals)
    }

    #[test]
    fn hashes_are_the_well_known_ones() {
        let (parts, totals) = split(&sizes(100, 100, 9), &[b"a".to_vec(), b"bc".to_vec()]);
        assert_eq!(parts[0].md5, "kAFQmDzST7DWlj99KOF/cg==");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(totals.unwrap().sha256, abc);
    }

    proptest! {
        /// Sizes of single bytes: the stream is split as planned, down to the last part that there is.
        #[test]
        fn parts_have_the_planned_sizes_and_all_the_bytes(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
            first in 1..30_u64,
            max_parts in 1..40_u32,
        ) {
            let sizes = sizes(first, first * 8, max_parts);
            let all = chunks.concat();
            let (parts, totals) = split(&sizes, &chunks);
            let uploaded: Vec<u8> = parts.iter().flat_map(|part| part.content.concat()).collect();
            for (index, part) in parts.iter().enumerate() {
                prop_assert_eq!(part.number as usize, index + 1);
                let planned = sizes.size(part.number);
                prop_assert!(part.size == planned || (index + 1 == parts.len() && part.size < planned));
            }
            match totals {
                Ok(totals) => {
                    prop_assert_eq!(&uploaded, &all);
                    prop_assert_eq!(totals.parts as usize, parts.len());
                    prop_assert_eq!(totals.bytes, all.len() as u64);
                    prop_assert!(all.is_empty() || sizes.parts(totals.bytes) == Some(totals.parts));
                }
                Err(full) => {
                    prop_assert!(all.len() as u64 > full.capacity);
                    prop_assert_eq!(uploaded.len() as u64, full.capacity);
                }
            }
        }
    }
}
