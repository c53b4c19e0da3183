//! The objects that cannot be read: each is named once for each of its versions, in the log and as an Event on it, and counted
//! as long as it is there.
//!
//! A team that stores many of them, or changes one all the time, is told of a few a minute, so that what is said of others can
//! still be read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::events::{self, EventType};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use parking_lot::{Mutex, MutexGuard};

use crate::client::lenient::Readable;
use crate::telemetry::events::Events;

/// How many objects of a namespace are named in [`PERIOD`].
const NAMED: u32 = 5;
/// How long more than that are only counted.
const PERIOD: Duration = Duration::from_mins(1);

/// All objects that cannot be read. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct UnreadableObjects(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    kinds: BTreeMap<&'static str, OfKind>,
    /// How much was said of each namespace.
    said: HashMap<String, Said>,
}

/// Those of a kind.
#[derive(Debug, Default)]
struct OfKind {
    /// By namespace and name.
    objects: HashMap<(String, String), Seen>,
    /// How often all objects were listed.
    lists: u64,
}

#[derive(Debug)]
struct Seen {
    version: Option<String>,
    in_list: u64,
}

/// What was said of a namespace.
#[derive(Debug)]
struct Said {
    since: Instant,
    named: u32,
    unnamed: u64,
}

impl UnreadableObjects {
    /// How many there are of each kind that is watched.
    #[must_use]
    pub(super) fn counts(&self) -> Vec<(&'static str, usize)> {
        let known = self.lock();
        let kinds = known.kinds.iter();
        kinds
            .map(|(kind, all)| (*kind, all.objects.len()))
            .collect()
    }

