//! Which waiting backup gets the next slot: namespaces take turns. Pure.
//!
//! A running backup is never stopped for another one. So a namespace that shares the slots with others may not take the
//! last ones: it leaves at least as many free as it holds. Of those that may take one, the namespace with the fewest
//! running backups is first, then the one that was served longest ago, then the oldest backup.
//! `doc/decisions/0021-slots-by-namespace.md` says why.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::slots::{Candidate, Limits};

/// The namespaces that share an instance, running backups or not, and those that share the operator.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    everywhere: HashSet<String>,
    by_instance: HashMap<String, HashSet<String>>,
}

impl Neighbours {
    /// Notes that a namespace has a database on an instance.
    pub fn add(&mut self, instance: &str, namespace: &str) {
        insert(&mut self.everywhere, namespace);
        if let Some(known) = self.by_instance.get_mut(instance) {
            insert(known, namespace);
        } else {
            let first = HashSet::from([namespace.to_owned()]);
            self.by_instance.insert(instance.to_owned(), first);
        }
    }
}

/// Without a copy of what is known: many databases have one namespace.
fn insert(known: &mut HashSet<String>, namespace: &str) {
    if !known.contains(namespace) {
        known.insert(namespace.to_owned());
    }
}

/// When each namespace was last given a slot: the higher, the later; none that never was.
pub type Served = HashMap<String, u64>;

/// Whether the candidate of this UID gets a slot when all that wait are served in their order.
#[must_use]
pub fn has_slot(
    uid: &str,
    candidates: &[Candidate],
    limits: Limits,
    neighbours: &Neighbours,
    served: &Served,
) -> bool {
    let Some(wants) = candidates.iter().find(|c| c.uid == uid && !c.active) else {
        return false;
    };
    let mut tally = Tally::of(candidates, limits, neighbours);
    // What is refused now is refused after others were served, too.
    if !tally.admit(wants) {
        return false;
    }
    let mut lines = lines(candidates);
    let mut served: HashMap<&str, u64> = served.iter().map(|(n, at)| (n.as_str(), *at)).collect();
    let mut last = served.values().copied().max().unwrap_or_default();
    loop {
        let first = lines
            .iter()
            .filter_map(|(key, line)| Some((*key, *line.last()?)))
            .filter(|(_, next)| tally.admit(next))
            .min_by_key(|(_, next)| {
                let namespace = next.namespace.as_str();
                (tally.held(namespace), served.get(namespace), age(next))
            });
        let Some((key, next)) = first else {
            return false;
        };
        if next.uid == uid {
            return true;
        }
        tally.take(next);
        last += 1;
        served.insert(&next.namespace, last);
        if let Some(line) = lines.get_mut(&key) {
            line.pop();
        }
    }
}

/// Those that wait, by namespace and instance, the oldest last.
fn lines(candidates: &[Candidate]) -> BTreeMap<(&str, &str), Vec<&Candidate>> {
    let mut lines: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for candidate in candidates.iter().filter(|candidate| !candidate.active) {
        let key = (candidate.namespace.as_str(), candidate.instance.as_str());
        lines.entry(key).or_default().push(candidate);
    }
    for line in lines.values_mut() {
        line.sort_by(|a, b| age(b).cmp(&age(a)));
    }
    lines
}

fn age(candidate: &Candidate) -> (Option<jiff::Timestamp>, &str, &str) {
    (candidate.created, &candidate.name, &candidate.uid)
}

/// The slots of the operator, and of each instance.
struct Tally<'a> {
    overall: Share<'a>,
    by_instance: HashMap<&'a str, Share<'a>>,
}

/// Tally that have one limit.
struct Share<'a> {
    limit: usize,
    taken: usize,
    by_namespace: HashMap<&'a str, usize>,
    /// More than one namespace may want them.
    shared: bool,
}

impl<'a> Tally<'a> {
    fn of(candidates: &'a [Candidate], limits: Limits, neighbours: &Neighbours) -> Self {
        let mut neighbours = neighbours.clone();
        for candidate in candidates {
            neighbours.add(&candidate.instance, &candidate.namespace);
        }
        let share = |limit, namespaces: usize| Share {
            limit,
            taken: 0,
            by_namespace: HashMap::new(),
            shared: namespaces > 1,
        };
        let mut tally = Self {
            overall: share(limits.overall, neighbours.everywhere.len()),
            by_instance: HashMap::new(),
        };
        for candidate in candidates {
            let instance = candidate.instance.as_str();
            let namespaces = neighbours.by_instance.get(instance).map_or(0, HashSet::len);
            let here = tally.by_instance.entry(instance);
            here.or_insert_with(|| share(limits.per_instance, namespaces));
        }
        for candidate in candidates.iter().filter(|candidate| candidate.active) {
            tally.take(candidate);
        }
        tally
    }

    fn admit(&self, candidate: &Candidate) -> bool {
        let namespace = candidate.namespace.as_str();
        let here = self.by_instance.get(candidate.instance.as_str());
        self.overall.admits(namespace) && here.is_some_and(|here| here.admits(namespace))
    }

    fn held(&self, namespace: &str) -> usize {
        self.overall.held(namespace)
    }

    fn take(&mut self, candidate: &'a Candidate) {
        self.overall.take(&candidate.namespace);
        if let Some(here) = self.by_instance.get_mut(candidate.instance.as_str()) {
            here.take(&candidate.namespace);
        }
    }
}

impl<'a> Share<'a> {
    fn held(&self, namespace: &str) -> usize {
        self.by_namespace.get(namespace).copied().unwrap_or(0)
    }

    fn admits(&self, namespace: &str) -> bool {
        let free = self.limit.saturating_sub(self.taken);
        let held = self.held(namespace);
        free > 0 && (!self.shared || held < free)
    }

    fn take(&mut self, namespace: &'a str) {
        self.taken += 1;
        *self.by_namespace.entry(namespace).or_default() += 1;
    }
}

#[cfg(test)]
#[path = "slot_order_tests.rs"]
mod tests;
