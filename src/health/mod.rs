//! `/healthz` and `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;

mod watches;

use watches::Watches;

/// What the probes answer from. Cheap to clone: all clones are one.
///
/// Alive is who still turns its election loop. Ready is who reached the API server lately, a standby as well as the leader;
/// the leader has to have read all objects that its work depends on, too, and to see their changes.
#[derive(Clone, Debug)]
pub struct Health {
    facts: Arc<Mutex<Facts>>,
    limits: Limits,
}

/// How old a sign of life may be.
#[derive(Clone, Copy, Debug)]
struct Limits {
    turn: Duration,
    answer: Duration,
}

#[derive(Debug)]
struct Facts {
    last_turn: Instant,
    last_answer: Option<Instant>,
    watches: Watches,
}

impl Health {
    /// Starts alive and not ready, for a lease that lives for `ttl`.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self {
            facts: Arc::new(Mutex::new(Facts {
                last_turn: Instant::now(),
                last_answer: None,
                watches: Watches::default(),
            })),
            limits: Limits {
                turn: (ttl * 3).max(Duration::from_secs(30)),
                answer: (ttl * 2).max(Duration::from_secs(10)),
            },
        }
    }

    /// The election loop began another turn.
    pub fn turned(&self) {
        self.with(|facts| facts.last_turn = Instant::now());
    }

    /// The API server answered.
    pub fn api_answered(&self) {
        self.with(|facts| facts.last_answer = Some(Instant::now()));
    }

    /// The leader begins to watch all objects of `kind`, and depends on that from here on.
    pub fn watching(&self, kind: &'static str) {
        self.with(|facts| facts.watches.begin(kind));
    }

    /// All objects of `kind` were read once.
    pub fn read(&self, kind: &'static str) {
        self.with(|facts| facts.watches.read(kind));
    }

    /// Records an event of the watch of `kind`.
    pub fn watch_works(&self, kind: &'static str) {
        self.with(|facts| facts.watches.works(kind));
    }

    /// The watch of `kind` failed. If this should be logged, returns how many failures there have been since the last logged one.
    #[must_use]
    pub fn watch_failed(&self, kind: &'static str, why: String, now: Instant) -> Option<u64> {
        self.with(|facts| facts.watches.failed(kind, why, now))
    }

    /// Each watch, and whether it fails now.
    #[must_use]
    pub fn failing_watches(&self) -> Vec<(&'static str, bool)> {
        self.with(|facts| facts.watches.failing(Instant::now()))
    }

    /// `/healthz` and `/readyz`.
    pub fn router(&self) -> Router {
        let alive = get(|State(health): State<Self>| async move { probe(health.alive()) });
        let ready = get(|State(health): State<Self>| async move { probe(health.ready()) });
        Router::new()
            .route("/healthz", alive)
            .route("/readyz", ready)
            .with_state(self.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Facts) -> T) -> T {
        look(&mut self.facts.lock())
    }

    fn alive(&self) -> Result<(), String> {
        self.with(|facts| alive(facts, self.limits, Instant::now()))
    }

    /// Whether it can work, or why not.
    pub(crate) fn ready(&self) -> Result<(), String> {
        self.with(|facts| ready(facts, self.limits, Instant::now()))
    }
}

fn alive(facts: &Facts, limits: Limits, now: Instant) -> Result<(), String> {
    let silent = now.duration_since(facts.last_turn);
    if silent > limits.turn {
        return Err(format!("the election loop stands still for {silent:?}"));
    }
    Ok(())
}

fn ready(facts: &Facts, limits: Limits, now: Instant) -> Result<(), String> {
    match facts.last_answer {
        None => return Err("the API server has not answered yet".to_owned()),
        Some(answer) if now.duration_since(answer) > limits.answer => {
            return Err(format!(
                "the API server has not answered for {:?}",
                now.duration_since(answer)
            ));
        }
        Some(_) => {}
    }
    facts.watches.ready(now)
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({source}): choose another address with --listen")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Takes the address, so that a port in use is noticed at the start.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ListenError { address, source })
}

fn probe(state: Result<(), String>) -> Response {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        turn: Duration::from_secs(30),
        answer: Duration::from_secs(20),
    };

    fn facts(now: Instant) -> Facts {
        Facts {
            last_turn: now,
            last_answer: Some(now),
            watches: Watches::default(),
        }
    }

    #[test]
    fn a_loop_that_stands_still_is_not_alive() {
        let now = Instant::now();
        assert_eq!(alive(&facts(now), LIMITS, now + LIMITS.turn), Ok(()));
        let late = now + LIMITS.turn + Duration::from_secs(1);
        assert!(alive(&facts(now), LIMITS, late).is_err());
    }

    #[test]
    fn ready_needs_an_answer_and_all_objects() {
        let now = Instant::now();
        let mut facts = facts(now);
        assert_eq!(ready(&facts, LIMITS, now), Ok(()));
        assert!(ready(&facts, LIMITS, now + Duration::from_secs(21)).is_err());
        facts.watches.begin("Database");
        assert_eq!(
            ready(&facts, LIMITS, now),
            Err("not all objects were read yet: Database".to_owned())
        );
        facts.last_answer = None;
        assert!(ready(&facts, LIMITS, now).is_err());
    }
}
