//! The open providers, one per instance, and the servers that they belong to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Finding;
use super::access::Access;
use super::breaker::Breaker;
use super::handle::{Server, Version};
use super::refusal::{Refused, SpecFingerprint};
use crate::metrics::{Metrics, ServerConnections};
use crate::provider::{self, Fence, Inspection, Provider};

/// How long a look at a server is not repeated, whatever fails there.
const NEW: Duration = Duration::from_secs(2);

/// Every provider that is open, with what it was opened from.
#[derive(Default)]
pub struct Connections {
    open: Mutex<HashMap<String, Connection>>,
}

struct Connection {
    fingerprint: String,
    provider: Arc<dyn Provider>,
    breaker: Arc<Mutex<Breaker>>,
    looked_at: Option<Instant>,
    /// What only a person can mend, as long as nothing changes.
    refused: Option<Refused>,
    /// The server that callers get; the same value as long as it is the same server.
    server: Option<Arc<Server>>,
}

impl Connections {
    /// What the connections of every instance are like now, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ServerConnections> {
        let mut all: Vec<ServerConnections> = self
            .lock()
            .iter()
            .map(|(name, connection)| ServerConnections {
                instance: name.clone(),
                breaker_open: connection.breaker_is_open(),
                usage: connection.provider.usage(),
            })
            .collect();
        all.sort_by(|one, two| one.instance.cmp(&two.instance));
        all
    }

    /// The provider of an instance: the open one, or a new one if the access changed.
    pub async fn open(
        &self,
        name: &str,
        access: Access,
        fence: Fence,
    ) -> (Arc<dyn Provider>, Arc<Mutex<Breaker>>) {
        let replaced = {
            let mut open = self.lock();
            match open.get(name) {
                Some(known) if known.fingerprint == access.fingerprint => {
                    return (Arc::clone(&known.provider), Arc::clone(&known.breaker));
                }
                Some(_) | None => {}
            }
            let connection = Connection {
                fingerprint: access.fingerprint,
                provider: provider::open(access.config, fence),
                breaker: Arc::default(),
                looked_at: None,
                refused: None,
                server: None,
            };
            open.insert(name.to_owned(), connection)
        };
        if let Some(replaced) = replaced {
            replaced.provider.close().await;
        }
        let open = self.lock();
        let known = &open[name];
        (Arc::clone(&known.provider), Arc::clone(&known.breaker))
    }

    /// The server, if it was inspected within `resync` and no inspection was requested since.
    pub fn fresh(&self, name: &str, resync: Duration, requested: bool) -> Option<Arc<Server>> {
        let open = self.lock();
        let connection = open.get(name)?;
        let fresh = connection.looked_at.is_some_and(|at| at.elapsed() < resync);
        let open_breaker = connection.breaker_is_open();
        connection
            .server
            .clone()
            .filter(|_| fresh && !requested && !open_breaker)
    }

    /// Has a server looked at again that failed while the last look was good, unless that look is new. It may answer, and
    /// still take no writes: what it answered in between keeps its breaker closed.
    pub fn invalidate(&self, name: &str) {
        if let Some(connection) = self.lock().get_mut(name)
            && connection.looked_at.is_some_and(|at| at.elapsed() >= NEW)
        {
            connection.looked_at = None;
        }
    }

    /// What the server refused when it was last asked with this access, if it need not be asked again yet.
    pub fn refusal(
        &self,
        name: &str,
        fingerprint: &SpecFingerprint,
        now: Instant,
    ) -> Option<Finding> {
        let open = self.lock();
        open.get(name)?.refused.as_ref()?.holds(fingerprint, now)
    }

    /// Notes what the server said. Where only a person can mend it, the server is asked less and less often.
    pub fn note(&self, name: &str, said: &Finding, fingerprint: SpecFingerprint, now: Instant) {
        if let Some(connection) = self.lock().get_mut(name) {
            let before = connection.refused.take();
            connection.refused = Refused::after(before, said, fingerprint, now, rand::random());
        }
    }

    /// The server of an instance, after its provider found this: the same as before as long as it is the same server.
    pub fn hand_out(
        &self,
        name: &str,
        found: &Inspection,
        ca: Option<String>,
        metrics: &Metrics,
    ) -> Arc<Server> {
        let mut open = self.lock();
        let connection = open.entry(name.to_owned());
        let std::collections::hash_map::Entry::Occupied(mut connection) = connection else {
            unreachable!(
                "opened by the caller, and one instance is looked at by one task at a time"
            )
        };
        let connection = connection.get_mut();
        connection.looked_at = Some(Instant::now());
        let identity = found.identity.clone().unwrap_or_default();
        let version = Version {
            full: found.version.clone(),
            series: found.series.clone(),
        };
        if let Some(server) = connection
            .server
            .as_ref()
            .filter(|server| server.is(found.flavour, &version, &identity, ca.as_deref()))
        {
            return Arc::clone(server);
        }
        let server = Arc::new(Server::new(
            name.to_owned(),
            found.flavour,
            version,
            identity,
            ca,
            Arc::clone(&connection.provider),
            Arc::clone(&connection.breaker),
            metrics.clone(),
        ));
        connection.server = Some(Arc::clone(&server));
        server
    }

    /// Notes that the server may not be used for now.
    pub fn withdraw(&self, name: &str) {
        if let Some(connection) = self.lock().get_mut(name) {
            connection.server = None;
        }
    }

    /// Closes the provider of an instance that is gone.
    pub async fn forget(&self, name: &str) {
        let forgotten = self.lock().remove(name);
        if let Some(connection) = forgotten {
            connection.provider.close().await;
        }
    }

    /// Closes all providers.
    pub async fn close(&self) {
        let all: Vec<Connection> = self
            .lock()
            .drain()
            .map(|(_, connection)| connection)
            .collect();
        for connection in all {
            connection.provider.close().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn breaker_is_open(&self) -> bool {
        self.breaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_open()
    }
}
