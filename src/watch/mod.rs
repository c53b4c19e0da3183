//! Watching all objects of a kind, in all namespaces.
//!
//! Each watch stands for itself: one that fails backs off alone, says why at a rate that a person can read, and shows in
//! `/readyz` and in a metric. An object that cannot be read is named and passed over ([`unreadable`]); what else a list or an
//! event holds goes on.

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

mod cache;
mod failure;
mod unreadable;

use crate::backoff;
use crate::client::lenient::Readable;
use crate::health::Health;
use crate::telemetry::events::Events;
pub use cache::{read, until_read};
use unreadable::{Telling, UnreadableObjects};

/// Objects that are read at a time at the beginning. An object may have a megabyte and a half, and memory that was needed
/// once is not given back.
const PAGE: u32 = 10;
/// The pauses after failures in a row. Other teams wait for the last one when the API server is back.
const PAUSES: RangeInclusive<Duration> = Duration::from_millis(800)..=Duration::from_secs(10);

/// The events of a watch. It has no errors: they are recorded, and followed by another attempt.
pub type Stream<K> = BoxStream<'static, Result<Event<Readable<K>>, watcher::Error>>;

/// Watches objects for the leader, and says how that goes. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Watches {
    client: Client,
    health: Health,
    unreadable: UnreadableObjects,
    events: Events,
}

impl Watches {
    /// Watches by this client. `/readyz` shows how that goes; what cannot be read gets an Event.
    #[must_use]
    pub fn new(client: Client, health: Health, events: Events) -> Self {
        Self {
            client,
            health,
            unreadable: UnreadableObjects::default(),
            events,
        }
    }

    /// Watches all objects of a kind that `config` selects. `/readyz` waits for their first list from here on.
    #[must_use]
    pub fn objects<K>(&self, kind: &'static str, config: watcher::Config) -> Stream<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let api: Api<Readable<K>> = Api::all(self.client.clone());
        let page = config.page_size.unwrap_or(PAGE).min(PAGE);
        let source = watcher(api, config.page_size(page)).boxed();
        self.health.watching(kind);
        let watch = Watch {
            kind,
            health: self.health.clone(),
            telling: Telling::new(self.unreadable.clone(), self.events.clone()),
            pauses: PAUSES,
            failures: 0,
        };
        guarded(source, watch)
    }

    /// Each watch, and whether it fails now.
    #[must_use]
    pub fn failing(&self) -> Vec<(&'static str, bool)> {
        self.health.failing_watches()
    }

    /// How many objects of each kind that is watched cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> Vec<(&'static str, usize)> {
        self.unreadable.counts()
    }
}

fn guarded<K>(source: Stream<K>, watch: Watch) -> Stream<K>
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    let next = |(mut source, mut watch): (Stream<K>, Watch)| async move {
        loop {
            match source.next().await? {
                Ok(event) => {
                    watch.heard(&event);
                    return Some((Ok(event), (source, watch)));
                }
                Err(error) => sleep(watch.failed(&error)).await,
            }
        }
    };
    stream::unfold((source, watch), next).boxed()
}

/// What is noted of a watch as it goes on.
struct Watch {
    kind: &'static str,
    health: Health,
    telling: Telling,
    pauses: RangeInclusive<Duration>,
    failures: u32,
}

impl Watch {
    fn heard<K: Resource<DynamicType = ()>>(&mut self, event: &Event<Readable<K>>) {
        self.telling.hear(self.kind, event);
        match event {
            // It is about to ask, and has no answer yet.
            Event::Init => return,
            Event::InitDone => self.health.read(self.kind),
            Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
        }
        self.failures = 0;
        self.health.watch_works(self.kind);
    }

    /// Notes a failure. Returns the pause until the next attempt.
    fn failed(&mut self, error: &watcher::Error) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let why = failure::text(error);
        if let Some(count) = self
            .health
            .watch_failed(self.kind, why.clone(), Instant::now())
        {
            tracing::warn!(
                kind = self.kind,
                error = why,
                count,
                "cannot watch, trying again"
            );
        }
        backoff::delay_within(self.pauses.clone(), self.failures, rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Database;
    use futures::FutureExt;

    fn refused() -> watcher::Error {
        let status = kube::core::Status::default();
        watcher::Error::WatchError(Box::new(status))
    }

    fn watch(health: Health) -> Watch {
        Watch {
            kind: "Database",
            health,
            telling: Telling::silent(),
            pauses: Duration::from_millis(1)..=Duration::from_millis(100),
            failures: 0,
        }
    }

    #[tokio::test]
    async fn a_failure_is_followed_by_another_attempt_and_shows_in_the_probe() {
        let health = Health::new(Duration::from_secs(10));
        health.api_answered();
        health.watching("Database");
        let answers = [
            Ok(Event::Init),
            Err(refused()),
            Ok(Event::Init),
            Err(refused()),
            Ok(Event::Init),
            Ok(Event::InitDone),
        ];
        let source: Stream<Database> = stream::iter(answers).boxed();
        let mut events = guarded(source, watch(health.clone()));
        for _ in 0..3 {
            assert!(matches!(events.next().await, Some(Ok(Event::Init))));
            assert!(health.ready().is_err());
        }
        assert!(matches!(events.next().await, Some(Ok(Event::InitDone))));
        assert_eq!(health.ready(), Ok(()));
        assert!(
            events
                .next()
                .now_or_never()
                .is_some_and(|end| end.is_none())
        );
    }

    #[test]
    fn the_beginning_of_a_list_is_no_success() {
        let mut watch = watch(Health::new(Duration::from_secs(10)));
        let first = watch.failed(&refused());
        for _ in 0..10 {
            watch.heard::<Database>(&Event::Init);
            watch.failed(&refused());
        }
        assert!(watch.failed(&refused()) > first);
        watch.heard::<Database>(&Event::InitDone);
        assert!(watch.failed(&refused()) <= first * 2);
    }
}
