//! Waking the controllers of the kinds, from elsewhere in the process.

use std::sync::Arc;

use futures::Stream;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::api::{Backup, Database, DatabaseInstance, Restore};
use crate::client::lenient::Readable;
use crate::provider::Survey;
use crate::server::Server;

/// What wakes the controllers of the kinds. What a controller remembers of an object that it is woken for does not count
/// any more.
#[derive(Default)]
pub struct Triggers {
    /// Instances to look at now.
    pub instances: Trigger<DatabaseInstance>,
    /// Databases to look at now.
    pub databases: Trigger<Database>,
    /// Backups to look at now.
    pub backups: Trigger<Backup>,
    /// Backups that wait may be able to begin: each that may be next is looked at.
    pub waiting_backups: Notify,
    /// Restores to look at now.
    pub restores: Trigger<Restore>,
    /// Restores that wait may be able to begin: each is looked at.
    pub waiting_restores: Notify,
    /// Servers whose databases were just looked at, all at once.
    pub surveys: Messages<Surveyed>,
}

/// A server whose databases were just looked at, all at once.
pub struct Surveyed {
    /// The instance's name.
    pub instance: String,
    /// Its server.
    pub server: Arc<Server>,
    /// What was found.
    pub survey: Arc<Survey>,
}

/// A way to name objects that a controller looks at soon. One controller reads it.
pub struct Trigger<K: Resource<DynamicType = ()> + 'static>(Messages<ObjectRef<Readable<K>>>);

impl<K: Resource<DynamicType = ()> + 'static> Default for Trigger<K> {
    fn default() -> Self {
        Self(Messages::default())
    }
}

impl<K> Trigger<K>
where
    K: Resource<DynamicType = ()> + 'static,
    Readable<K>: Lookup<DynamicType = ()>,
{
    /// Asks for a look at this object. Several before the look are one.
    pub fn send(&self, object: &Readable<K>) {
        self.0.send(object.to_object_ref(()));
    }

    /// What the controller reads; empty for a second reader.
    pub fn stream(&self) -> impl Stream<Item = ObjectRef<Readable<K>>> + Send + use<K> {
        self.0.stream()
    }
}

/// Messages from anywhere in the process to one reader.
pub struct Messages<T> {
    sender: UnboundedSender<T>,
    receiver: Mutex<Option<UnboundedReceiver<T>>>,
}

impl<T> Default for Messages<T> {
    fn default() -> Self {
        let (sender, receiver) = unbounded();
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl<T> Messages<T> {
    /// Sends one.
    pub fn send(&self, message: T) {
        // Nobody listens only while the process ends.
        let _ = self.sender.unbounded_send(message);
    }

    /// What the reader reads; empty for a second one.
    pub fn stream(&self) -> UnboundedReceiver<T> {
        let mut receiver = self.receiver.lock();
        receiver.take().unwrap_or_else(|| unbounded().1)
    }
}
