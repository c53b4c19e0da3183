//! When each Database was seen to be created, and gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use db_operator::api::{Database, DatabaseState};
use futures::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Error, Result};

/// Watches the Databases of a namespace until it is dropped.
pub(super) struct Timeline {
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    changes: watch::Receiver<()>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    created: Option<Instant>,
    gone: bool,
}

impl Timeline {
    pub(super) fn of(client: &Client, namespace: &str) -> Self {
        let api: Api<Database> = Api::namespaced(client.clone(), namespace);
        let seen: Arc<Mutex<HashMap<String, Seen>>> = Arc::default();
        let (sender, changes) = watch::channel(());
        let notes = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut events = watcher::watcher(api, watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(database) | Event::InitApply(database)) => {
                        note(&notes, &database, false);
                    }
                    Ok(Event::Delete(database)) => note(&notes, &database, true),
                    // The watcher begins again by itself.
                    Ok(Event::Init | Event::InitDone) | Err(_) => continue,
                }
                let _ = sender.send(());
            }
        });
        Self {
            seen,
            changes,
            task,
        }
    }

    /// When a Database was seen to be created; waits for it.
    pub(super) async fn created(&self, name: &str, within: Duration) -> Result<Instant> {
        let created = |seen: &HashMap<String, Seen>| seen.get(name).and_then(|seen| seen.created);
        self.until(&format!("{name} is CREATED"), within, created)
            .await
    }

    /// Waits until every Database whose name begins so was created, `count` of them.
    pub(super) async fn all_created(
        &self,
        prefix: &str,
        count: usize,
        within: Duration,
    ) -> Result<Instant> {
        let what = format!("{count} Databases {prefix}… are CREATED");
        self.until(&what, within, |seen| {
            let of_these = seen.iter().filter(|(name, _)| name.starts_with(prefix));
            let created: Vec<Instant> = of_these.filter_map(|(_, seen)| seen.created).collect();
            (created.len() >= count)
                .then(|| created.into_iter().max())
                .flatten()
        })
        .await
    }

    /// Waits until every Database whose name begins so is gone.
    pub(super) async fn all_gone(&self, prefix: &str, within: Duration) -> Result<()> {
        let what = format!("all Databases {prefix}… are gone");
        self.until(&what, within, |seen| {
            let mut of_these = seen.iter().filter(|(name, _)| name.starts_with(prefix));
            of_these.all(|(_, seen)| seen.gone).then_some(())
        })
        .await
    }

    /// How many Databases there are.
    pub(super) fn held(&self) -> usize {
        let seen = self.seen.lock();
        seen.values().filter(|seen| !seen.gone).count()
    }

    async fn until<T>(
        &self,
        what: &str,
        within: Duration,
        look: impl Fn(&HashMap<String, Seen>) -> Option<T>,
    ) -> Result<T> {
        let mut changes = self.changes.clone();
        let found = async {
            loop {
                changes.mark_unchanged();
                let found = look(&self.seen.lock());
                match found {
                    Some(found) => return Ok(found),
                    None => changes
                        .changed()
                        .await
                        .map_err(Error::trial("watch the Databases"))?,
                }
            }
        };
        tokio::time::timeout(within, found)
            .await
            .map_err(|_| Error::Timeout {
                what: what.to_owned(),
                seconds: within.as_secs(),
                tail: String::new(),
            })?
    }
}

fn note(notes: &Mutex<HashMap<String, Seen>>, database: &Database, gone: bool) {
    let mut notes = notes.lock();
    let seen = notes.entry(database.name_any()).or_default();
    seen.gone = gone;
    if database.state() == Some(DatabaseState::Created) && seen.created.is_none() {
        seen.created = Some(Instant::now());
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.task.abort();
    }
}
