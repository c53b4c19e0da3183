//! How large each part is.
//!
//! Parts are held in memory until the store has them, and a store accepts only so many of them. Small parts need little
//! memory but soon use up the numbers; large parts go far but need much. So sizes are planned from an estimate, and stay
//! small while it holds; a dump that outgrows its estimate gets larger and larger parts instead of running out of numbers.

use serde::{Deserialize, Serialize};

/// The sizes of all parts, planned before the first one from an estimate of the dump's size.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartSizes {
    /// Size of the first parts, in bytes.
    pub first: u64,
    /// Size of the parts after those, until most numbers are used, in bytes.
    pub settled: u64,
    /// Size of the largest parts, in bytes.
    pub largest: u64,
    /// All parts but the last have the same size.
    pub equal: bool,
    /// The most parts that the store accepts.
    pub max_parts: u32,
}

/// The dump does not fit into the parts that the store accepts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "about {estimated} bytes do not fit into {max_parts} parts of at most {largest} bytes each: use a store that accepts more parts (maxParts)"
)]
pub struct TooLarge {
    /// The estimated size of the compressed dump.
    pub estimated: u64,
    /// The most parts that the store accepts.
    pub max_parts: u32,
    /// The largest part that a pod can hold in memory.
    pub largest: u64,
}

const MIB: u64 = 1024 * 1024;

/// How many bytes sizes are counted in: one MiB, but a single byte in tests.
#[derive(Clone, Copy, Debug)]
struct Unit(u64);

impl Unit {
    /// Stores refuse parts below 5 MiB, except for the last; at 8 MiB the overhead of a request no longer matters.
    fn smallest(self) -> u64 {
        8 * self.0
    }
    /// Two of these fill [`buffers`]: 100 GiB go into 10,000 parts of at most this size.
    fn settled(self) -> u64 {
        16 * self.0
    }
    /// Equal parts cannot grow, so small ones would fail a dump that was underestimated: 100 GiB go into 10,000.
    fn equal(self) -> u64 {
        12 * self.0
    }
    /// Larger parts would need too much memory.
    fn largest(self) -> u64 {
        512 * self.0
    }
    /// What there is room for, however small the estimate is.
    fn room(self) -> u64 {
        240 * 1024 * self.0
    }
}

/// How many bytes of compressed data the pod holds in memory while it makes parts of this size.
///
/// As many parts as fit are uploaded at the same time; at least one is while the next one fills up.
#[must_use]
pub fn buffers(size: u64) -> u64 {
    (32 * MIB).max(2 * size)
}

/// What our process needs besides the buffers: its code, zstd's windows and threads, TLS, the pipe, and some headroom.
const OWN_MEMORY: u64 = 32 * MIB;

impl PartSizes {
    /// Plans the sizes for an object of about this many bytes (compressed, that is); 0 if unknown.
    ///
    /// While the estimate holds, all parts have one modest size. Without an estimate, or with one that is 16 times too low,
    /// the dump still fits, as far as [`PartSizes::capacity`] can be made to reach.
    pub fn plan(
        estimated_stored_bytes: u64,
        max_parts: u32,
        equal: bool,
    ) -> Result<Self, TooLarge> {
        Self::plan_in(Unit(MIB), estimated_stored_bytes, max_parts, equal)
    }

    fn plan_in(unit: Unit, estimated: u64, max_parts: u32, equal: bool) -> Result<Self, TooLarge> {
        let too_large = TooLarge {
            estimated,
            max_parts,
            largest: unit.largest(),
        };
        if estimated > unit.largest().saturating_mul(u64::from(max_parts)) || max_parts == 0 {
            return Err(too_large);
        }
        if equal {
            return Ok(Self::equal_in(unit, estimated, max_parts));
        }
        // A tenth more than the estimate fits before the first part that is larger than `settled`.
        let settled_parts = (u64::from(max_parts) * SETTLED_UNTIL / 100).max(1);
        let wanted = round_up(
            (estimated.saturating_add(estimated / 10)).div_ceil(settled_parts),
            unit.0,
        );
        let first = wanted.clamp(unit.smallest(), unit.largest());
        let sizes = |largest: u64| Self {
            first,
            settled: first.max(unit.settled()),
            largest: largest.max(first).max(unit.settled()),
            equal: false,
            max_parts,
        };
        // The pod's memory limit follows from the largest part, which is no larger than a wrong estimate may require.
        let needed = match estimated {
            0 => u64::MAX,
            _ => unit.room().max(estimated.saturating_mul(16)),
        };
        let mut largest = 2 * unit.settled();
        while largest < unit.largest() && sizes(largest).capacity() < needed {
            largest = (2 * largest).min(unit.largest());
        }
        Ok(sizes(largest))
    }

