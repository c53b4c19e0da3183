//! Few connections, each bounded in time.
//!
//! `max_connections` counts everything that this process holds open on a server: sessions at work, sessions inside
//! tenants' databases, logins, and idle sessions that are kept. A slot is the right to have one connection open. Half
//! of the slots are only for connections that are used once (tenants' databases and logins): each new database needs
//! one of either kind for about as long, and such a connection in a kept session's slot would close an idle session
//! that is opened again at once.
//!
//! The namespaces take turns at the slots ([`super::slots`]), so that a flood from one does not make the others wait.
//!
//! This is not a library's pool, because the reason why a session could not be opened (superseded, read-only, refused,
//! no connection left on the server) has to reach the caller unchanged, and because connections to tenants' databases
//! share the limit: see `doc/decisions/0005-a-pool-of-our-own.md`.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

pub(super) use super::slots::Slot;
use super::slots::{Closed, Kind, Slots};
use super::{ProviderError, Timeouts, Usage};

/// What a pool needs to know of a session.
pub(super) trait Session: Send + Sized + 'static {
    /// Whether it is between two statements and outside any transaction, so that another caller may use it.
    fn is_reusable(&self) -> bool;

    /// Checks whether the server still answers it. Takes no longer than [`PING`].
    fn pulse(&mut self) -> impl Future<Output = Pulse> + Send;

    /// Says goodbye to the server.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// How long a healthy server may take to answer a ping.
pub(super) const PING: Duration = Duration::from_secs(1);

/// What came back from a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// An answer.
    Alive,
    /// The session was ended.
    Ended,
    /// Nothing in time, which is to be expected of the other sessions too.
    Silent,
}

/// Turns the result of a ping into a [`Pulse`].
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
    /// There is no one-off slot where one connection has to do for everything.
    slots: Slots,
    timeouts: Timeouts,
    idle: Mutex<Idle<S>>,
}

struct Idle<S> {
    /// The most recently used one is at the back.
    sessions: VecDeque<(S, Instant)>,
    reaper_runs: bool,
    /// How often all sessions were retired.
    generation: u64,
}

/// A session in use. It goes back to the pool when dropped, unless it is in the middle of something.
pub(super) struct Lease<S: Session> {
    /// `None` only while it is dropped.
    session: Option<S>,
    shared: Arc<Shared<S>>,
    /// The pool's generation when the session was taken or opened.
    generation: u64,
    /// Given back after the session.
    _slot: Slot,
}

impl<S: Session> Pool<S> {
    /// A pool of `size` connections. Opens none yet.
    pub(super) fn new(size: u32, timeouts: Timeouts) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX).max(1);
        let one_off = size / 2;
        let shared = Shared {
            slots: Slots::new(size - one_off, one_off),
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
        let slots = &self.shared.slots;
        Usage {
            busy: slots.taken(Kind::Kept) + slots.taken(Kind::OneOff),
            idle: self.shared.lock().sessions.len(),
            limit: slots.size(Kind::Kept) + slots.size(Kind::OneOff),
        }
    }

    /// Takes a slot for a session that is kept. Waits its turn.
    pub(super) async fn slot(&self) -> Result<Slot, ProviderError> {
        let [slot] = self.take([Kind::Kept]).await?;
        Ok(slot)
    }

    /// Takes a slot for a connection that is closed after use. Waits its turn.
    pub(super) async fn one_off_slot(&self) -> Result<Slot, ProviderError> {
        if self.has_one_off_slots() {
            let [slot] = self.take([Kind::OneOff]).await?;
            return Ok(slot);
        }
        let slot = self.slot().await?;
        self.make_room().await;
        Ok(slot)
    }

    /// Takes one of each, for a session inside a tenant's database and the kept one that it needs beside it. Holds
    /// neither while it waits.
    pub(super) async fn slots_for_tenant(&self) -> Result<(Slot, Slot), ProviderError> {
        if !self.has_one_off_slots() {
            return Err(ProviderError::Unsupported(
                "extensions, schemas and backups need two connections: set the instance's spec.maxConnections to 2 or more"
                    .to_owned(),
            ));
        }
        let [kept, one_off] = self.take([Kind::Kept, Kind::OneOff]).await?;
        Ok((kept, one_off))
    }

    fn has_one_off_slots(&self) -> bool {
        self.shared.slots.size(Kind::OneOff) > 0
    }

    async fn take<const N: usize>(&self, kinds: [Kind; N]) -> Result<[Slot; N], ProviderError> {
        let limit = self.shared.timeouts.acquire;
        match tokio::time::timeout(limit, self.shared.slots.take(kinds)).await {
            Ok(Ok(slots)) => Ok(slots),
            Ok(Err(Closed)) => Err(closed()),
            Err(_) => Err(ProviderError::AllInUse { limit }),
        }
    }

    /// Takes an idle session, or opens one with `open`, which is not polled when there is an idle one.
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

    /// Retires all sessions: idle ones now, those in use when they are given back. They may belong to another server
    /// than a new one would.
    pub(super) fn retire(&self) {
        self.shared.lock().generation += 1;
        self.shared.drop_idle();
    }

    /// Closes idle sessions until each holder of a slot can open a connection within the limit.
    async fn make_room(&self) {
        while let Some(session) = self.surplus() {
            session.close().await;
        }
    }

    /// Closes the idle sessions, and refuses every request from now on.
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
            // This costs one round trip, and then a session that the server or a new leader ended causes no error.
            match session.pulse().await {
                Pulse::Alive => return Some(session),
                Pulse::Ended => {}
                Pulse::Silent => self.shared.drop_idle(),
            }
        }
    }

    fn surplus(&self) -> Option<S> {
        let mut idle = self.shared.lock();
        let in_use = self.shared.slots.taken(Kind::Kept);
        if idle.sessions.len() + in_use > self.shared.slots.size(Kind::Kept) {
            idle.sessions.pop_front().map(|(session, _)| session)
        } else {
            None
        }
    }

    /// Starts the one task of this pool that closes sessions which were idle for too long. It ends with the pool.
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
    fn lock(&self) -> MutexGuard<'_, Idle<S>> {
        self.idle.lock()
    }

    /// Closes the sockets of all idle sessions without saying goodbye.
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
        // A session in the middle of something is dropped instead, which closes its socket.
        if let Some(session) = self.session.take().filter(Session::is_reusable)
            && !self.shared.slots.is_closed()
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
