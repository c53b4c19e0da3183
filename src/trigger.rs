//! Asking a controller, from elsewhere in the process, to look at an object now.

use std::sync::{Mutex, PoisonError};

use futures::Stream;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{Lookup, ObjectRef};

/// A way to name objects that a controller looks at soon. One controller reads it.
pub struct Trigger<K: Resource<DynamicType = ()> + 'static> {
    sender: UnboundedSender<ObjectRef<DeserializeGuard<K>>>,
    receiver: Mutex<Option<UnboundedReceiver<ObjectRef<DeserializeGuard<K>>>>>,
}

impl<K: Resource<DynamicType = ()> + 'static> Default for Trigger<K> {
    fn default() -> Self {
        let (sender, receiver) = unbounded();
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl<K> Trigger<K>
where
    K: Resource<DynamicType = ()> + 'static,
    DeserializeGuard<K>: Lookup<DynamicType = ()>,
{
    /// Asks for a look at this object. Several before the look are one.
    pub fn send(&self, object: &DeserializeGuard<K>) {
        // Nobody listens only while the process ends.
        let _ = self.sender.unbounded_send(object.to_object_ref(()));
    }

    /// What the controller reads; empty for a second reader.
    pub fn stream(&self) -> impl Stream<Item = ObjectRef<DeserializeGuard<K>>> + Send + use<K> {
        let receiver = self
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        receiver.unwrap_or_else(|| unbounded().1)
    }
}
