//! The slots of a pool: each is the right to have one connection open. Namespaces take turns.
//!
//! There are two kinds: for sessions that are kept, and for connections that are used once. A caller that needs one of
//! each gets both at once, and holds neither while it waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::queue::caller::Caller;
use crate::queue::line::{Fit, Line, Ticket};
use crate::queue::{half, quarter};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A session that goes back to the pool after use.
    Kept,
    /// A connection that is closed after use.
    OneOff,
}

/// What a caller waits for, and whether its passes have recently held slots for long.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wants {
    kinds: Vec<Kind>,
    suspect: bool,
}

/// All slots of a pool.
#[derive(Debug)]
pub(super) struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    kept: usize,
    one_off: usize,
    held: HashMap<Holder, usize>,
    line: Line<Wants, Waiter>,
    closed: bool,
}

/// Whose slots are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holder {
    tenant: Arc<str>,
    suspect: bool,
    kind: Kind,
}

#[derive(Debug)]
struct Waiter {
    caller: Arc<Caller>,
    turn: oneshot::Sender<Vec<Slot>>,
}

/// The right to have one connection open. Given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    shared: Arc<Shared>,
    kind: Kind,
    caller: Arc<Caller>,
    since: Instant,
}

/// The connections to this server were closed.
#[derive(Debug)]
pub(super) struct Closed;

/// A caller that waits. Leaves the line when dropped.
struct Waits<'a> {
    shared: &'a Arc<Shared>,
    tenant: Arc<str>,
    ticket: Ticket,
}

impl Slots {
    pub(super) fn new(kept: usize, one_off: usize) -> Self {
        Self(Arc::new(Shared(Mutex::new(State {
            kept,
            one_off,
            held: HashMap::new(),
            line: Line::default(),
            closed: false,
        }))))
    }

    /// How many are taken.
    pub(super) fn taken(&self, kind: Kind) -> usize {
        self.0.lock().taken(kind)
    }

    /// How many there are.
    pub(super) fn size(&self, kind: Kind) -> usize {
        self.0.lock().size(kind)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Gives out no more slots, not even to those who wait.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.line.clear();
    }

    /// Takes a slot of each of these kinds for the current [`Caller`], all at once. Waits for its turn.
    pub(super) async fn take<const N: usize>(&self, kinds: [Kind; N]) -> Result<[Slot; N], Closed> {
        let caller = Caller::current();
        let wants = Wants {
            kinds: kinds.to_vec(),
            suspect: caller.is_suspect(),
        };
        let tenant = Arc::clone(caller.tenant());
        let (turn, called) = oneshot::channel();
        let ticket = {
            let mut state = self.0.lock();
            if state.closed {
                return Err(Closed);
            }
            let waiter = Waiter { caller, turn };
            state.line.push(&tenant, wants, false, waiter)
        };
        // Leaves the line if this future is dropped while it waits.
        let waits = Waits {
            shared: &self.0,
            tenant,
            ticket,
        };
        self.0.call();
        let taken = called.await.map_err(|_| Closed)?;
        drop(waits);
        // As many as were asked for, in their order.
        <[Slot; N]>::try_from(taken).map_err(|_| Closed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Assigns free slots to the waiters whose turn it is.
    fn call(self: &Arc<Self>) {
        let called = self.lock().call();
        // Without the lock, because a caller that no longer waits gives its slots back at once.
        for (waiter, kinds) in called {
            let slots = kinds.into_iter().map(|kind| Slot {
                shared: Arc::clone(self),
                kind,
                caller: Arc::clone(&waiter.caller),
                since: Instant::now(),
            });
            let _ = waiter.turn.send(slots.collect());
        }
    }
}

impl State {
    fn size(&self, kind: Kind) -> usize {
        match kind {
            Kind::Kept => self.kept,
            Kind::OneOff => self.one_off,
        }
    }

    fn taken(&self, kind: Kind) -> usize {
        self.count(|holder| holder.kind == kind)
    }

    fn count(&self, which: impl Fn(&Holder) -> bool) -> usize {
        let held = self.held.iter().filter(|(holder, _)| which(holder));
        held.map(|(_, count)| count).sum()
    }

    fn call(&mut self) -> Vec<(Waiter, Vec<Kind>)> {
        let mut called = Vec::new();
        while let Some(pick) = self.line.pick(|tenant, wants| self.fit(tenant, wants)) {
            let Some((tenant, wants, waiter)) = self.line.take(pick) else {
                break;
            };
            for kind in &wants.kinds {
                let holder = Holder {
                    tenant: Arc::clone(&tenant),
                    suspect: wants.suspect,
                    kind: *kind,
                };
                *self.held.entry(holder).or_default() += 1;
            }
            called.push((waiter, wants.kinds));
        }
        called
    }

    fn give_back(&mut self, holder: &Holder) {
        if let Some(count) = self.held.get_mut(holder) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(holder);
            }
        }
    }

    fn fit(&self, tenant: &Arc<str>, wants: &Wants) -> Fit {
        let barred = |kind: &Kind| {
            let own = self.count(|holder| holder.kind == *kind && holder.tenant == *tenant);
            let suspects = self.count(|holder| holder.kind == *kind && holder.suspect);
            own >= self.share(tenant, *kind)
                || (wants.suspect && suspects >= half(self.size(*kind)))
        };
        let full = |kind: &Kind| self.taken(*kind) >= self.size(*kind);
        if wants.kinds.iter().any(barred) {
            Fit::Barred
        } else if wants.kinds.iter().any(full) {
            Fit::Full
        } else {
            Fit::Now
        }
    }

    /// How many slots of a kind a namespace may have now. A tenant can make us wait inside its own database, so a
    /// single namespace gets at most half of the one-off slots.
    fn share(&self, tenant: &Arc<str>, kind: Kind) -> usize {
        let size = self.size(kind);
        if tenant.is_empty() {
            return size;
        }
        // Slots do not stay empty for those who could not have them anyway.
        let waits = |wants: &Wants| !wants.suspect && wants.kinds.contains(&kind);
        match kind {
            _ if self.line.others_wait(tenant, waits) => quarter(size),
            Kind::Kept => size,
            Kind::OneOff => half(size + 1),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.caller.held(self.since.elapsed());
        self.shared.lock().give_back(&Holder {
            tenant: Arc::clone(self.caller.tenant()),
            suspect: self.caller.is_suspect(),
            kind: self.kind,
        });
        self.shared.call();
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        // Once called, it is no longer in the line; slots on their way to it are given back when they are dropped.
        let left = self.shared.lock().line.remove(&self.tenant, self.ticket);
        if left.is_some() {
            self.shared.call();
        }
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
