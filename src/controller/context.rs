//! What every reconcile has at hand, and what it may ask of it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::Client;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::trigger::Triggers;
use super::written::Written;
use crate::backoff::{self, Failures};
use crate::leader::Leadership;
use crate::metrics::{Metrics, Snapshot};
use crate::provider::{Fence, ProviderError};
use crate::queue::Queues;
use crate::server::ServerError;
use crate::server::connections::Connections;
use crate::server::registry::Instances;
use crate::store::Destinations;
use crate::telemetry::events::Events;
use crate::telemetry::failures::FailureLog;
use crate::watch::Watches;

/// What every reconcile has at hand. What only one kind needs is in that kind's own context, around this one.
pub struct Context {
    /// Sends nothing once this process does not lead any more.
    pub client: Client,
    /// Publishes Events. A reconcile never fails because an Event was not published.
    pub events: Events,
    /// Watches objects, and says how that goes.
    pub watches: Watches,
    /// The objects of all kinds.
    pub cache: Cache,
    /// Wakes the controllers of the kinds.
    pub triggers: Triggers,
    /// What is counted.
    pub metrics: Metrics,

    /// Where the administrators' Secrets live.
    pub namespace: String,
    /// Under which id databases are claimed.
    pub cluster_id: String,
    /// How often an object is looked at without a reason.
    pub resync: Duration,
    /// How often what is costly to look at is.
    pub deep_resync: Duration,

    /// What is known of the servers.
    pub instances: Instances,
    /// The providers that are open.
    pub connections: Connections,
    /// The object stores that are open.
    pub destinations: Destinations,

    /// Whose turn it is to be worked on.
    pub queues: Queues,
    /// How often each object failed in a row.
    pub failures: Arc<Failures>,
    /// What this process last wrote of each object.
    pub written: Written,
    /// Where failures of objects are written.
    pub failure_log: FailureLog,

    /// To be asked before anything that only a leader may do and that `client` does not do.
    pub leadership: Leadership,
    /// What this process brings to the fence of every server; one for the whole process.
    pub fence: Fence,
    /// Cancelled when a server says that another process leads: this one has to end.
    pub superseded: CancellationToken,
}

impl Context {
    /// Whether there may be an instance of this name that this process has not looked at yet. Nothing is said about
    /// its databases until it has: after a restart each would be written to twice.
    #[must_use]
    pub fn is_unseen(&self, instance: &str) -> bool {
        if self.instances.get(instance).is_some() {
            return false;
        }
        let store = &self.cache.instances;
        match store.wait_until_ready().now_or_never() {
            Some(Ok(())) => store
                .get(&ObjectRef::new(instance))
                .is_some_and(|found| found.0.is_ok()),
            // Its controller ended: nothing will be looked at any more.
            Some(Err(_)) => false,
            None => true,
        }
    }

    /// Draws the consequences of a server's failure for its instance and for this process.
    pub fn note_failure(&self, instance: &str, error: &ServerError) {
        let Some(error) = error.provider() else {
            return;
        };
        if error.ends_process() {
            self.end_superseded(error);
        } else if error.is_server_down() {
            self.connections.invalidate(instance);
            if let Some(object) = self.cache.instances.get(&ObjectRef::new(instance)) {
                self.triggers.instances.send(&object);
            }
        }
    }

    /// Ends this process, because a server knows a newer leader.
    pub fn end_superseded(&self, error: &ProviderError) {
        tracing::error!(%error, "ending");
        self.superseded.cancel();
    }

    /// What this process brings to the fence of every server.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// What there is in the cluster now, for the metrics.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            figures: self.cache.figures(),
            servers: self.connections.snapshot(),
            failing_watches: self.watches.failing(),
            unreadable: self.watches.unreadable(),
        }
    }

    /// Look again at the next resync, or when something changes.
    #[must_use]
    pub fn at_resync(&self) -> Action {
        Action::requeue(backoff::spread_evenly(self.resync, rand::random()))
    }
}
