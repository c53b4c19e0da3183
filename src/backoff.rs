//! When to try again: later after each failure, never all at once, never later than a limit.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// The wait after a first failure.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(5);

/// The longest time for which a failing object is left alone, whatever wakes it. Whoever fixes it does not wait for long,
/// and one whose failures wake it does not spin.
const DEAF: Duration = Duration::from_secs(5);
/// What failed and then worked for so long has not failed before.
const FORGIVEN: Duration = Duration::from_mins(1);

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

/// Counts the failures in a row of each object. Objects that work are soon forgotten.
#[derive(Debug, Default)]
pub struct Failures {
    counts: Mutex<HashMap<Key, Count>>,
}

/// The failures of an object, with no long time between them in which it worked.
#[derive(Debug)]
struct Count {
    times: u32,
    last: Instant,
    works: bool,
}

impl Count {
    fn is_over(&self, now: Instant) -> bool {
        self.works && now.duration_since(self.last) >= FORGIVEN
    }
}

impl Failures {
    /// Notes one more failure and says how many there were in a row.
    pub fn failed(&self, key: Key) -> u32 {
        self.failed_at(key, Instant::now())
    }

    fn failed_at(&self, key: Key, now: Instant) -> u32 {
        let mut counts = self.lock();
        counts.retain(|_, count| !count.is_over(now));
        let count = counts.entry(key).or_insert(Count {
            times: 0,
            last: now,
            works: false,
        });
        count.times = count.times.saturating_add(1);
        count.last = now;
        count.works = false;
        count.times
    }

    /// How often an object failed in a row.
    #[must_use]
    pub fn count(&self, key: &Key) -> u32 {
        self.lock().get(key).map_or(0, |count| count.times)
    }

    /// How long an object that failed is left alone yet, whatever wakes it.
    #[must_use]
    pub fn rest(&self, key: &Key, now: Instant) -> Option<Duration> {
        let counts = self.lock();
        let count = counts.get(key).filter(|count| !count.works)?;
        let deaf = delay_within(FIRST..=DEAF, count.times, 0.0);
        let rest = (count.last + deaf).saturating_duration_since(now);
        (!rest.is_zero()).then_some(rest)
    }

    /// Records that an object was reconciled without a failure. If it soon fails again, it has not recovered.
    pub fn worked(&self, key: &Key) {
        if let Some(count) = self.lock().get_mut(key) {
            count.works = true;
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Count>> {
        self.counts.lock()
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

    #[test]
    fn what_works_for_a_moment_has_not_mended() {
        let failures = Failures::default();
        let key = || ("Database", "a".to_owned(), "x".to_owned());
        let now = Instant::now();
        assert_eq!(failures.failed_at(key(), now), 1);
        failures.worked(&key());
        assert_eq!(failures.failed_at(key(), now + DEAF), 2);
        failures.worked(&key());
        let late = now + DEAF + FORGIVEN;
        assert_eq!(failures.failed_at(key(), late), 1);
        failures.worked(&key());
        failures.failed_at(("Database", String::new(), "y".to_owned()), late + FORGIVEN);
        assert_eq!(failures.lock().len(), 1, "what works is not remembered");
    }

    /// A failing instance is reconciled because of its databases, which are reconciled because of the instance.
    #[test]
    fn what_is_woken_by_its_own_failures_does_not_spin() {
        let failures = Failures::default();
        let key = || ("Database", "a".to_owned(), "x".to_owned());
        let began = Instant::now();
        let mut passes = 0;
        for wake in 0..2000 {
            let now = began + Duration::from_millis(10) * wake;
            if failures.rest(&key(), now).is_none() {
                passes += 1;
                failures.failed_at(key(), now);
            }
        }
        assert!(passes <= 12, "{passes} in 20 s");
    }
}
