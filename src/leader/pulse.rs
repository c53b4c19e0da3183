//! Whether the rest of the process still runs, as seen from the thread that keeps the lease.
//!
//! A thread of its own would renew the lease of a process whose other threads all hang. So they show that they run, by a
//! pulse, and without it the lease is given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How often the process shows that it runs.
const BEAT: Duration = Duration::from_secs(1);

/// A count that grows as long as the process runs. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Beats for as long as the runtime that this runs on has a thread for it.
    pub(super) async fn keep_beating(self) {
        loop {
            self.0.fetch_add(1, Ordering::Relaxed);
            sleep(BEAT).await;
        }
    }

    /// Returns once there was no beat for longer than `limit`. To be run on another thread.
    pub(super) async fn stopped(&self, limit: Duration) {
        let every = BEAT.min(limit / 4);
        let mut silence = Silence::since(Instant::now(), every * 2);
        loop {
            sleep(every).await;
            if silence.after(self.0.load(Ordering::Relaxed), Instant::now()) > limit {
                return;
            }
        }
    }
}

/// How long there was no beat, by the looks that were taken. Between two looks counts for a little time at most: one that
/// was frozen as a whole did not look, and does not know.
#[derive(Debug)]
struct Silence {
    beats: u64,
    looked: Instant,
    total: Duration,
    step: Duration,
}

impl Silence {
    fn since(now: Instant, step: Duration) -> Self {
        Self {
            beats: 0,
            looked: now,
            total: Duration::ZERO,
            step,
        }
    }

    /// Notes a look, and says for how long there was no beat.
    fn after(&mut self, beats: u64, now: Instant) -> Duration {
        if beats == self.beats {
            self.total += now.duration_since(self.looked).min(self.step);
        } else {
            self.total = Duration::ZERO;
        }
        self.beats = beats;
        self.looked = now;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_what_was_looked_at() {
        let now = Instant::now();
        let mut silence = Silence::since(now, SECOND * 2);
        assert_eq!(silence.after(1, now + SECOND), Duration::ZERO);
        assert_eq!(silence.after(1, now + SECOND * 2), SECOND);
        assert_eq!(silence.after(1, now + SECOND * 3), SECOND * 2);
        // A minute in which nobody looked, because the whole process stood still.
        assert_eq!(silence.after(1, now + SECOND * 63), SECOND * 4);
        assert_eq!(silence.after(2, now + SECOND * 64), Duration::ZERO);
    }
}