    /// Takes down what a watch tells. Where it brought an object that cannot be read, and that is worth saying now, how many
    /// of its namespace were passed over in silence before.
    fn hear<K>(&self, kind: &'static str, event: &Event<Readable<K>>, now: Instant) -> Option<u64>
    where
        K: Resource<DynamicType = ()>,
    {
        let mut known = self.lock();
        let all = known.kinds.entry(kind).or_default();
        let is_news = match event {
            Event::Init => {
                all.lists += 1;
                false
            }
            Event::InitDone => {
                let lists = all.lists;
                all.objects.retain(|_, seen| seen.in_list == lists);
                false
            }
            Event::Delete(object) => {
                all.objects.remove(&place(object));
                false
            }
            Event::InitApply(object) | Event::Apply(object) => all.take_down(object),
        };
        let (Event::InitApply(object) | Event::Apply(object)) = event else {
            return None;
        };
        let namespace = object.namespace().unwrap_or_default();
        is_news.then(|| known.admit(namespace, now))?
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock()
    }
}

fn place(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

impl OfKind {
    /// Whether this version of an object cannot be read, and was not shown before.
    fn take_down<K: Resource<DynamicType = ()>>(&mut self, object: &Readable<K>) -> bool {
        // Most can be read, and nothing was ever said of them.
        if object.0.is_ok() && self.objects.is_empty() {
            return false;
        }
        let place = place(object);
        if object.0.is_ok() {
            self.objects.remove(&place);
            return false;
        }
        let seen = Seen {
            version: object.resource_version(),
            in_list: self.lists,
        };
        let version = seen.version.clone();
        let before = self.objects.insert(place, seen);
        before.is_none_or(|before| before.version != version)
    }
}

impl Known {
    /// Whether one more of a namespace is named now.
    fn admit(&mut self, namespace: String, now: Instant) -> Option<u64> {
        let over = |said: &Said| now.saturating_duration_since(said.since) >= PERIOD;
        // What was not named yet is kept until it is said.
        self.said.retain(|_, said| said.unnamed > 0 || !over(said));
        let said = self.said.entry(namespace).or_insert(Said {
            since: now,
            named: 0,
            unnamed: 0,
        });
        if over(said) {
            said.since = now;
            said.named = 0;
        }
        if said.named == NAMED {
            said.unnamed += 1;
            return None;
        }
        said.named += 1;
        Some(std::mem::take(&mut said.unnamed))
    }
}

/// Says which objects cannot be read.
#[derive(Clone)]
pub(super) struct Telling {
    known: UnreadableObjects,
    events: Option<Events>,
}

impl Telling {
    pub(super) fn new(known: UnreadableObjects, events: Events) -> Self {
        Self {
            known,
            events: Some(events),
        }
    }

    /// Reports the objects that a watch could not read.
    pub(super) fn hear<K>(&self, kind: &'static str, event: &Event<Readable<K>>)
    where
        K: Resource<DynamicType = ()>,
    {
        let Some(unnamed) = self.known.hear(kind, event, Instant::now()) else {
            return;
        };
        let (Event::InitApply(object) | Event::Apply(object)) = event else {
            return;
        };
        let Err(unreadable) = &object.0 else {
            return;
        };
        let namespace = object.namespace();
        tracing::error!(
            kind,
            namespace = namespace.as_deref().unwrap_or_default(),
            name = object.name_any(),
            error = %unreadable,
            unnamed,
            "an object cannot be read: it is left alone until it changes"
        );
        if namespace.is_some() {
            self.publish(object, &unreadable.to_string());
        }
    }

    /// As an Event on the object. The watch does not wait for that.
    fn publish<K: Resource<DynamicType = ()>>(&self, object: &Readable<K>, why: &str) {
        let Some(events) = self.events.clone() else {
            return;
        };
        let event = events::Event {
            type_: EventType::Warning,
            reason: "Unreadable".to_owned(),
            note: Some(format!(
                "db-operator cannot read this object, and leaves it alone until it changes: {why}"
            )),
            action: "Read".to_owned(),
            secondary: None,
        };
        let about = object.object_ref(&());
        tokio::spawn(async move {
            if let Err(error) = events.publish(&event, &about).await {
                tracing::debug!(%error, "an Event was not published");
            }
        });
    }
}

#[cfg(test)]
impl Telling {
    /// Says nothing to the cluster.
    pub(super) fn silent() -> Self {
        Self {
            known: UnreadableObjects::default(),
            events: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Database;
    use serde_json::json;

    fn object(name: &str, version: &str, readable: bool) -> Readable<Database> {
        let instance = if readable {
            json!({"name": "main"})
        } else {
            json!(5)
        };
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "team", "resourceVersion": version},
            "spec": {"instanceRef": instance},
        }))
        .unwrap()
    }

    fn hear(known: &UnreadableObjects, event: &Event<Readable<Database>>) -> bool {
        known.hear("Database", event, Instant::now()).is_some()
    }

    fn count(known: &UnreadableObjects) -> usize {
        known.counts()[0].1
    }

    #[test]
    fn each_version_is_news_once_and_what_can_be_read_again_does_not_count() {
        let known = UnreadableObjects::default();
        assert!(!hear(&known, &Event::Init));
        assert!(!hear(&known, &Event::InitApply(object("a", "1", true))));
        assert!(hear(&known, &Event::InitApply(object("b", "1", false))));
        assert!(!hear(&known, &Event::InitDone));
        assert!(!hear(&known, &Event::Apply(object("b", "1", false))));
        assert!(hear(&known, &Event::Apply(object("b", "2", false))));
        assert!(hear(&known, &Event::Apply(object("a", "2", false))));
        assert_eq!(count(&known), 2);
        assert!(!hear(&known, &Event::Apply(object("a", "3", true))));
        assert!(!hear(&known, &Event::Delete(object("b", "2", false))));
        assert_eq!(count(&known), 0);
    }

    #[test]
    fn another_list_is_no_news_and_forgets_what_is_gone() {
        let known = UnreadableObjects::default();
        for name in ["a", "b"] {
            assert!(hear(&known, &Event::Apply(object(name, "1", false))));
        }
        assert!(!hear(&known, &Event::Init));
        assert!(!hear(&known, &Event::InitApply(object("a", "1", false))));
        assert_eq!(count(&known), 2, "not before all were listed");
        assert!(!hear(&known, &Event::InitDone));
        assert_eq!(count(&known), 1);
    }

    #[test]
    fn a_namespace_with_many_is_told_of_a_few_a_minute_and_how_many_more() {
        let mut known = Known::default();
        let now = Instant::now();
        let said: Vec<_> = (0..8).map(|_| known.admit("a".to_owned(), now)).collect();
        let (named, rest) = said.split_at(usize::try_from(NAMED).unwrap());
        assert!(named.iter().all(|unnamed| *unnamed == Some(0)));
        assert!(rest.iter().all(Option::is_none));
        assert_eq!(known.admit("b".to_owned(), now), Some(0), "another team's");
        assert_eq!(known.admit("a".to_owned(), now + PERIOD), Some(3));
        assert_eq!(known.admit("a".to_owned(), now + PERIOD), Some(0));
        known.admit("c".to_owned(), now + PERIOD * 3);
        assert_eq!(
            known.said.len(),
            1,
            "nothing is kept for those who are quiet"
        );
    }
}
