//! Few connections, each bounded in time.
//!
//! `max_connections` counts everything that this process holds open on a server: sessions at work, visits to other
//! databases, logins, and idle sessions kept for later. A slot is the right to have one connection open; before one
//! is opened, idle sessions make room.
//!
//! A library's pool was not used because the reason why a session could not be opened (superseded, read-only,
//! refused, no slot on the server) has to arrive as it was, and because visits to other databases share the limit.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ProviderError, Timeouts};

/// What a pool needs to know of a session.
pub(super) trait Session: Send + Sized + 'static {
    /// Whether it is between two statements, outside any transaction, so that somebody else may use it.
    fn is_reusable(&self) -> bool;

    /// Whether the server still answers it.
    fn is_alive(&mut self) -> impl Future<Output = bool> + Send;

    /// Says goodbye to the server.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The connections of one process to one server.
pub(super) struct Pool<S: Session> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    slots: Arc<Semaphore>,
    size: usize,
    timeouts: Timeouts,
    idle: Mutex<Idle<S>>,
}

struct Idle<S> {
    /// The one used last is at the back.
    sessions: VecDeque<(S, Instant)>,
    reaper_runs: bool,
}

/// The right to have one connection open.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// A session in use; it goes back when dropped, unless something about it is unfinished.
pub(super) struct Lease<S: Session> {
    /// `None` only while dropping.
    session: Option<S>,
    shared: Arc<Shared<S>>,
    /// Given back after the session.
    _slot: Slot,
}

impl<S: Session> Pool<S> {
    /// A pool of `size` connections; opens none.
    pub(super) fn new(size: u32, timeouts: Timeouts) -> Self {
        let size = usize::try_from(size)
            .unwrap_or(usize::MAX)
            .clamp(1, Semaphore::MAX_PERMITS);
        let shared = Shared {
            slots: Arc::new(Semaphore::new(size)),
            size,
            timeouts,
            idle: Mutex::new(Idle {
                sessions: VecDeque::new(),
                reaper_runs: false,
            }),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A slot for one connection; waits its turn.
    pub(super) async fn slot(&self) -> Result<Slot, ProviderError> {
        let permit = self.permits(1).await?;
        Ok(Slot { _permit: permit })
    }

    /// Two slots at once: taken one by one, two tasks could wait for each other's second.
    pub(super) async fn two_slots(&self) -> Result<(Slot, Slot), ProviderError> {
        if self.shared.size < 2 {
            return Err(ProviderError::Unsupported(
                "extensions and schemas need two connections: set the instance's spec.maxConnections to 2 or more"
                    .to_owned(),
            ));
        }
        let mut both = self.permits(2).await?;
        match both.split(1) {
            Some(one) => Ok((Slot { _permit: one }, Slot { _permit: both })),
            None => Err(closed()),
        }
    }

    async fn permits(&self, count: u32) -> Result<OwnedSemaphorePermit, ProviderError> {
        let limit = self.shared.timeouts.acquire;
        let permits = Arc::clone(&self.shared.slots).acquire_many_owned(count);
        match tokio::time::timeout(limit, permits).await {
            Ok(Ok(permits)) => Ok(permits),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(ProviderError::Timeout {
                doing: "waiting for a free connection".to_owned(),
                limit,
            }),
        }
    }

    /// An idle session, or the one that `open` makes. `open` is not started when an idle one is there.
    pub(super) async fn session<F>(&self, slot: Slot, open: F) -> Result<Lease<S>, ProviderError>
    where
        F: Future<Output = Result<S, ProviderError>> + Send,
    {
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
            _slot: slot,
        })
    }

    /// Closes idle sessions until the holders of slots can each have a connection open within the limit.
    pub(super) async fn make_room(&self) {
        while let Some(session) = self.surplus() {
            session.close().await;
        }
    }

    /// Closes the idle sessions and refuses everything from now on.
    pub(super) async fn close(&self) {
        self.shared.slots.close();
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
            if session.is_alive().await {
                return Some(session);
            }
        }
    }

    fn surplus(&self) -> Option<S> {
        let mut idle = self.shared.lock();
        let in_use = self
            .shared
            .size
            .saturating_sub(self.shared.slots.available_permits());
        if idle.sessions.len() + in_use > self.shared.size {
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
            && !self.shared.slots.is_closed()
        {
            self.shared
                .lock()
                .sessions
                .push_back((session, Instant::now()));
        }
    }
}

fn closed() -> ProviderError {
    ProviderError::Unexpected {
        doing: "taking a connection".to_owned(),
        detail: "the connections to this server were closed".to_owned(),
    }
}
