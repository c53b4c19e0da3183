//! Decides which object may be reconciled now, from those that wait and those in progress. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::line::{Fit, Line, Ticket};
use super::{half, quarter};

/// Identifies an object, as its controller does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// On whose behalf a pass runs, and on which instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// The namespace that it counts for.
    pub tenant: Arc<str>,
    /// The instance that it works on; empty if unknown.
    pub instance: Arc<str>,
    /// True if someone waits for it: it comes before the same namespace's routine work.
    pub urgent: bool,
}

/// The objects that wait, and those that have a slot.
#[derive(Debug)]
pub(super) struct Order {
    limits: Limits,
    line: Line<Arc<str>, Key>,
    waiting: HashMap<Key, Waiting>,
    holders: HashMap<Key, Holder>,
}

/// How many passes may run at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) overall: usize,
    pub(super) per_instance: usize,
}

#[derive(Debug)]
struct Waiting {
    want: Want,
    ticket: Ticket,
}

/// A running pass, or one whose object was called and has not started yet.
#[derive(Debug)]
struct Holder {
    tenant: Arc<str>,
    instance: Arc<str>,
    suspect: bool,
    called: bool,
}

/// Whether the passes of a namespace recently held an instance's slots for long: instance, then tenant.
pub(super) type IsSuspect<'a> = &'a dyn Fn(&Arc<str>, &Arc<str>) -> bool;

impl Order {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            line: Line::default(),
            waiting: HashMap::new(),
            holders: HashMap::new(),
        }
    }

    /// Makes an object wait for its turn, at most once. [`Self::call`] returns those whose turn has come.
    pub(super) fn wait(&mut self, key: &Key, want: Want) {
        if self.holders.contains_key(key) {
            return;
        }
        if let Some(known) = self.waiting.get(key) {
            let same = known.want.tenant == want.tenant && known.want.instance == want.instance;
            if same && known.want.urgent >= want.urgent {
                return;
            }
            self.leave(key);
        }
        let lane = Arc::clone(&want.instance);
        let ticket = self.line.push(&want.tenant, lane, want.urgent, key.clone());
        self.waiting.insert(key.clone(), Waiting { want, ticket });
    }

    /// Assigns free slots and returns the objects that got one.
    pub(super) fn call(&mut self, suspects: IsSuspect<'_>) -> Vec<Key> {
        let mut called = Vec::new();
        while let Some(pick) = self
            .line
            .pick(|tenant, instance| self.fit(tenant, instance, suspects))
        {
            let Some((tenant, instance, key)) = self.line.take(pick) else {
                break;
            };
            self.waiting.remove(&key);
            let holder = Holder {
                suspect: suspects(&instance, &tenant),
                tenant,
                instance,
                called: true,
            };
            self.holders.insert(key.clone(), holder);
            called.push(key);
        }
        called
    }

    /// Whether an object was called and had not started yet. From now on it is in progress.
    pub(super) fn accept(&mut self, key: &Key) -> bool {
        match self.holders.get_mut(key) {
            Some(holder) => std::mem::take(&mut holder.called),
            None => false,
        }
    }

    /// Removes an object, wherever it is.
    pub(super) fn leave(&mut self, key: &Key) {
        self.holders.remove(key);
        if let Some(waiting) = self.waiting.remove(key) {
            self.line.remove(&waiting.want.tenant, waiting.ticket);
        }
    }

    /// How many objects wait, and how many have a slot.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.waiting.len(), self.holders.len())
    }

    fn fit(&self, tenant: &Arc<str>, instance: &Arc<str>, suspects: IsSuspect<'_>) -> Fit {
        let Limits {
            overall,
            per_instance,
        } = self.limits;
        let count = |which: &dyn Fn(&Holder) -> bool| {
            self.holders.values().filter(|holder| which(holder)).count()
        };
        let here = |holder: &Holder| holder.instance == *instance;
        let own = |holder: &Holder| holder.tenant == *tenant;
        let share = |slots, others_wait| {
            if others_wait {
                quarter(slots)
            } else {
                half(slots)
            }
        };
        let others_wait = self.line.others_wait(tenant, |_| true);
        let others_wait_here = self.line.others_wait(tenant, |other| other == instance);
        let has_room = self.holders.len() < overall
            && count(&here) < per_instance
            && count(&own) < share(overall, others_wait)
            && count(&|holder| own(holder) && here(holder)) < share(per_instance, others_wait_here);
        let may = has_room
            && (!suspects(instance, tenant)
                || (count(&|holder| holder.suspect) < half(overall)
                    && count(&|holder| holder.suspect && here(holder)) < half(per_instance)));
        // A full instance is no reason to let those of another wait.
        if may { Fit::Now } else { Fit::Barred }
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
