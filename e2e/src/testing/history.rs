//! Everything that an object was, one version after the other.

use std::fmt::Debug;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use kube::api::{WatchEvent, WatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, ResourceExt};
use parking_lot::{Mutex, MutexGuard};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

/// The versions of an object from the moment on that it was asked for.
pub struct History<K> {
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
        let api = api.clone();
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
                events = api.watch(&params, &version).await.unwrap().boxed();
            }
        });
        Self { seen, task }
    }

    /// What each version shows, without repetitions.
    pub fn steps<T: PartialEq>(&self, of: impl Fn(&K) -> T) -> Vec<T> {
        let mut steps: Vec<T> = lock(&self.seen).iter().map(of).collect();
        steps.dedup();
        steps
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
