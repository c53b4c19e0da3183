//! Writes a line about progress every few seconds, and sees when nothing moves any more.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::interval;

use super::failure::Failure;
use super::log;
use super::meter::{Meter, Speed};
use super::report::Cause;

/// How often it looks.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// A line about progress is written so often, when there was any.
const PROGRESS_EACH: Duration = Duration::from_secs(3);

/// Writes progress, and ends when nothing moves any more.
pub async fn watch(meter: &Meter, speed: &mut Speed, stall: Duration) -> Failure {
    log::say(speed.progress(meter, Instant::now()));
    let mut ticks = interval(LOOK_EACH.min(stall / 4));
    let (mut position, mut moved) = (meter.position(), Instant::now());
    let (mut told, mut told_at) = (position, moved);
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
        if at != told && now.duration_since(told_at) >= PROGRESS_EACH {
            log::say(speed.progress(meter, now));
            (told, told_at) = (at, now);
        }
    }
}