    /// A single size with room for twice the estimate, where that is possible.
    fn equal_in(unit: Unit, estimated: u64, max_parts: u32) -> Self {
        let wanted = match estimated {
            0 => unit.room() / u64::from(max_parts),
            _ => estimated.saturating_mul(2).div_ceil(u64::from(max_parts)),
        };
        let size = round_up(wanted, unit.0).clamp(unit.equal(), unit.largest());
        Self {
            first: size,
            settled: size,
            largest: size,
            equal: true,
            max_parts,
        }
    }

    /// The size of a part in bytes, counting from one; the last part of an upload may be smaller.
    #[must_use]
    pub fn size(&self, number: u32) -> u64 {
        let before = u64::from(number.saturating_sub(1)) * 100 / u64::from(self.max_parts.max(1));
        match before {
            0..SETTLED_FROM => self.first,
            SETTLED_FROM..SETTLED_UNTIL => self.settled,
            _ => {
                let doublings = 1 + (before - SETTLED_UNTIL) / DOUBLED_EACH;
                (self.settled << doublings.min(16)).min(self.largest)
            }
        }
    }

    /// Whether the store accepts a part of this number.
    #[must_use]
    pub fn allows(&self, number: u32) -> bool {
        (1..=self.max_parts).contains(&number)
    }

    /// How many bytes fit into all parts together.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        (1..=self.max_parts).map(|number| self.size(number)).sum()
    }

    /// How many parts an object of this many bytes has, if it fits.
    #[must_use]
    pub fn parts(&self, bytes: u64) -> Option<u32> {
        let mut left = bytes;
        for number in 1..=self.max_parts {
            left = left.saturating_sub(self.size(number));
            if left == 0 {
                return Some(number);
            }
        }
        None
    }

    /// How much memory, in bytes, the pod needs besides the dump tool if the dump fills all parts.
    ///
    /// Resident memory stays below 64 MiB until parts grow beyond `settled`, which is after 100 GiB into 10,000 parts. Each
    /// of the `uploads` at the same time holds a connection.
    #[must_use]
    pub fn memory(&self, uploads: u32) -> u64 {
        buffers(self.largest) + OWN_MEMORY + u64::from(uploads) * MIB
    }
}

/// The percentages of the numbers at which the settled size begins, at which it begins to double, and after which it doubles
/// again.
const SETTLED_FROM: u64 = 15;
const SETTLED_UNTIL: u64 = 75;
const DOUBLED_EACH: u64 = 4;

