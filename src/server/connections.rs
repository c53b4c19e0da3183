//! The open providers, one per instance, and the servers that they belong to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

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
    /// What the server said when it was last asked.
    answer: Option<Answer>,
    /// What only a person can mend, as long as nothing changes.
    refused: Option<Refused>,
    /// The server that callers get; the same value as long as it is the same server.
    server: Option<Arc<Server>>,
}

/// What a server said when it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was inspected.
    Inspected(Inspection),
    /// It could not be inspected, for this reason.
    Failed(Finding),
}

/// What is known of a server without asking it.
#[derive(Clone, Default)]
pub struct Known {
    /// What it said when it was last asked, over the same access.
    pub answer: Option<Answer>,
    /// The server, if it was inspected recently and its breaker is closed.
    pub fresh: Option<Arc<Server>>,
    /// What it refused, if it need not be asked again yet.
    pub refusal: Option<Finding>,
}

impl Known {
    /// Whether the server was inspected recently, and nothing has failed since.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh.is_some() && matches!(self.answer, Some(Answer::Inspected(_)))
    }
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
                answer: None,
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

    /// What is known of the server of an instance without asking it; nothing where something about the access changed.
    /// An inspection is recent for the time `resync`.
    pub fn known(
        &self,
        name: &str,
        access: &Access,
        fingerprint: &SpecFingerprint,
        resync: Duration,
        now: Instant,
    ) -> Known {
        let open = self.lock();
        let Some(connection) = open
            .get(name)
            .filter(|connection| connection.fingerprint == access.fingerprint)
        else {
            return Known::default();
        };
        let recent = connection.looked_at.is_some_and(|at| at.elapsed() < resync);
        let refused = connection.refused.as_ref();
        Known {
            answer: connection.answer.clone(),
            fresh: connection
                .server
                .clone()
                .filter(|_| recent && !connection.breaker_is_open()),
            refusal: refused.and_then(|refused| refused.holds(fingerprint, now)),
        }
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

    /// Notes what the server said, and what follows from that. Where only a person can mend it, the server is asked less
    /// and less often.
    pub fn note(
        &self,
        name: &str,
        answer: Answer,
        finding: &Finding,
        fingerprint: SpecFingerprint,
        now: Instant,
    ) {
        if let Some(connection) = self.lock().get_mut(name) {
            connection.answer = Some(answer);
            let before = connection.refused.take();
            connection.refused = Refused::after(before, finding, fingerprint, now, rand::random());
        }
    }

    /// Notes that the server was not asked, because its databases found that it does not answer.
    pub fn note_pause(&self, name: &str, answer: Answer) {
        if let Some(connection) = self.lock().get_mut(name) {
            connection.answer = Some(answer);
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
        self.open.lock()
    }
}

impl Connection {
    fn breaker_is_open(&self) -> bool {
        self.breaker.lock().is_open()
    }
}
