//! Logs progress every few seconds, and detects a stall.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::interval;

use super::failure::Failure;
use super::log;
use super::meter::{Meter, Speed};
use super::protocol::result::Cause;

/// How often the meter is read.
const POLL: Duration = Duration::from_secs(1);
/// How often progress is logged, if there was any.
const LOG_EVERY: Duration = Duration::from_secs(3);

/// Logs progress, and returns a failure once nothing has moved for the time `stall`.
pub async fn watch(meter: &Meter, speed: &mut Speed, stall: Duration) -> Failure {
    log::say(speed.progress(meter, Instant::now()));
    let mut ticks = interval(POLL.min(stall / 4));
    let (mut position, mut moved) = (meter.position(), Instant::now());
    let (mut logged, mut logged_at) = (position, moved);
    loop {
        ticks.tick().await;
        let (now, at) = (Instant::now(), meter.position());
        if at != position || meter.waiting.load(Ordering::Relaxed) > 0 {
            (position, moved) = (at, now);
        } else if now.duration_since(moved) >= stall {
            return Failure::new(
                Cause::NoProgress,
                format!(
                    "nothing was dumped or uploaded for {} seconds: a lock in the database that another session holds, a server that does not answer, or a store that takes nothing",
                    stall.as_secs()
                ),
            );
        }
        if at != logged && now.duration_since(logged_at) >= LOG_EVERY {
            log::say(speed.progress(meter, now));
            (logged, logged_at) = (at, now);
        }
    }
}
