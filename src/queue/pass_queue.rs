//! The queue for one kind's passes, and their slots. An object that has to wait is called by name when its turn comes, and
//! holds nothing until then.

use std::sync::Arc;
use std::time::Instant;

use futures::Stream;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use parking_lot::{Mutex, MutexGuard};

pub use super::order::{Key, Want};
use super::order::{Limits, Order};
use super::suspects::Suspects;

/// The slots, and the objects that wait for one.
#[derive(Clone)]
pub struct PassQueue(Arc<Shared>);

struct Shared {
    order: Mutex<Order>,
    suspects: Arc<Suspects>,
    calls: UnboundedSender<Key>,
    called: Mutex<Option<UnboundedReceiver<Key>>>,
}

/// The right to reconcile an object, for as long as this lives. Dropping it lets the next object go.
pub struct PassSlot {
    queue: PassQueue,
    key: Key,
}

impl PassQueue {
    /// `concurrency` slots in total, half of them for one instance: a server that answers slowly does not hold up the
    /// databases of the others.
    #[must_use]
    pub fn new(concurrency: u16, suspects: Arc<Suspects>) -> Self {
        let overall = usize::from(concurrency).max(1);
        let limits = Limits {
            overall,
            per_instance: super::half(overall),
        };
        let (calls, called) = unbounded();
        Self(Arc::new(Shared {
            order: Mutex::new(Order::new(limits)),
            suspects,
            calls,
            called: Mutex::new(Some(called)),
        }))
    }

    /// A slot, if it is this object's turn. Otherwise the object waits until it is called: see [`Self::calls`].
    #[must_use]
    pub fn ask(&self, key: &Key, want: Want) -> Option<PassSlot> {
        let called = self.change(|order| order.wait(key, want));
        self.call(called.into_iter().filter(|other| other != key));
        self.accept(key)
    }

    /// The slot of an object that was called.
    #[must_use]
    pub fn accept(&self, key: &Key) -> Option<PassSlot> {
        self.order().accept(key).then(|| PassSlot {
            queue: self.clone(),
            key: key.clone(),
        })
    }

    /// The objects whose turn has come, as it comes. A controller reads this and reconciles them; empty for a second
    /// reader. Some of them may have been reconciled in the meantime.
    pub fn calls(&self) -> impl Stream<Item = Key> + Send + use<> {
        let mut called = self.0.called.lock();
        called.take().unwrap_or_else(|| unbounded().1)
    }

    /// How many objects wait, and how many passes have a slot.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.order().counts()
    }

    /// Changes the order and returns the objects whose turn has come.
    fn change(&self, change: impl FnOnce(&mut Order)) -> Vec<Key> {
        let now = Instant::now();
        let mut order = self.order();
        change(&mut order);
        order.call(&|instance, tenant| self.0.suspects.has(instance, tenant, now))
    }

    fn call(&self, called: impl IntoIterator<Item = Key>) {
        for key in called {
            // Nobody listens only while the process ends.
            let _ = self.0.calls.unbounded_send(key);
        }
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.0.order.lock()
    }
}

impl Drop for PassSlot {
    fn drop(&mut self) {
        let called = self.queue.change(|order| order.leave(&self.key));
        self.queue.call(called);
    }
}

#[cfg(test)]
#[path = "pass_queue_tests.rs"]
mod tests;
