//! The time until which this process may act as the leader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Whether this process leads, answered by the clock. Cheap to clone: all clones are one.
///
/// Whoever is about to do something only a leader may do asks [`Leadership::is_held`] first. A
/// process that was stopped and goes on after its lease ran out gets a no, before any task noticed.
#[derive(Clone, Debug)]
pub struct Leadership {
    started: Instant,
    /// Milliseconds after `started`; 0 while not leading.
    ends: Arc<AtomicU64>,
}

impl Default for Leadership {
    fn default() -> Self {
        Self::new()
    }
}

impl Leadership {
    /// Not leading yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            ends: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Whether this process leads now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.left().is_zero()
    }

    /// How much longer it leads without a further renewal.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.left_at(Instant::now())
    }

    /// Notes a renewal that was sent at `sent` and granted for `ttl`.
    pub(crate) fn extend(&self, sent: Instant, ttl: Duration) {
        let end = sent.duration_since(self.started) + safe_part(ttl);
        let end = u64::try_from(end.as_millis()).unwrap_or(u64::MAX);
        self.ends.store(end, Ordering::Release);
    }

    /// Ends it now.
    pub(crate) fn end(&self) {
        self.ends.store(0, Ordering::Release);
    }

    fn left_at(&self, now: Instant) -> Duration {
        let end = Duration::from_millis(self.ends.load(Ordering::Acquire));
        end.saturating_sub(now.duration_since(self.started))
    }
}

/// The part of a lease that is used. A standby waits for all of it: the last fifth is the time in
/// which what the old leader has sent arrives, before there can be a new one.
pub(super) fn safe_part(ttl: Duration) -> Duration {
    ttl * 4 / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    #[test]
    fn a_term_is_counted_from_the_request_and_ends_before_the_lease() {
        let leadership = Leadership::new();
        let sent = leadership.started + Duration::from_secs(100);
        leadership.extend(sent, TTL);
        assert_eq!(leadership.left_at(sent), Duration::from_secs(8));
        assert_eq!(
            leadership.left_at(sent + Duration::from_secs(5)),
            Duration::from_secs(3)
        );
        assert_eq!(
            leadership.left_at(sent + Duration::from_secs(8)),
            Duration::ZERO
        );
        assert_eq!(leadership.left_at(sent + TTL), Duration::ZERO);
    }

    #[test]
    fn nobody_leads_before_the_first_grant_or_after_the_end() {
        let leadership = Leadership::new();
        assert!(!leadership.is_held());
        leadership.extend(Instant::now(), TTL);
        assert!(leadership.clone().is_held());
        leadership.end();
        assert!(!leadership.is_held());
    }
}
