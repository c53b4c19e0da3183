//! Logs progress every few seconds, and detects a stall.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tokio::time::interval;

use super::log;

/// How often it is looked at.
const POLL: Duration = Duration::from_secs(1);
/// How often progress is logged, if there was any.
const LOG_EVERY: Duration = Duration::from_secs(3);

/// Something that moves.
pub(super) trait Moving {
    /// Everything that counts as progress.
    type Position: Copy + PartialEq;

    /// Where it is.
    fn position(&self) -> Self::Position;

    /// Whether it waits for others, so that nothing stalls here.
    fn waits(&self) -> bool;

    /// The table, or whatever else it has come to, for people.
    fn place(&self) -> Option<String>;

    /// A line about how far it is.
    fn progress(&mut self, now: Instant) -> impl Display;
}

/// Logs progress, and returns once nothing has moved for the time `stall`.
pub(super) async fn watch(moving: &mut impl Moving, stall: Duration) {
    log::say(moving.progress(Instant::now()));
    let mut ticks = interval(POLL.min(stall / 4));
    let (mut position, mut moved) = (moving.position(), Instant::now());
    let (mut logged, mut logged_at) = (position, moved);
    let mut told = None;
    loop {
        ticks.tick().await;
        let (now, at) = (Instant::now(), moving.position());
        if at != position || moving.waits() {
            (position, moved) = (at, now);
        } else if now.duration_since(moved) >= stall {
            return;
        }
        if at != logged && now.duration_since(logged_at) >= LOG_EVERY {
            let place = moving.place();
            if place != told
                && let Some(place) = &place
            {
                log::say(place);
            }
            told = place;
            log::say(moving.progress(now));
            (logged, logged_at) = (at, now);
        }
    }
}
