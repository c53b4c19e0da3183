//! Asking a controller, from elsewhere in the process, to look at an object now.

use std::sync::{Mutex, PoisonError};

use futures::Stream;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef};

use crate::client::lenient::Readable;

/// A way to name objects that a controller looks at soon. One controller reads it.
pub struct Trigger<K: Resource<DynamicType = ()> + 'static> {
    sender: UnboundedSender<ObjectRef<Readable<K>>>,
    receiver: Mutex<Option<UnboundedReceiver<ObjectRef<Readable<K>>>>>,
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
    Readable<K>: Lookup<DynamicType = ()>,
{
    /// Asks for a look at this object. Several before the look are one.
    pub fn send(&self, object: &Readable<K>) {
        // Nobody listens only while the process ends.
        let _ = self.sender.unbounded_send(object.to_object_ref(()));
    }

    /// What the controller reads; empty for a second reader.
    pub fn stream(&self) -> impl Stream<Item = ObjectRef<Readable<K>>> + Send + use<K> {
        let receiver = self
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        receiver.unwrap_or_else(|| unbounded().1)
    }
}
