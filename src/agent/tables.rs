//! Which table the tool has come to, and how much of the estimate lies behind it.
//!
//! The estimate is made from the sizes of tables on the server's disk, where even an empty one has some pages. Its dump is a
//! few hundred bytes. So a table that is done counts for what it wrote, or for what the estimate has for the smallest table,
//! whichever is more: then many small tables move the percentage evenly, and so does a large one.

use std::fmt;

use parking_lot::Mutex;

/// What the estimate has for a table that holds next to nothing: one page of InnoDB and its definition, see `assess.rs` of
/// the provider.
const SMALLEST: u64 = 16 * 1024 + 1000;

/// What it has for a view.
const VIEW: u64 = 1000;

/// The most that a small table counts for, whatever the average is.
const LARGEST: u64 = 64 * 1024;

/// The tables that have come so far.
#[derive(Debug, Default)]
pub(super) struct Tables {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The dump's estimated size, in bytes.
    estimate: u64,
    place: Option<Place>,
    /// How many there are, if the dump itself says so.
    of: Option<u32>,
    /// What those before the present one count for.
    behind: u64,
    /// How many bytes had been dumped when the present one began.
    since: u64,
    /// What the present one counts for at least, once it is done.
    least: u64,
}

/// The table that the tool has come to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    name: String,
    number: u32,
    of: Option<u32>,
}

impl Place {
    /// The table's name, as the tool writes it.
    #[must_use]
    pub(super) fn table(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at table {}", self.number)?;
        if let Some(of) = self.of {
            write!(f, " of {of}")?;
        }
        write!(f, ": {}", self.name)
    }
}

impl Tables {
    /// Of a dump of about so many bytes.
    #[must_use]
    pub(super) fn new(estimate: u64) -> Self {
        let inner = Inner {
            estimate,
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    /// Forgets all of them, for another attempt.
    pub(super) fn reset(&self) {
        let mut inner = self.inner.lock();
        *inner = Inner {
            estimate: inner.estimate,
            ..Inner::default()
        };
    }

    /// There will be so many tables with data.
    pub(super) fn expect(&self, tables: u32) {
        self.inner.lock().of = Some(tables);
    }

    /// The tool begins with a table, after so many bytes.
    pub(super) fn begin(&self, name: &str, dumped: u64) {
        self.inner.lock().begin(name, dumped);
    }

    /// What has just begun is a view.
    pub(super) fn is_view(&self) {
        self.inner.lock().least = VIEW;
    }

    /// How much of the estimate is done, after so many bytes.
    #[must_use]
    pub(super) fn done(&self, dumped: u64) -> u64 {
        let inner = self.inner.lock();
        inner.behind + dumped.saturating_sub(inner.since)
    }

    /// Where the tool is, if it says so.
    #[must_use]
    pub(super) fn place(&self) -> Option<Place> {
        self.inner.lock().place.clone()
    }
}

impl Inner {
    fn begin(&mut self, name: &str, dumped: u64) {
        self.behind += dumped.saturating_sub(self.since).max(self.least);
        self.since = dumped;
        self.least = self.small();
        let number = self.place.as_ref().map_or(0, |place| place.number);
        self.place = Some(Place {
            name: name.to_owned(),
            number: number.saturating_add(1),
            of: self.of,
        });
    }

    /// What a small table counts for. Where their number is known, all of them together are not more than what is left.
    fn small(&self) -> u64 {
        let Some(of) = self.of else {
            return SMALLEST;
        };
        let done = self.place.as_ref().map_or(0, |place| place.number);
        let left = u64::from(of.saturating_sub(done).max(1));
        (self.estimate.saturating_sub(self.behind) / left).min(LARGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs tables of these sizes past an estimate, and returns the percentages after each.
    fn percentages(estimate: u64, of: Option<u32>, sizes: &[u64]) -> Vec<u64> {
        let tables = Tables::new(estimate);
        if let Some(of) = of {
            tables.expect(of);
        }
        let mut dumped = 0;
        let mut seen = Vec::new();
        for size in sizes {
            tables.begin("t", dumped);
            dumped += size;
            seen.push(tables.done(dumped) * 100 / estimate);
        }
        tables.begin("end", dumped);
        seen.push(tables.done(dumped) * 100 / estimate);
        seen
    }

    #[test]
    fn many_small_tables_move_evenly() {
        let sizes = vec![700; 5000];
        for (estimate, of) in [(5000 * SMALLEST, None), (5000 * 57_000, Some(5000))] {
            let seen = percentages(estimate, of, &sizes);
            for quarter in 1..=4 {
                let at = seen[1250 * quarter];
                let expected = 25 * quarter as u64;
                assert!(at.abs_diff(expected) <= 1, "{at} after {quarter} quarters");
            }
        }
    }

    #[test]
    fn a_large_table_among_small_ones_counts_for_what_it_is() {
        let large = 1_000_000_000;
        let mut sizes = vec![700; 100];
        sizes.push(large);
        let seen = percentages(100 * SMALLEST + large, None, &sizes);
        assert!(seen[99] <= 1 && seen[100] >= 98, "{seen:?}");
        let seen = percentages(100 * SMALLEST + large, Some(101), &sizes);
        assert!(seen[99] <= 1 && seen[100] >= 98, "{seen:?}");
    }

    #[test]
    fn the_place_is_told_with_what_is_known() {
        let tables = Tables::new(1);
        assert_eq!(tables.place(), None);
        tables.begin("orders", 0);
        assert_eq!(tables.place().unwrap().to_string(), "at table 1: orders");
        tables.reset();
        tables.expect(3);
        tables.begin("public.a", 0);
        tables.begin("public.b", 9);
        let place = tables.place().unwrap();
        assert_eq!(place.to_string(), "at table 2 of 3: public.b");
        assert_eq!(place.table(), "public.b");
    }

    #[test]
    fn a_view_counts_for_its_definition() {
        let tables = Tables::new(1);
        tables.begin("v", 0);
        tables.is_view();
        tables.begin("t", 10);
        assert_eq!(tables.done(10), VIEW);
    }
}
