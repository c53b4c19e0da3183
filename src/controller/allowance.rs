//! How often someone may ask for a look at one object: a few times at once, then once every few seconds.

use std::time::{Duration, Instant};

/// One more look is allowed after this time.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// How many are allowed at once.
const AT_ONCE: u32 = 5;

/// How many more looks may be asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// When all of them are available again.
    full: Instant,
}

impl Allowance {
    /// Nothing was used yet.
    #[must_use]
    pub(super) fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// How long the next look has to wait.
    #[must_use]
    pub(super) fn wait(self, now: Instant) -> Duration {
        let used = self.full.saturating_duration_since(now);
        used.saturating_sub(EVERY * (AT_ONCE - 1))
    }

    /// Uses one.
    #[must_use]
    pub(super) fn used(self, now: Instant) -> Self {
        Self {
            full: self.full.max(now) + EVERY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_once_then_one_after_the_other() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        for _ in 0..AT_ONCE {
            assert_eq!(allowance.wait(now), Duration::ZERO);
            allowance = allowance.used(now);
        }
        assert_eq!(allowance.wait(now), EVERY);
        assert_eq!(allowance.wait(now + EVERY), Duration::ZERO);
        allowance = allowance.used(now + EVERY);
        assert_eq!(allowance.wait(now + EVERY), EVERY);
        // After a rest they are all there again, and no more than that.
        let later = now + EVERY * 100;
        for _ in 0..AT_ONCE {
            assert_eq!(allowance.wait(later), Duration::ZERO);
            allowance = allowance.used(later);
        }
        assert_eq!(allowance.wait(later), EVERY);
    }
}
