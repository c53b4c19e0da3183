//! What has moved so far, for progress lines and stall detection.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::agent::protocol::restore::Phase;
use crate::agent::protocol::restore_progress::{RestoreProgress, Steps};
use crate::agent::stall::Moving;

/// Counters. All but `waiting` only ever grow.
#[derive(Debug)]
pub(super) struct Meter {
    /// Bytes that came from connections, including those of failed attempts.
    pub received: AtomicU64,
    /// Bytes of the object that were handed on, in order.
    pub fetched: AtomicU64,
    /// Bytes that the tool has taken.
    pub loaded: AtomicU64,
    /// Ranges that are waiting for a signed request. Meanwhile it is the operator that has to act, so nothing stalls here.
    pub waiting: Arc<AtomicU32>,
    /// The object's size.
    of: u64,
    now: Mutex<Now>,
}

/// The phase, and how far it is.
#[derive(Debug)]
struct Now {
    phase: Phase,
    began: Instant,
    steps: Steps,
    place: Option<String>,
    /// How often the server was seen at work.
    seen: u64,
}

impl Meter {
    /// For an object of this size.
    pub(super) fn new(of: u64) -> Self {
        Self {
            received: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            loaded: AtomicU64::new(0),
            waiting: Arc::default(),
            of,
            now: Mutex::new(Now {
                phase: Phase::Load,
                began: Instant::now(),
                steps: Steps::default(),
                place: None,
                seen: 0,
            }),
        }
    }

    /// A phase begins, of so many steps. Returns how long the one before took.
    pub(super) fn begin(&self, phase: Phase, steps: u32) -> Duration {
        let mut now = self.now.lock();
        let before = now.began.elapsed();
        now.phase = phase;
        now.began = Instant::now();
        now.steps = Steps {
            of: steps,
            ..Steps::default()
        };
        now.place = None;
        before
    }

    /// How long the present phase has taken.
    pub(super) fn elapsed(&self) -> Duration {
        self.now.lock().began.elapsed()
    }

    /// The phase has come to another place, for people.
    pub(super) fn at(&self, place: impl Display) {
        self.now.lock().place = Some(place.to_string());
    }

    /// A step of the phase is done, or has begun.
    pub(super) fn step(&self) {
        let mut now = self.now.lock();
        now.steps.done = now.steps.done.saturating_add(1).min(now.steps.of);
        now.move_on();
    }

    /// The server works on it.
    pub(super) fn seen_at_work(&self) {
        self.now.lock().move_on();
    }

    /// The phase that it is in.
    pub(super) fn phase(&self) -> Phase {
        self.now.lock().phase
    }

    fn progress(&self, rate: u64) -> RestoreProgress {
        let now = self.now.lock();
        match now.phase {
            Phase::Load => RestoreProgress::Load {
                fetched: self.fetched.load(Ordering::Relaxed),
                of: self.of,
                rate,
            },
            Phase::Index => RestoreProgress::Index(now.steps),
            Phase::Check => RestoreProgress::Check(now.steps),
        }
    }
}

impl Now {
    fn move_on(&mut self) {
        self.seen += 1;
        self.steps.seconds = self.began.elapsed().as_secs();
    }
}

/// Where everything is that counts as progress.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Position {
    received: u64,
    fetched: u64,
    loaded: u64,
    phase: Phase,
    done: u32,
    seen: u64,
}

/// Computes the rate, from one look to the next.
#[derive(Debug)]
pub(super) struct Speed {
    meter: Arc<Meter>,
    looks: VecDeque<(Instant, u64)>,
}

/// The time that the rate is an average over.
const LATELY: Duration = Duration::from_secs(12);

impl Speed {
    /// Begins now.
    pub(super) fn new(meter: Arc<Meter>) -> Self {
        Self {
            meter,
            looks: VecDeque::from([(Instant::now(), 0)]),
        }
    }

    /// How far it has come.
    pub(super) fn look(&mut self, now: Instant) -> RestoreProgress {
        let fetched = self.meter.fetched.load(Ordering::Relaxed);
        while self.looks.len() > 1 && now.duration_since(self.looks[0].0) > LATELY {
            self.looks.pop_front();
        }
        let (since, before) = self.looks.front().copied().unwrap_or((now, 0));
        self.looks.push_back((now, fetched));
        let millis = now.duration_since(since).as_millis().max(1);
        let rate = u128::from(fetched.saturating_sub(before)) * 1000 / millis;
        self.meter.progress(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

impl Moving for Speed {
    type Position = Position;

    fn position(&self) -> Position {
        let meter = &self.meter;
        let now = meter.now.lock();
        Position {
            received: meter.received.load(Ordering::Relaxed),
            fetched: meter.fetched.load(Ordering::Relaxed),
            loaded: meter.loaded.load(Ordering::Relaxed),
            phase: now.phase,
            done: now.steps.done,
            seen: now.seen,
        }
    }

    fn waits(&self) -> bool {
        self.meter.waiting.load(Ordering::Relaxed) > 0
    }

    fn place(&self) -> Option<String> {
        self.meter.now.lock().place.clone()
    }

    fn progress(&mut self, now: Instant) -> impl Display {
        self.look(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_own_figures_and_whatever_moves_is_seen() {
        let meter = Arc::new(Meter::new(1000));
        let mut speed = Speed::new(Arc::clone(&meter));
        let start = speed.looks[0].0;
        meter.fetched.store(100, Ordering::Relaxed);
        let progress = speed.look(start + Duration::from_secs(1));
        assert_eq!(
            progress,
            RestoreProgress::Load {
                fetched: 100,
                of: 1000,
                rate: 100
            }
        );
        meter.begin(Phase::Index, 3);
        let before = speed.position();
        meter.at("INDEX a");
        assert_eq!(speed.position(), before, "a place is no progress");
        meter.step();
        let after = speed.position();
        assert_ne!(after, before);
        meter.seen_at_work();
        assert_ne!(speed.position(), after);
        let progress = speed.look(Instant::now());
        assert_eq!(
            (progress.phase(), progress.percent()),
            (Phase::Index, Some(33))
        );
    }
}
