//! What every reconcile has at hand, and what it may ask of it: what the controllers know of each other's objects.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::{Client, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::api::{Backup, Database, DatabaseInstance};
use crate::backoff::{self, Failures};
use crate::backup;
use crate::client::lenient::Readable;
use crate::database::memory::Memory;
use crate::error::Error;
use crate::health::Health;
use crate::instance::connections::Connections;
use crate::instance::destination::Destinations;
use crate::instance::registry::Instances;
use crate::instance::server::ServerError;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::provider::{Fence, ProviderError};
use crate::queue::Queues;
use crate::telemetry::events::Events;
use crate::telemetry::failures::FailureLog;
use crate::trigger::Trigger;
use crate::watch::unreadable::UnreadableObjects;

/// What every reconcile has at hand.
pub struct Context {
    /// Sends nothing once this process does not lead any more.
    pub client: Client,
    /// Publishes Events. A reconcile never fails because an Event was not published.
    pub events: Events,
    /// Where the administrators' Secrets live.
    pub namespace: String,
    /// Under which id databases are claimed.
    pub cluster_id: String,
    /// How often an object is looked at without a reason.
    pub resync: Duration,
    /// How often what is costly to look at is.
    pub deep_resync: Duration,
    /// To be asked before anything that only a leader may do and that `client` does not do.
    pub leadership: Leadership,
    /// What this process brings to the fence of every server; one for the whole process.
    pub fence: Fence,
    /// What is counted.
    pub metrics: Metrics,
    /// What `/readyz` answers from.
    pub health: Health,
    /// The objects that cannot be read.
    pub unreadable: UnreadableObjects,
    /// How often each object failed in a row.
    pub failures: Arc<Failures>,
    /// Where failures of objects are written.
    pub failure_log: FailureLog,
    /// How many objects of one kind are worked on at a time.
    pub concurrency: u16,
    /// What is known of the servers.
    pub instances: Instances,
    /// The providers that are open.
    pub connections: Connections,
    /// What is remembered of each Database.
    pub memory: Memory,
    /// Whose turn it is to be worked on.
    pub queues: Queues,
    /// The object stores that are open.
    pub destinations: Destinations,
    /// What all passes over Backups share.
    pub backup: backup::Shared,
    /// Instances to look at now.
    pub instance_triggers: Trigger<DatabaseInstance>,
    /// Databases to look at now.
    pub database_triggers: Trigger<Database>,
    /// Backups to look at now.
    pub backup_triggers: Trigger<Backup>,
    /// Every Backup, as the controller of backups reads them.
    pub backups: OnceLock<Store<Readable<Backup>>>,
    /// Every Database, as the controller of databases reads them.
    pub databases: OnceLock<Store<Readable<Database>>>,
    /// Every instance, as the controller of instances reads them.
    pub instance_objects: OnceLock<Store<Readable<DatabaseInstance>>>,
    /// Cancelled when a server says that another process leads: this one has to end.
    pub superseded: CancellationToken,
}

impl Context {
    /// Every Database, also those that cannot be read; none before they were read since this process leads.
    #[must_use]
    pub fn all_databases(&self) -> Option<Vec<Arc<Readable<Database>>>> {
        read(self.databases.get()).map(Store::state)
    }

    /// The Databases that refer to an instance.
    #[must_use]
    pub fn databases_on(&self, instance: &str) -> Vec<Arc<Readable<Database>>> {
        let all = self.all_databases().unwrap_or_default();
        let refers = |guarded: &Arc<Readable<Database>>| {
            guarded
                .0
                .as_ref()
                .is_ok_and(|database| database.spec.instance_ref.name == instance)
        };
        all.into_iter().filter(refers).collect()
    }

    /// Whether there may be an instance of this name that this process has not looked at yet. Nothing is said about
    /// its databases until it has: after a restart each would be written to twice.
    #[must_use]
    pub fn is_unseen(&self, instance: &str) -> bool {
        if self.instances.get(instance).is_some() {
            return false;
        }
        let Some(store) = self.instance_objects.get() else {
            return true;
        };
        match store.wait_until_ready().now_or_never() {
            Some(Ok(())) => store
                .get(&ObjectRef::new(instance))
                .is_some_and(|found| found.0.is_ok()),
            // Its controller ended: nothing will be looked at any more.
            Some(Err(_)) => false,
            None => true,
        }
    }

    /// An instance as its controller reads it, whether or not the server was looked at; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::NotRead`] shortly after the start, and for an object that cannot be read.
    pub fn instance_object(&self, name: &str) -> Result<Option<DatabaseInstance>, Error> {
        let store = read(self.instance_objects.get()).ok_or(Error::NotRead)?;
        match store.get(&ObjectRef::new(name)).as_deref() {
            Some(Readable(Ok(instance))) => Ok(Some(instance.clone())),
            Some(Readable(Err(_))) => Err(Error::NotRead),
            None => Ok(None),
        }
    }

    /// Has a Database looked at now, whatever is remembered of it.
    pub fn look_at(&self, database: &Readable<Database>) {
        self.memory.suspect(&database.uid().unwrap_or_default());
        self.database_triggers.send(database);
    }

    /// Draws the consequences of a server's failure for its instance and for this process.
    pub fn note_failure(&self, instance: &str, error: &ServerError) {
        let Some(error) = error.provider() else {
            return;
        };
        if error.ends_process() {
            self.end_superseded(error);
        } else if error.is_server_down() {
            self.connections.suspect(instance);
            let known = self
                .instance_objects
                .get()
                .and_then(|store| store.get(&ObjectRef::new(instance)));
            if let Some(object) = known {
                self.instance_triggers.send(&object);
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

    /// Look again at the next resync, or when something changes.
    #[must_use]
    pub fn at_resync(&self) -> Action {
        Action::requeue(backoff::spread_evenly(self.resync, rand::random()))
    }
}

/// The objects of a kind once all were read; none where their controller ended, maybe before it read them.
#[must_use]
pub fn read<K>(store: Option<&Store<K>>) -> Option<&Store<K>>
where
    K: reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    store.filter(|store| matches!(store.wait_until_ready().now_or_never(), Some(Ok(()))))
}

/// How often it is looked whether all objects were read.
const GLANCE: Duration = Duration::from_millis(50);

/// Waits until all objects of a kind were read, or never will be.
///
/// It looks again and again: of several that wait for a store, the store wakes only the one that looked last, and who only
/// looks ([`read`]) counts as one of them. A stream that waits beside others would wait for ever.
pub async fn until_read<K>(store: &Store<K>)
where
    K: reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    while store.wait_until_ready().now_or_never().is_none() {
        tokio::time::sleep(GLANCE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream::FuturesUnordered;
    use futures::{StreamExt, poll};
    use kube::runtime::watcher::Event;

    #[tokio::test]
    async fn who_waits_for_a_store_is_woken_though_others_look_at_it() {
        let (store, mut writer) = reflector::store::<Readable<Backup>>();
        // Each future in here is polled when it was woken, and only then.
        let mut waiting: FuturesUnordered<_> = [until_read(&store)].into_iter().collect();
        assert!(poll!(waiting.next()).is_pending());
        assert!(read(Some(&store)).is_none());
        writer.apply_watcher_event(&Event::InitDone);
        tokio::time::timeout(Duration::from_secs(10), waiting.next())
            .await
            .unwrap();
    }
}
