//! Few connections, each bounded in time.
//!
//! `max_connections` counts everything that this process holds open on a server: sessions at work, visits to other
//! databases, logins, and idle sessions kept for later. A slot is the right to have one connection open. Half of the
//! slots are for visits and logins alone: each new database needs one of either kind for about as long, and a visit
//! in a session's slot would close an idle one that is opened again at once.
//!
//! Turns at the slots go round the namespaces ([`super::places`]), so that nobody's flood keeps the others waiting.
//!
//! A library's pool was not used because the reason why a session could not be opened (superseded, read-only,
//! refused, no slot on the server) has to arrive as it was, and because visits to other databases share the limit.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

pub(super) use super::places::Slot;
use super::places::{Closed, Kind, Places};
use super::{ProviderError, Timeouts, Usage};

/// What a pool needs to know of a session.
pub(super) trait Session: Send + Sized + 'static {
    /// Whether it is between two statements, outside any transaction, so that somebody else may use it.
    fn is_reusable(&self) -> bool;

    /// Whether the server still answers it. Takes no longer than [`PING`].
    fn pulse(&mut self) -> impl Future<Output = Pulse> + Send;

    /// Says goodbye to the server.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// What a server in order is given to answer a ping.
pub(super) const PING: Duration = Duration::from_secs(1);

/// What came back when a session was asked for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// An answer.
    Alive,
    /// The session was ended.
    Ended,
    /// Nothing in time, which is to be expected of the others, too.
    Silent,
}

/// The pulse, from what came of a ping.
pub(super) async fn pulse<E>(ping: impl Future<Output = Result<(), E>>) -> Pulse {
    match tokio::time::timeout(PING, ping).await {
        Ok(Ok(())) => Pulse::Alive,
        Ok(Err(_)) => Pulse::Ended,
        Err(_) => Pulse::Silent,
    }
}

/// The connections of one process to one server.
pub(super) struct Pool<S: Session> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    /// For sessions that are kept, and for connections that are not; none of those where there is only one connection
    /// for everything.
    places: Places,
    timeouts: Timeouts,
    idle: Mutex<Idle<S>>,
}

struct Idle<S> {
    /// The one used last is at the back.
    sessions: VecDeque<(S, Instant)>,
    reaper_runs: bool,
    /// How often all sessions were given up.
    generation: u64,
}

/// A session in use; it goes back when dropped, unless something about it is unfinished.
pub(super) struct Lease<S: Session> {
    /// `None` only while dropping.
    session: Option<S>,
    shared: Arc<Shared<S>>,
    /// That of the pool when the session was taken or opened.
    generation: u64,
    /// Given back after the session.
    _slot: Slot,
}

