//! How many backups may run, and which of them have a slot.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use super::slot_order::{Neighbours, Served, has_slot};

/// How many backups may run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Over all instances.
    pub overall: usize,
    /// On one instance.
    pub per_instance: usize,
}

/// A backup that has a slot, or wants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The Backup's UID.
    pub uid: String,
    /// The namespace of its Database, also where the Backup itself is in the operator's own.
    pub namespace: String,
    /// The instance that its Database is on.
    pub instance: String,
    /// The older one is first.
    pub created: Option<Timestamp>,
    /// Of those created in the same second, the first by name.
    pub name: String,
    /// It runs; otherwise its Database has named it, and it waits.
    pub active: bool,
}

/// The slots that this process gave away: what was just begun is not in any cache yet.
#[derive(Default)]
pub struct Slots(Mutex<Given>);

#[derive(Default)]
struct Given {
    /// Who has a slot, by the Backup's UID.
    held: HashMap<String, Held>,
    /// Backups that had one, could not start, and handed it back: their state alone would say that they have one.
    handed_back: HashSet<String>,
    /// When each namespace was last given one.
    served: Served,
    /// How often one was given.
    count: u64,
}

struct Held {
    namespace: String,
    instance: String,
    since: Instant,
}

/// How far a cache may be behind: what it does not show after this time is gone.
const BEHIND: Duration = Duration::from_mins(1);

impl Slots {
    /// Whether there would be a slot. `known` is what the cache shows.
    pub fn is_free(
        &self,
        wants: &Candidate,
        known: Vec<Candidate>,
        limits: Limits,
        neighbours: &Neighbours,
    ) -> bool {
        self.lock().is_free(wants, known, limits, neighbours)
    }

    /// Takes a slot, if there is one. `known` is what the cache shows.
    pub fn take(
        &self,
        wants: &Candidate,
        known: Vec<Candidate>,
        limits: Limits,
        neighbours: &Neighbours,
    ) -> bool {
        let mut given = self.lock();
        let free = given.is_free(wants, known, limits, neighbours);
        if free && !given.held.contains_key(&wants.uid) {
            given.hold(wants);
        }
        free
    }

    /// Whether a Backup that has begun has no slot: it handed it back.
    pub fn must_wait(&self, uid: &str) -> bool {
        self.lock().handed_back.contains(uid)
    }

    /// Gives a slot back until the Backup takes one again: it has begun and cannot go on.
    pub fn hand_back(&self, uid: &str) {
        let mut given = self.lock();
        given.held.remove(uid);
        given.handed_back.insert(uid.to_owned());
    }

    /// Frees a slot for good; returns whether there was one.
    pub fn give_back(&self, uid: &str) -> bool {
        let mut given = self.lock();
        given.handed_back.remove(uid);
        given.held.remove(uid).is_some()
    }

    /// Forgets the Backups and the namespaces that are not among these.
    pub fn keep_only(&self, uids: &HashSet<String>, namespaces: &HashSet<String>) {
        let mut given = self.lock();
        given.handed_back.retain(|uid| uids.contains(uid));
        given.served.retain(|name, _| namespaces.contains(name));
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.0.lock()
    }
}

impl Given {
    fn is_free(
        &mut self,
        wants: &Candidate,
        mut known: Vec<Candidate>,
        limits: Limits,
        neighbours: &Neighbours,
    ) -> bool {
        let shown: HashSet<&str> = known.iter().map(|c| c.uid.as_str()).collect();
        self.held
            .retain(|uid, held| held.since.elapsed() < BEHIND || shown.contains(uid.as_str()));
        if self.held.contains_key(&wants.uid) {
            return true;
        }
        let unseen: Vec<_> = self
            .held
            .iter()
            .filter(|(uid, _)| !shown.contains(uid.as_str()))
            .map(|(uid, held)| Candidate {
                uid: uid.clone(),
                namespace: held.namespace.clone(),
                instance: held.instance.clone(),
                created: None,
                name: String::new(),
                active: true,
            })
            .collect();
        let is_shown = shown.contains(wants.uid.as_str());
        // One that handed its slot back is nobody whom others wait for, until it asks itself.
        known.retain(|c| c.uid == wants.uid || !self.handed_back.contains(&c.uid));
        for candidate in &mut known {
            candidate.active |= self.held.contains_key(&candidate.uid);
            candidate.active &= candidate.uid != wants.uid;
        }
        known.extend(unseen);
        if !is_shown {
            known.push(wants.clone());
        }
        has_slot(&wants.uid, &known, limits, neighbours, &self.served)
    }

    fn hold(&mut self, wants: &Candidate) {
        self.count += 1;
        self.served.insert(wants.namespace.clone(), self.count);
        self.handed_back.remove(&wants.uid);
        let held = Held {
            namespace: wants.namespace.clone(),
            instance: wants.instance.clone(),
            since: Instant::now(),
        };
        self.held.insert(wants.uid.clone(), held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(uid: &str, namespace: &str, second: i64) -> Candidate {
        Candidate {
            uid: uid.to_owned(),
            namespace: namespace.to_owned(),
            instance: "one".to_owned(),
            created: Some(Timestamp::from_second(second).unwrap()),
            name: uid.to_owned(),
            active: false,
        }
    }

    const ONE: Limits = Limits {
        overall: 1,
        per_instance: 1,
    };

    fn nobody() -> Neighbours {
        Neighbours::default()
    }

    #[test]
    fn two_passes_cannot_take_the_last_slot() {
        let slots = Slots::default();
        let (a, b) = (candidate("a", "team", 1), candidate("b", "team", 2));
        let known = || vec![a.clone(), b.clone()];
        assert!(!slots.take(&b, known(), ONE, &nobody()));
        assert!(slots.is_free(&a, known(), ONE, &nobody()));
        assert!(slots.take(&a, known(), ONE, &nobody()));
        assert!(slots.take(&a, known(), ONE, &nobody()), "it has one");
        assert!(
            !slots.take(&b, vec![b.clone()], ONE, &nobody()),
            "a is not shown yet"
        );
        assert!(slots.give_back("a"));
        assert!(!slots.give_back("a"));
        assert!(slots.take(&b, vec![b.clone()], ONE, &nobody()));
    }

    #[test]
    fn one_that_cannot_start_waits_again_like_the_others() {
        let slots = Slots::default();
        let mut a = candidate("a", "team", 1);
        let b = candidate("b", "other", 2);
        assert!(slots.take(&a, vec![a.clone()], ONE, &nobody()));
        assert!(!slots.must_wait("a"));
        // Its status says by now that it has begun.
        a.active = true;
        slots.hand_back("a");
        assert!(slots.must_wait("a"));
        let known = || vec![a.clone(), b.clone()];
        assert!(slots.take(&b, known(), ONE, &nobody()));
        assert!(!slots.take(&a, known(), ONE, &nobody()));
        slots.give_back("b");
        assert!(slots.take(&a, vec![a.clone()], ONE, &nobody()));
        assert!(!slots.must_wait("a"));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let slots = Slots::default();
        let a = candidate("a", "team", 1);
        assert!(slots.take(&a, vec![a.clone()], ONE, &nobody()));
        slots.hand_back("a");
        slots.keep_only(&HashSet::new(), &HashSet::new());
        assert!(!slots.must_wait("a"));
        assert!(slots.lock().served.is_empty());
    }
}
