//! The Jobs of backups and their pods, as watches show them: their changes wake the Backup that they belong to.

use std::sync::{Arc, OnceLock};

use futures::{Stream, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};

use super::last_words::LastWords;
use crate::api::{BACKUP_LABEL, Backup};
use crate::client::lenient::Readable;
use crate::context::{Context, read};
use crate::controller::forget_managers;
use crate::error::Error;

/// What was heard of the Jobs of backups.
#[derive(Default)]
pub struct Work {
    jobs: OnceLock<Store<Job>>,
    pods: OnceLock<Store<Pod>>,
    last_words: LastWords,
}

/// Has a controller of Backups woken by their Jobs and pods.
pub fn attach(
    controller: Controller<Readable<Backup>>,
    context: &Arc<Context>,
) -> Controller<Readable<Backup>> {
    let (jobs, job_events) = watch::<Job>(context, |_| {});
    let listener = Arc::clone(context);
    let (pods, pod_events) = watch::<Pod>(context, move |event| {
        listener.backup.work.last_words.hear(event);
    });
    // Set once, before anything is read from them.
    let _ = context.backup.work.jobs.set(jobs);
    let _ = context.backup.work.pods.set(pods);
    let (for_jobs, for_pods) = (Arc::clone(context), Arc::clone(context));
    controller
        .watches_stream(job_events, move |job| woken(&for_jobs, &job))
        .watches_stream(pod_events, move |pod| woken(&for_pods, &pod))
}

type Events<K> = std::pin::Pin<Box<dyn Stream<Item = Result<K, watcher::Error>> + Send>>;

fn watch<K>(
    context: &Context,
    hear: impl Fn(&watcher::Event<K>) + Send + 'static,
) -> (Store<K>, Events<K>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    K: serde::de::DeserializeOwned,
{
    let (store, writer) = reflector::store();
    let labelled = watcher::Config::default().labels(BACKUP_LABEL);
    let events = watcher(Api::<K>::all(context.client.clone()), labelled)
        .default_backoff()
        .modify(forget_managers)
        .inspect_ok(hear)
        .reflect(writer)
        .touched_objects()
        .inspect_err(|error| tracing::debug!(%error, "watching the work of backups"));
    (store, Box::pin(events))
}

/// The Backup that an object is labelled with. What is remembered of it does not count any more.
fn woken<K: Resource<DynamicType = ()>>(
    context: &Context,
    object: &K,
) -> Option<ObjectRef<Readable<Backup>>> {
    let name = object.labels().get(BACKUP_LABEL)?;
    let key = ObjectRef::new(name).within(&object.namespace()?);
    let store = context.backups.get()?;
    let backup = store.get(&key)?;
    context
        .backup
        .memory
        .suspect(&backup.uid().unwrap_or_default());
    Some(key)
}

impl Work {
    /// Whether all Jobs and pods are known: before that nothing can be said of a pod that is not shown.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        read(self.jobs.get()).is_some() && read(self.pods.get()).is_some()
    }

    /// The Job of this name; the API server is asked where the watch does not show it. Client required then.
    pub async fn job(
        &self,
        context: &Context,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Job>, Error> {
        let key = ObjectRef::new(name).within(namespace);
        if let Some(job) = self.jobs.get().and_then(|store| store.get(&key)) {
            return Ok(Some(job.as_ref().clone()));
        }
        let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
        jobs.get_opt(name).await.map_err(Error::api("read the Job"))
    }

    /// The pod of a Backup's Job: the youngest, should there be several; where there is none any more, the one that ended.
    pub fn pod(&self, backup: &Backup, job: &str) -> Option<Pod> {
        let pods = self.pods.get().map(Store::state).unwrap_or_default();
        let of_the_job = |pod: &Pod| {
            pod.namespace() == backup.namespace()
                && pod
                    .owner_references()
                    .iter()
                    .any(|owner| owner.kind == "Job" && owner.name == job)
        };
        pods.iter()
            .filter(|pod| of_the_job(pod))
            .max_by_key(|pod| pod.creation_timestamp().map(|time| time.0))
            .map(|pod| pod.as_ref().clone())
            .or_else(|| self.last_words.find(of_the_job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_known_when_both_kinds_were_read() {
        let work = Work::default();
        let (jobs, mut read_jobs) = reflector::store::<Job>();
        let (pods, mut read_pods) = reflector::store::<Pod>();
        assert!(!work.is_ready(), "nothing is watched");
        let _ = (work.jobs.set(jobs), work.pods.set(pods));
        read_jobs.apply_watcher_event(&watcher::Event::InitDone);
        assert!(!work.is_ready(), "the Jobs are known, their pods are not");
        read_pods.apply_watcher_event(&watcher::Event::InitDone);
        assert!(work.is_ready());
    }
}
