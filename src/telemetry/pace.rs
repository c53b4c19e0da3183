//! How often something may happen: a few times at once, and then at intervals. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How much is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// So often at once.
    pub burst: u32,
    /// And once more after each of these.
    pub every: Duration,
}

/// How much of it each key has used. Keys that have used nothing recently are not remembered.
#[derive(Debug)]
pub struct Paced<K> {
    pace: Pace,
    /// When each will have used nothing again.
    idle_at: HashMap<K, Instant>,
    swept: Option<Instant>,
}

impl<K: Eq + Hash> Paced<K> {
    /// For anybody, so much.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            idle_at: HashMap::new(),
            swept: None,
        }
    }

    /// Whether it may happen once more now; that is counted.
    pub fn take(&mut self, who: K, now: Instant) -> bool {
        let all = self.pace.every * self.pace.burst;
        if self
            .swept
            .is_none_or(|swept| now.duration_since(swept) > all)
        {
            self.idle_at.retain(|_, idle_at| *idle_at > now);
            self.swept = Some(now);
        }
        let idle_at = self.idle_at.entry(who).or_insert(now);
        let next = (*idle_at).max(now) + self.pace.every;
        let may = next <= now + all;
        if may {
            *idle_at = next;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_and_then_one_by_one() {
        let now = Instant::now();
        let every = Duration::from_secs(5);
        let mut paced = Paced::new(Pace { burst: 3, every });
        let mut at = |seconds| paced.take("a", now + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(0), at(0), at(0), at(4)],
            [true, true, true, false, false]
        );
        assert_eq!([at(5), at(5), at(10)], [true, false, true]);
        assert!(paced.take("b", now), "each has its own");
    }

    #[test]
    fn nobody_is_remembered_for_long() {
        let now = Instant::now();
        let every = Duration::from_secs(1);
        let mut paced = Paced::new(Pace { burst: 2, every });
        for who in 0..1000 {
            assert!(paced.take(who, now));
        }
        assert!(paced.take(0, now + every * 3));
        assert_eq!(paced.idle_at.len(), 1);
    }
}