fn round_up(value: u64, unit: u64) -> u64 {
    value.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1024 * MIB;

    #[test]
    fn a_hundred_gib_of_any_estimate_stay_in_the_small_buffers() {
        for estimated in [0, 1, GIB, 10 * GIB, 50 * GIB, 90 * GIB, 100 * GIB] {
            let sizes = PartSizes::plan(estimated, 10_000, false).unwrap();
            let last = sizes.parts(100 * GIB).unwrap();
            let largest = (1..=last).map(|number| sizes.size(number)).max().unwrap();
            assert_eq!(
                buffers(largest),
                32 * MIB,
                "estimate {estimated}: {largest}"
            );
        }
        let equal = PartSizes::plan(0, 10_000, true).unwrap();
        assert!(equal.capacity() >= 100 * GIB && equal.size(1) < 32 * MIB);
        assert!(PartSizes::plan(1, 10_000, true).unwrap().capacity() >= 100 * GIB);
    }

    #[test]
    fn the_figures_that_are_promised() {
        let unknown = PartSizes::plan(0, 10_000, false).unwrap();
        assert_eq!(
            (unknown.size(1), unknown.size(10_000)),
            (8 * MIB, 512 * MIB)
        );
        assert!(unknown.capacity() > 700 * GIB, "{}", unknown.capacity());
        let small = PartSizes::plan(GIB, 10_000, false).unwrap();
        assert!(small.capacity() >= 240 * GIB);
        assert!(small.memory(4) <= 192 * MIB, "{}", small.memory(4));
        let few = PartSizes::plan(100 * GIB, 1_000, false).unwrap();
        assert!(few.parts(110 * GIB).is_some());
        // 4.88 TiB are the end, and the estimate says so.
        assert!(PartSizes::plan(10_000 * 512 * MIB, 10_000, false).is_ok());
        let refused = PartSizes::plan(10_000 * 512 * MIB + 1, 10_000, false).unwrap_err();
        assert!(refused.to_string().contains("maxParts"), "{refused}");
        assert!(PartSizes::plan(1_000 * 512 * MIB + 1, 1_000, true).is_err());
    }

    /// A store that takes parts one by one, byte by byte.
    fn upload(sizes: &PartSizes, bytes: u64) -> Result<Vec<u64>, u32> {
        let (mut parts, mut left, mut number) = (Vec::new(), bytes, 1);
        while left > 0 {
            if !sizes.allows(number) {
                return Err(number);
            }
            let size = sizes.size(number).min(left);
            parts.push(size);
            left -= size;
            number += 1;
        }
        Ok(parts)
    }

    proptest! {
        /// One byte stands for one MiB: real sizes up to several TiB are checked part by part.
        #[test]
        fn whatever_the_estimate_a_dump_fits_or_is_refused(
            estimated in prop_oneof![Just(0_u64), 1..600_u64, 1..6_000_000_u64],
            times in prop_oneof![Just(1_u64), 1..40_u64, 1..5_000_u64],
            max_parts in prop_oneof![Just(10_000_u32), Just(1_000), 1..10_001_u32],
            equal: bool,
        ) {
            let unit = Unit(1);
            let real = estimated.max(1).saturating_mul(times);
            let possible = unit.largest() * u64::from(max_parts);
            let sizes = match PartSizes::plan_in(unit, estimated, max_parts, equal) {
                Ok(sizes) => sizes,
                Err(error) => {
                    prop_assert!(estimated > possible, "refused: {error}");
                    return Ok(());
                }
            };
            prop_assert!(estimated <= possible);
            for number in 1..max_parts {
                let (size, next) = (sizes.size(number), sizes.size(number + 1));
                prop_assert!((5..=512).contains(&size), "{size}");
                prop_assert!(size <= next && (!equal || size == next), "{size} {next}");
            }
            prop_assert!(sizes.size(max_parts) <= sizes.largest);
            // What was estimated fits, whatever it was.
            prop_assert!(sizes.capacity() >= estimated);
            if equal {
                prop_assert!(sizes.capacity() >= (2 * estimated).min(possible));
            }
            match upload(&sizes, real) {
                Ok(parts) => {
                    prop_assert!(parts.len() <= max_parts as usize);
                    prop_assert_eq!(parts.iter().sum::<u64>(), real);
                    prop_assert_eq!(sizes.parts(real), Some(u32::try_from(parts.len()).unwrap()));
                    prop_assert!(real <= sizes.capacity());
                }
                Err(number) => {
                    prop_assert_eq!(number, max_parts + 1);
                    prop_assert!(real > sizes.capacity());
                    prop_assert_eq!(sizes.parts(real), None);
                }
            }
            // With all the numbers that S3 has, an estimate may be far too low, or missing.
            if max_parts == 10_000 && !equal {
                let fits = unit.room().max((16 * estimated).min(sizes.capacity()));
                prop_assert!(sizes.capacity() >= fits || sizes.largest == 512);
                // Parts stay modest while the estimate is right.
                if let Some(last) = sizes.parts(estimated) {
                    prop_assert!(sizes.size(last) <= (estimated * 2 / 7_500 + 1).max(16));
                }
            }
        }
    }
}
