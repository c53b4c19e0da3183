//! A circuit breaker for one instance, without a clock of its own.
//!
//! A server that is down must not be asked by each of its databases in turn: the first failures open the breaker,
//! everything that needs the server is then refused at once and without a connection, and a single probe at a time
//! finds out when it is back. Only failures of the *server* count (see `ProviderError::sign`).

use std::time::{Duration, Instant};

use crate::provider::Sign;

/// Failures in a row after which the breaker opens.
const TOLERATED: u32 = 3;
/// The first pause. It doubles with every failed probe.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause. A server that is back is used by all its databases within ten seconds, most of which they need for
/// themselves. Shorter than the rest of an instance that does not answer, so that each look at it is a probe.
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);
/// A probe that has not reported by then was given up by its caller; the next one may go.
const LONGEST_PROBE: Duration = Duration::from_secs(30);

/// Whether a server may be asked right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breaker {
    /// It may; so many calls have failed in a row.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// It may not before `probe_at`, and then by one call only.
    Open {
        /// When the next probe may go.
        probe_at: Instant,
        /// How long it has waited for that.
        pause: Duration,
        /// A probe is under way.
        probing: bool,
    },
}

/// The breaker's answer to a caller that wants to use the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Go ahead.
    Granted,
    /// Come back after this time.
    Refused(Duration),
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Asks for permission. While open, the first to ask after the pause becomes the probe.
    pub fn ask(&mut self, now: Instant) -> Permit {
        match self {
            Self::Closed { .. } => Permit::Granted,
            Self::Open {
                probe_at, probing, ..
            } if now >= *probe_at => {
                *probing = true;
                *probe_at = now + LONGEST_PROBE;
                Permit::Granted
            }
            Self::Open {
                pause,
                probing: true,
                ..
            } => Permit::Refused(*pause),
            Self::Open { probe_at, .. } => Permit::Refused(probe_at.saturating_duration_since(now)),
        }
    }

    /// Counts what came of a call. `jitter` in `0.0..1.0` spreads the probes of many instances.
    pub fn heard(&mut self, sign: Sign, now: Instant, jitter: f64) {
        match sign {
            Sign::Answers => self.succeeded(),
            Sign::Down => self.failed(now, jitter),
            Sign::Another => self.mistrust(now),
            // A probe that learned nothing is followed by another like one that never reports.
            Sign::Nothing => {}
        }
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The server is left alone until its next inspection, which may be now.
    fn mistrust(&mut self, now: Instant) {
        *self = Self::Open {
            probe_at: now,
            pause: FIRST_PAUSE,
            probing: false,
        };
    }

    fn failed(&mut self, now: Instant, jitter: f64) {
        match self {
            Self::Closed { failures } if *failures + 1 < TOLERATED => *failures += 1,
            Self::Closed { .. } => *self = Self::open(now, FIRST_PAUSE, jitter),
            // A call that was permitted before the breaker opened is no probe: it doubles nothing.
            Self::Open { probing: false, .. } => {}
            Self::Open { pause, .. } => {
                *self = Self::open(now, (*pause * 2).min(LONGEST_PAUSE), jitter);
            }
        }
    }

    /// Whether calls are refused.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    fn open(now: Instant, pause: Duration, jitter: f64) -> Self {
        let probe_at = now + pause.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 4.0);
        Self::Open {
            probe_at,
            pause,
            probing: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ProviderError;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        (0..TOLERATED).for_each(|_| breaker.failed(now, 1.0));
        breaker
    }

    #[test]
    fn a_few_failures_are_tolerated_and_a_success_forgets_them() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            (1..TOLERATED).for_each(|_| breaker.failed(now, 0.0));
            assert_eq!(breaker.ask(now), Permit::Granted);
            breaker.succeeded();
        }
    }

    #[test]
    fn an_open_breaker_lets_one_probe_pass_after_its_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.ask(now), Permit::Refused(FIRST_PAUSE));
        let due = now + FIRST_PAUSE;
        assert_eq!(breaker.ask(due), Permit::Granted);
        assert_eq!(
            breaker.ask(due),
            Permit::Refused(FIRST_PAUSE),
            "a second probe at the same time"
        );
        breaker.succeeded();
        assert_eq!(breaker.ask(due), Permit::Granted);
    }

    #[test]
    fn a_probe_that_never_reports_is_followed_by_another() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let due = now + FIRST_PAUSE;
        assert_eq!(breaker.ask(due), Permit::Granted);
        assert_eq!(breaker.ask(due + LONGEST_PROBE), Permit::Granted);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Permit::Refused(wait) = breaker.ask(now) else {
                panic!("open")
            };
            pauses.push(wait);
            now += wait;
            assert_eq!(breaker.ask(now), Permit::Granted);
            breaker.failed(now, 1.0);
        }
        assert_eq!(pauses[..2], [500, 1000].map(Duration::from_millis));
        assert!(pauses[2..].iter().all(|pause| *pause == LONGEST_PAUSE));
    }

    #[test]
    fn only_what_tells_of_the_server_counts() {
        let now = Instant::now();
        let server = "db:5432".to_owned();
        let limit = Duration::from_secs(60);
        let doing = "look at the catalog".to_owned();
        let detail = String::new();
        let no_turn = ProviderError::AllInUse { limit };
        let silent = [
            ProviderError::Timeout {
                doing: doing.clone(),
                limit,
            },
            ProviderError::Unreachable {
                server,
                detail: detail.clone(),
            },
        ];
        for down in silent {
            let mut breaker = Breaker::default();
            for _ in 0..TOLERATED {
                assert!(!breaker.is_open());
                breaker.heard(down.sign(), now, 0.0);
                // It waited in our own queue, which neither excuses the server nor speaks against it.
                breaker.heard(no_turn.sign(), now, 0.0);
            }
            assert!(breaker.is_open(), "{down}");
            let before = breaker.clone();
            breaker.heard(no_turn.sign(), now, 0.0);
            assert_eq!(breaker, before);
            let refusal = ProviderError::Busy {
                doing: doing.clone(),
                detail: detail.clone(),
            };
            breaker.heard(refusal.sign(), now, 0.0);
            assert!(!breaker.is_open(), "it answers");
        }
        let mut breaker = Breaker::default();
        (0..50).for_each(|_| breaker.heard(no_turn.sign(), now, 0.0));
        assert!(!breaker.is_open());
    }

    #[test]
    fn what_goes_wrong_inside_one_database_opens_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let read_only = ProviderError::ReadOnly {
            server: "db:5432".to_owned(),
        };
        let inside = read_only.clone().in_database("app");
        (0..50).for_each(|_| breaker.heard(inside.sign(), now, 0.0));
        assert_eq!(breaker, Breaker::default());
        // It does not speak for the server, either.
        (1..TOLERATED).for_each(|_| breaker.heard(read_only.sign(), now, 0.0));
        breaker.heard(inside.sign(), now, 0.0);
        breaker.heard(read_only.sign(), now, 0.0);
        assert!(breaker.is_open());
    }

    #[test]
    fn another_server_is_looked_at_before_anything_else() {
        let now = Instant::now();
        let changed = ProviderError::IdentityChanged {
            known: "one".to_owned(),
            found: "two".to_owned(),
        };
        let mut breaker = Breaker::default();
        breaker.heard(changed.sign(), now, 0.0);
        assert!(breaker.is_open());
        assert_eq!(breaker.ask(now), Permit::Granted);
        assert_eq!(breaker.ask(now), Permit::Refused(FIRST_PAUSE));
        breaker.heard(Sign::Answers, now, 0.0);
        assert!(!breaker.is_open());
    }

    #[test]
    fn late_failures_of_earlier_calls_do_not_lengthen_the_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let before = breaker.clone();
        (0..50).for_each(|_| breaker.failed(now, 1.0));
        assert_eq!(breaker, before);
    }
}
