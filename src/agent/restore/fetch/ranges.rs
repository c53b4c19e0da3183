//! The ranges of an object, in order.

/// Size of a range in bytes: at this size the overhead of a request does not matter, and several fit into little memory.
pub(super) const RANGE: u64 = 4 * 1024 * 1024;

/// Consecutive bytes of an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Range {
    /// The first byte.
    pub first: u64,
    /// How many.
    pub length: u64,
}

impl Range {
    /// All of an object of this size.
    pub(super) fn all(bytes: u64) -> impl Iterator<Item = Self> {
        (0..bytes.div_ceil(RANGE)).map(move |number| {
            let first = number * RANGE;
            Self {
                first,
                length: RANGE.min(bytes - first),
            }
        })
    }

    /// What is left of it after so many bytes.
    pub(super) fn after(self, done: u64) -> Self {
        let done = done.min(self.length);
        Self {
            first: self.first + done,
            length: self.length - done,
        }
    }

    /// The last byte.
    pub(super) fn last(self) -> u64 {
        (self.first + self.length).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_cover_an_object_once(bytes in 0..5 * RANGE) {
            let mut next = 0;
            for range in Range::all(bytes) {
                prop_assert_eq!(range.first, next);
                prop_assert!((1..=RANGE).contains(&range.length));
                next = range.last() + 1;
            }
            prop_assert_eq!(next, bytes);
        }
    }

    #[test]
    fn the_rest_of_a_range_begins_where_it_broke_off() {
        let range = Range {
            first: 10,
            length: 5,
        };
        assert_eq!(
            range.after(2),
            Range {
                first: 12,
                length: 3
            }
        );
        assert_eq!(range.after(9).length, 0);
    }
}
