//! The order in which waiters are served: tenants take turns; within one, urgent work comes first, then the oldest.

use std::collections::VecDeque;
use std::sync::Arc;

/// How often others may go ahead of a waiter that needs slots of two kinds while only one kind is free. After that, no
/// one may.
const PATIENCE: u32 = 16;

/// All waiters. `L` is what they wait for: those that wait for the same thing are checked together, so thousands of them
/// cost one check. `W` is the waiter.
#[derive(Debug)]
pub struct Line<L, W> {
    /// The next tenant is at the front. Only tenants that wait for something are in it.
    tenants: VecDeque<Tenant<L, W>>,
    tickets: u64,
}

#[derive(Debug)]
struct Tenant<L, W> {
    name: Arc<str>,
    lanes: Vec<Lane<L, W>>,
    passed_over: u32,
}

#[derive(Debug)]
struct Lane<L, W> {
    wants: L,
    urgent: VecDeque<(Ticket, W)>,
    ordinary: VecDeque<(Ticket, W)>,
}

/// Identifies a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The waiter that was picked. Valid until the line changes.
#[derive(Clone, Copy, Debug)]
pub struct Pick {
    tenant: usize,
    lane: usize,
}

/// Whether a waiter may have what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Yes.
    Now,
    /// Not before a slot is freed. Others may go first, but not forever.
    Full,
    /// Its tenant already has its share. Others go first.
    Barred,
}

impl<L, W> Default for Line<L, W> {
    fn default() -> Self {
        Self {
            tenants: VecDeque::new(),
            tickets: 0,
        }
    }
}

impl<L: Clone + PartialEq, W> Line<L, W> {
    /// Adds a waiter at the end of its tenant's line.
    pub fn push(&mut self, tenant: &Arc<str>, wants: L, urgent: bool, who: W) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        let position = self.tenants.iter().position(|known| known.name == *tenant);
        let position = position.unwrap_or_else(|| {
            self.tenants.push_back(Tenant {
                name: Arc::clone(tenant),
                lanes: Vec::new(),
                passed_over: 0,
            });
            self.tenants.len() - 1
        });
        if let Some(known) = self.tenants.get_mut(position) {
            known.push(wants, urgent, (ticket, who));
        }
        ticket
    }

    /// The next waiter among those that may have what they wait for. `fit` may inspect the line, too.
    pub fn pick(&self, fit: impl Fn(&Arc<str>, &L) -> Fit) -> Option<Pick> {
        for (position, tenant) in self.tenants.iter().enumerate() {
            match tenant.first(&fit) {
                Ok(lane) => {
                    return Some(Pick {
                        tenant: position,
                        lane,
                    });
                }
                Err(Fit::Full) if tenant.passed_over >= PATIENCE => return None,
                Err(Fit::Full | Fit::Barred | Fit::Now) => {}
            }
        }
        None
    }

    /// Removes the waiter that was picked. Its tenant goes to the end.
    pub fn take(&mut self, pick: Pick) -> Option<(Arc<str>, L, W)> {
        for before in self
            .tenants
            .range_mut(..pick.tenant.min(self.tenants.len()))
        {
            before.passed_over += 1;
        }
        let mut tenant = self.tenants.remove(pick.tenant)?;
        let (wants, who) = tenant.pop(pick.lane)?;
        tenant.passed_over = 0;
        let name = Arc::clone(&tenant.name);
        if !tenant.lanes.is_empty() {
            self.tenants.push_back(tenant);
        }
        Some((name, wants, who))
    }

    /// Removes a waiter that no longer waits; `None` if it is absent.
    pub fn remove(&mut self, tenant: &str, ticket: Ticket) -> Option<W> {
        let position = self
            .tenants
            .iter()
            .position(|known| &*known.name == tenant)?;
        let known = self.tenants.get_mut(position)?;
        let who = known.remove(ticket);
        if known.lanes.is_empty() {
            self.tenants.remove(position);
        }
        who
    }

    /// Whether another tenant waits for something similar.
    pub fn others_wait(&self, tenant: &str, like: impl Fn(&L) -> bool) -> bool {
        self.tenants
            .iter()
            .any(|other| &*other.name != tenant && other.lanes.iter().any(|lane| like(&lane.wants)))
    }

    /// Removes all waiters.
    pub fn clear(&mut self) {
        self.tenants.clear();
    }
}

impl<L: Clone + PartialEq, W> Tenant<L, W> {
    fn push(&mut self, wants: L, urgent: bool, who: (Ticket, W)) {
        let position = self.lanes.iter().position(|lane| lane.wants == wants);
        let position = position.unwrap_or_else(|| {
            self.lanes.push(Lane {
                wants,
                urgent: VecDeque::new(),
                ordinary: VecDeque::new(),
            });
            self.lanes.len() - 1
        });
        let lane = &mut self.lanes[position];
        if urgent {
            lane.urgent.push_back(who);
        } else {
            lane.ordinary.push_back(who);
        }
    }

    /// The lane of the first waiter that may go; otherwise why none may.
    fn first(&self, fit: impl Fn(&Arc<str>, &L) -> Fit) -> Result<usize, Fit> {
        let mut found: Option<(usize, (bool, Ticket))> = None;
        let mut otherwise = Fit::Barred;
        for (position, lane) in self.lanes.iter().enumerate() {
            match fit(&self.name, &lane.wants) {
                Fit::Now => {
                    let Some(order) = lane.order() else { continue };
                    if found.is_none_or(|(_, best)| order < best) {
                        found = Some((position, order));
                    }
                }
                Fit::Full => otherwise = Fit::Full,
                Fit::Barred => {}
            }
        }
        found.map(|(position, _)| position).ok_or(otherwise)
    }

    fn pop(&mut self, position: usize) -> Option<(L, W)> {
        let lane = self.lanes.get_mut(position)?;
        let (_, who) = lane
            .urgent
            .pop_front()
            .or_else(|| lane.ordinary.pop_front())?;
        let wants = lane.wants.clone();
        self.lanes.retain(|lane| !lane.is_empty());
        Some((wants, who))
    }

    fn remove(&mut self, ticket: Ticket) -> Option<W> {
        let who = self.lanes.iter_mut().find_map(|lane| lane.remove(ticket));
        self.lanes.retain(|lane| !lane.is_empty());
        who
    }
}

impl<L, W> Lane<L, W> {
    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.ordinary.is_empty()
    }

    /// Urgent work first, then the older ticket.
    fn order(&self) -> Option<(bool, Ticket)> {
        let urgent = self.urgent.front().map(|(ticket, _)| (false, *ticket));
        urgent.or_else(|| self.ordinary.front().map(|(ticket, _)| (true, *ticket)))
    }

    fn remove(&mut self, ticket: Ticket) -> Option<W> {
        for queue in [&mut self.urgent, &mut self.ordinary] {
            // In the order of their tickets.
            if let Ok(position) = queue.binary_search_by_key(&ticket, |(known, _)| *known) {
                return queue.remove(position).map(|(_, who)| who);
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
