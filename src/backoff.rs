//! When to try again: later after each failure, never all at once, never later than a limit.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The wait after a first failure.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(5);

/// The wait after a number of failures in a row: doubling, up to a limit, and between half and all of
/// that by `spread`, which is from 0 to 1.
#[must_use]
pub fn delay(failures: u32, spread: f64) -> Duration {
    delay_within(FIRST..=LONGEST, failures, spread)
}

/// The same with other limits: the first wait, and the longest.
#[must_use]
pub fn delay_within(waits: RangeInclusive<Duration>, failures: u32, spread: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let longest = waits
        .start()
        .saturating_mul(1 << doublings)
        .min(*waits.end());
    longest.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0)
}

/// A time spread by a tenth to either side, so that what began together does not stay together.
#[must_use]
pub fn spread_evenly(time: Duration, spread: f64) -> Duration {
    time.mul_f64(0.9 + spread.clamp(0.0, 1.0) / 5.0)
}

/// An object: kind, namespace (empty for cluster-scoped ones), name.
pub type Key = (&'static str, String, String);

/// Counts the failures in a row of each object. Objects that work are not remembered.
#[derive(Debug, Default)]
pub struct Failures {
    counts: Mutex<HashMap<Key, u32>>,
}

impl Failures {
    /// Notes one more failure and says how many there were in a row.
    pub fn failed(&self, key: Key) -> u32 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    /// How often an object failed in a row.
    #[must_use]
    pub fn count(&self, key: &Key) -> u32 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(key).copied().unwrap_or_default()
    }

    /// Forgets an object that works again, or is gone.
    pub fn forget(&self, key: &Key) {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        assert_eq!(delay(1, 1.0), FIRST);
        assert_eq!(delay(2, 1.0), FIRST * 2);
        assert_eq!(delay(5, 1.0), FIRST * 16);
        assert_eq!(delay(1000, 1.0), LONGEST);
        assert_eq!(delay(0, 1.0), FIRST);
    }

    #[test]
    fn waits_are_spread_over_their_upper_half() {
        assert_eq!(delay(3, 0.0), FIRST * 2);
        assert_eq!(delay(3, 0.5), FIRST * 3);
        assert_eq!(delay(3, 7.0), FIRST * 4);
    }

    #[test]
    fn resyncs_are_spread_around_their_time() {
        let time = Duration::from_secs(100);
        assert_eq!(spread_evenly(time, 0.0), Duration::from_secs(90));
        assert_eq!(spread_evenly(time, 0.5), time);
        assert_eq!(spread_evenly(time, 1.0), Duration::from_secs(110));
    }

    #[test]
    fn failures_count_by_object_until_it_works() {
        let failures = Failures::default();
        let key = |name: &str| ("Database", "a".to_owned(), name.to_owned());
        assert_eq!(failures.failed(key("x")), 1);
        assert_eq!(failures.failed(key("x")), 2);
        assert_eq!(failures.failed(key("y")), 1);
        assert_eq!(
            (failures.count(&key("x")), failures.count(&key("z"))),
            (2, 0)
        );
        failures.forget(&key("x"));
        assert_eq!(failures.failed(key("x")), 1);
    }
}
