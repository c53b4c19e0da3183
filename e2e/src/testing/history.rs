//! Everything that an object was, one version after the other.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{WatchEvent, WatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, ResourceExt};
use parking_lot::{Mutex, MutexGuard};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use super::eventually;

/// How far a watch may lag behind.
const LIMIT: Duration = Duration::from_secs(20);

/// The versions of an object from the moment on that it was asked for.
pub struct History<K> {
    api: Api<K>,
    name: String,
    seen: Arc<Mutex<Vec<K>>>,
    task: JoinHandle<()>,
}

impl<K> History<K>
where
    K: kube::Resource<Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    /// Begins to watch; the object need not be there yet.
    pub async fn of(api: &Api<K>, name: &str) -> Self {
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let mut events = api.watch(&params, "0").await.unwrap().boxed();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let (watched, name) = (api.clone(), name.to_owned());
        let task = tokio::spawn(async move {
            let mut version = "0".to_owned();
            loop {
                while let Some(event) = events.try_next().await.unwrap() {
                    if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                        version = object.resource_version().unwrap_or(version);
                        lock(&kept).push(object);
                    }
                }
                // The API server ends a watch after a few minutes.
                events = watched.watch(&params, &version).await.unwrap().boxed();
            }
        });
        Self {
            api: api.clone(),
            name,
            seen,
            task,
        }
    }

    /// What each version until now shows, without repetitions.
    pub async fn steps<T: PartialEq>(&self, of: impl Fn(&K) -> T) -> Vec<T> {
        self.catch_up().await;
        let mut steps: Vec<T> = lock(&self.seen).iter().map(of).collect();
        steps.dedup();
        steps
    }

    /// Waits until the watch has shown what the object is now: it tells a little later than a request does.
    async fn catch_up(&self) {
        let Some(now) = self.api.get_opt(&self.name).await.unwrap() else {
            return;
        };
        let newest = now.resource_version();
        eventually("the watch shows the newest version", LIMIT, async || {
            let seen = lock(&self.seen);
            let is_seen = seen.iter().any(|it| it.resource_version() == newest);
            is_seen
                .then_some(())
                .ok_or_else(|| format!("{} versions", seen.len()))
        })
        .await;
    }
}

impl<K> Drop for History<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<K>(seen: &Mutex<Vec<K>>) -> MutexGuard<'_, Vec<K>> {
    seen.lock()
}