impl<S: Session> Pool<S> {
    /// A pool of `size` connections; opens none.
    pub(super) fn new(size: u32, timeouts: Timeouts) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX).max(1);
        let visits = size / 2;
        let shared = Shared {
            places: Places::new(size - visits, visits),
            timeouts,
            idle: Mutex::new(Idle {
                sessions: VecDeque::new(),
                reaper_runs: false,
                generation: 0,
            }),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What is open at the moment.
    pub(super) fn usage(&self) -> Usage {
        let places = &self.shared.places;
        Usage {
            busy: places.taken(Kind::Session) + places.taken(Kind::Visit),
            idle: self.shared.lock().sessions.len(),
            limit: places.size(Kind::Session) + places.size(Kind::Visit),
        }
    }

    /// A slot for a session that is kept; waits its turn.
    pub(super) async fn slot(&self) -> Result<Slot, ProviderError> {
        let [slot] = self.take([Kind::Session]).await?;
        Ok(slot)
    }

    /// A slot for a connection that is closed after use; waits its turn.
    pub(super) async fn visit(&self) -> Result<Slot, ProviderError> {
        if self.has_visits() {
            let [slot] = self.take([Kind::Visit]).await?;
            return Ok(slot);
        }
        let slot = self.slot().await?;
        self.make_room().await;
        Ok(slot)
    }

    /// One of each, for a visit that needs a session beside it. Holds neither while it waits.
    pub(super) async fn two_slots(&self) -> Result<(Slot, Slot), ProviderError> {
        if !self.has_visits() {
            return Err(ProviderError::Unsupported(
                "extensions, schemas and backups need two connections: set the instance's spec.maxConnections to 2 or more"
                    .to_owned(),
            ));
        }
        let [session, visit] = self.take([Kind::Session, Kind::Visit]).await?;
        Ok((session, visit))
    }

    fn has_visits(&self) -> bool {
        self.shared.places.size(Kind::Visit) > 0
    }

    async fn take<const N: usize>(&self, kinds: [Kind; N]) -> Result<[Slot; N], ProviderError> {
        let limit = self.shared.timeouts.acquire;
        match tokio::time::timeout(limit, self.shared.places.take(kinds)).await {
            Ok(Ok(slots)) => Ok(slots),
            Ok(Err(Closed)) => Err(closed()),
            Err(_) => Err(ProviderError::AllInUse { limit }),
        }
    }

    /// An idle session, or the one that `open` makes. `open` is not started when an idle one is there.
    pub(super) async fn session<F>(&self, slot: Slot, open: F) -> Result<Lease<S>, ProviderError>
    where
        F: Future<Output = Result<S, ProviderError>> + Send,
    {
        let generation = self.shared.lock().generation;
        let session = if let Some(session) = self.idle().await {
            session
        } else {
            self.make_room().await;
            open.await?
        };
        self.start_reaper();
        Ok(Lease {
            session: Some(session),
            shared: Arc::clone(&self.shared),
            generation,
            _slot: slot,
        })
    }

    /// Gives up all sessions: those that are idle now, those in use when they are given back. They may be with another
    /// server than a new one.
    pub(super) fn retire(&self) {
        self.shared.lock().generation += 1;
        self.shared.drop_idle();
    }

    /// Closes idle sessions until the holders of slots can each have a connection open within the limit.
    async fn make_room(&self) {
        while let Some(session) = self.surplus() {
            session.close().await;
        }
    }

    /// Closes the idle sessions and refuses everything from now on.
    pub(super) async fn close(&self) {
        self.shared.places.close();
        loop {
            let session = self.shared.lock().sessions.pop_front();
            match session {
                Some((session, _)) => session.close().await,
                None => break,
            }
        }
    }

    async fn idle(&self) -> Option<S> {
        loop {
            let (mut session, _) = self.shared.lock().sessions.pop_back()?;
            // One round trip, and a session that the server or a new leader ended is nobody's error.
            match session.pulse().await {
                Pulse::Alive => return Some(session),
                Pulse::Ended => {}
                Pulse::Silent => self.shared.drop_idle(),
            }
        }
    }

    fn surplus(&self) -> Option<S> {
        let mut idle = self.shared.lock();
        let in_use = self.shared.places.taken(Kind::Session);
        if idle.sessions.len() + in_use > self.shared.places.size(Kind::Session) {
            idle.sessions.pop_front().map(|(session, _)| session)
        } else {
            None
        }
    }

    /// One task per pool closes what was idle for too long; it ends with the pool.
    fn start_reaper(&self) {
        let mut idle = self.shared.lock();
        if idle.reaper_runs {
            return;
        }
        idle.reaper_runs = true;
        tokio::spawn(reap(
            Arc::downgrade(&self.shared),
            self.shared.timeouts.idle,
        ));
    }
}

async fn reap<S: Session>(pool: Weak<Shared<S>>, limit: Duration) {
    loop {
        tokio::time::sleep(limit / 4).await;
        let Some(pool) = pool.upgrade() else { return };
        while let Some(session) = pool.expired(limit) {
            session.close().await;
        }
    }
}

impl<S> Shared<S> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Idle<S>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the sockets of all idle sessions, without a goodbye.
    fn drop_idle(&self) {
        let dropped = std::mem::take(&mut self.lock().sessions);
        drop(dropped);
    }

    fn expired(&self, limit: Duration) -> Option<S> {
        let mut idle = self.lock();
        match idle.sessions.front() {
            Some((_, since)) if since.elapsed() >= limit => {
                idle.sessions.pop_front().map(|(session, _)| session)
            }
            Some(_) | None => None,
        }
    }
}

impl<S: Session> Deref for Lease<S> {
    type Target = S;

    #[allow(
        clippy::expect_used,
        reason = "the session is taken out only while dropping"
    )]
    fn deref(&self) -> &S {
        self.session.as_ref().expect("a lease holds its session")
    }
}

impl<S: Session> DerefMut for Lease<S> {
    #[allow(
        clippy::expect_used,
        reason = "the session is taken out only while dropping"
    )]
    fn deref_mut(&mut self) -> &mut S {
        self.session.as_mut().expect("a lease holds its session")
    }
}

impl<S: Session> Drop for Lease<S> {
    fn drop(&mut self) {
        // A session in the middle of something is dropped, which closes its socket.
        if let Some(session) = self.session.take().filter(Session::is_reusable)
            && !self.shared.places.is_closed()
        {
            let mut idle = self.shared.lock();
            if idle.generation == self.generation {
                idle.sessions.push_back((session, Instant::now()));
            }
        }
    }
}

fn closed() -> ProviderError {
    ProviderError::Unexpected {
        doing: "taking a connection".to_owned(),
        detail: "the connections to this server were closed".to_owned(),
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
