//! Watches backup Jobs and their pods: a change triggers the Backup that they belong to.

use std::sync::{Arc, OnceLock};

use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use kube::core::ObjectMeta;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};

use super::ended_pods::EndedPods;
use super::name;
use super::objects::{Job, Pod, controller_uid};
use crate::api::{BACKUP_LABEL, Backup};
use crate::client::ApiError;
use crate::client::lenient::Readable;
use crate::watch::{Watches, read, until_read};

/// Objects that are read at a time at the beginning. What is kept of one is small, but all of a page is in memory for a
/// moment, and a team decides how large its Jobs and pods are.
const PAGE: u32 = 4;

/// What was heard of the Jobs of backups.
#[derive(Default)]
pub struct Work {
    jobs: OnceLock<Store<Job>>,
    pods: OnceLock<Store<Pod>>,
    ended_pods: EndedPods,
}

/// Has a controller of Backups woken by their Jobs and pods. `invalidate` hears the UID of each Backup that is woken.
pub fn attach(
    controller: Controller<Readable<Backup>>,
    watches: &Watches,
    work: &Arc<Work>,
    invalidate: impl Fn(&str) + Clone + Send + Sync + 'static,
) -> Controller<Readable<Backup>> {
    let backups = controller.store();
    let (jobs, job_events) = watch::<Job>(watches, &backups, |_| {});
    let listener = Arc::clone(work);
    let (pods, pod_events) = watch::<Pod>(watches, &backups, move |event| {
        listener.ended_pods.hear(event);
    });
    // Set once, before anything is read from them.
    let _ = work.jobs.set(jobs);
    let _ = work.pods.set(pods);
    let (by_job, by_pod) = (
        woken(backups.clone(), invalidate.clone()),
        woken(backups, invalidate),
    );
    controller
        .watches_stream(job_events, move |job: Job| by_job(&job.metadata))
        .watches_stream(pod_events, move |pod: Pod| by_pod(&pod.metadata))
}

type Events<K> = std::pin::Pin<Box<dyn Stream<Item = Result<K, watcher::Error>> + Send>>;

/// Work of a backup, as a watch shows it.
trait Watched:
    Resource<DynamicType = ()> + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static
{
    /// The kind, as metrics and logs name it.
    const KIND: &'static str;

    /// Whether it may be the work of this Backup. Whether it is, only its UID says.
    fn may_be_of(&self, backup: &Backup) -> bool;

    /// What is known of one that cannot be read.
    fn named(metadata: ObjectMeta) -> Self;
}

impl Watched for Job {
    const KIND: &'static str = "Job";

    fn may_be_of(&self, backup: &Backup) -> bool {
        self.metadata.name.as_deref() == Some(&name(backup))
    }

    fn named(metadata: ObjectMeta) -> Self {
        Self {
            metadata,
            ..Self::default()
        }
    }
}

impl Watched for Pod {
    const KIND: &'static str = "Pod";

    fn may_be_of(&self, backup: &Backup) -> bool {
        let name = name(backup);
        self.owner_references()
            .iter()
            .any(|owner| owner.kind == "Job" && owner.name == name)
    }

    fn named(metadata: ObjectMeta) -> Self {
        Self {
            metadata,
            ..Self::default()
        }
    }
}

/// The objects of a kind that belong to a Backup, and the changes of what is kept of them.
fn watch<K>(
    watches: &Watches,
    backups: &Store<Readable<Backup>>,
    hear: impl Fn(&watcher::Event<K>) + Send + 'static,
) -> (Store<K>, Events<K>)
where
    K: Watched + serde::de::DeserializeOwned,
{
    let (store, writer) = reflector::store();
    let labelled = watcher::Config::default()
        .labels(BACKUP_LABEL)
        .page_size(PAGE);
    let source = watches.objects::<K>(K::KIND, labelled);
    let (owners, backups) = (backups.clone(), backups.clone());
    // What no Backup is known for is not kept: so they are known first.
    let known = async move {
        until_read(&backups).await;
        None
    };
    let seen = store.clone();
    let events = stream::once(known)
        .chain(source.map(Some))
        .filter_map(future::ready)
        .try_filter_map(|event| future::ready(Ok(kept(event))))
        .try_filter(move |event| future::ready(concerns(&owners, &seen, event)))
        .inspect_ok(hear)
        .reflect(writer)
        .touched_objects();
    (store, Box::pin(events))
}

/// An event without what cannot be read, which the watch has named. A version is not kept: it changes with every label and
/// annotation, which nothing here depends on.
fn kept<K: Watched>(event: watcher::Event<Readable<K>>) -> Option<watcher::Event<K>> {
    let without_version = |mut object: K| {
        object.meta_mut().resource_version = None;
        object
    };
    Some(match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::InitApply(object) => {
            watcher::Event::InitApply(without_version(object.0.ok()?))
        }
        watcher::Event::Apply(object) => watcher::Event::Apply(without_version(object.0.ok()?)),
        watcher::Event::Delete(Readable(Ok(object))) => {
            watcher::Event::Delete(without_version(object))
        }
        watcher::Event::Delete(Readable(Err(odd))) => {
            watcher::Event::Delete(without_version(K::named(odd.metadata)))
        }
    })
}

/// Whether an event is about the work of a Backup, and says anything new of it.
fn concerns<K: Watched>(
    backups: &Store<Readable<Backup>>,
    seen: &Store<K>,
    event: &watcher::Event<K>,
) -> bool {
    let object = match event {
        watcher::Event::Init | watcher::Event::InitDone | watcher::Event::Delete(_) => return true,
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) => object,
    };
    let is_first_list = matches!(event, watcher::Event::InitApply(_));
    if let Some(known) = seen
        .get(&ObjectRef::from_obj(object))
        .filter(|_| !is_first_list)
    {
        return *known != *object;
    }
    let backup = key_of(object.meta()).and_then(|key| backups.get(&key));
    let backup = backup.as_ref().and_then(|guarded| guarded.ok());
    backup.is_some_and(|backup| object.may_be_of(backup))
}

/// The Backup that an object is labelled with.
fn key_of(object: &ObjectMeta) -> Option<ObjectRef<Readable<Backup>>> {
    let name = object.labels.as_ref()?.get(BACKUP_LABEL)?;
    Some(ObjectRef::new(name).within(object.namespace.as_ref()?))
}

/// From an object to the Backup that it is labelled with, which `invalidate` hears of.
fn woken(
    backups: Store<Readable<Backup>>,
    invalidate: impl Fn(&str) + Send + Sync + 'static,
) -> impl Fn(&ObjectMeta) -> Option<ObjectRef<Readable<Backup>>> + Send + Sync + 'static {
    move |object| {
        let key = key_of(object)?;
        let backup = backups.get(&key)?;
        invalidate(&backup.uid().unwrap_or_default());
        Some(key)
    }
}

impl Work {
    /// Whether all Jobs and pods are known: before that nothing can be said of a pod that is not shown.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.jobs.get().and_then(read).is_some() && self.pods.get().and_then(read).is_some()
    }

    /// The Job of this name and UID; the API server is asked where the watch does not show it. Client required then.
    pub async fn job(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Option<Job>, ApiError> {
        let is_it = |job: &Job| job.metadata.uid.as_deref() == Some(uid);
        let key = ObjectRef::new(name).within(namespace);
        let shown = self.jobs.get().and_then(|store| store.get(&key));
        if let Some(job) = shown.filter(|job| is_it(job)) {
            return Ok(Some(job.as_ref().clone()));
        }
        let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
        let found = jobs.get_opt(name).await;
        Ok(found.map_err(ApiError::of("read the Job"))?.filter(is_it))
    }

    /// The pod that a Job controls: the youngest, should there be several; where there is none any more, the one that
    /// ended. Whose name or label a pod bears says nothing: a team can write both.
    pub fn pod(&self, job_uid: &str) -> Option<Pod> {
        let pods = self.pods.get().map(Store::state).unwrap_or_default();
        pods.iter()
            .filter(|pod| controller_uid(pod.as_ref()) == Some(job_uid))
            .max_by_key(|pod| pod.creation_timestamp().map(|time| time.0))
            .map(|pod| pod.as_ref().clone())
            .or_else(|| self.ended_pods.find(job_uid))
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

    fn pod(uid: &str, owner: &serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": uid, "namespace": "n", "uid": uid, "ownerReferences": [owner],
                         "labels": {"db-operator.dev/backup": "b"}},
            "status": {"phase": "Succeeded"},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_a_jobs_by_its_controllers_uid_alone() {
        let owner = |kind: &str, uid: &str, controller: bool| {
            serde_json::json!({"apiVersion": "batch/v1", "kind": kind, "name": "backup-u", "uid": uid,
                               "controller": controller})
        };
        let work = Work::default();
        let (pods, mut read_pods) = reflector::store::<Pod>();
        let _ = work.pods.set(pods);
        for (name, owner) in [
            ("posing", owner("Job", "job", false)),
            ("former", owner("Job", "other", true)),
        ] {
            read_pods.apply_watcher_event(&watcher::Event::Apply(pod(name, &owner)));
        }
        assert_eq!(work.pod("job").map(|pod| pod.name_any()), None);
        let own = pod("own", &owner("Job", "job", true));
        read_pods.apply_watcher_event(&watcher::Event::Apply(own));
        assert_eq!(
            work.pod("job").map(|pod| pod.name_any()).as_deref(),
            Some("own")
        );
    }

    #[test]
    fn work_is_a_backups_by_the_name_that_ours_would_have() {
        let backup: Backup = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "b", "namespace": "n", "uid": "u"}, "spec": {"databaseRef": {"name": "d"}},
        }))
        .unwrap();
        let job = |name: &str| -> Job {
            serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap()
        };
        assert!(job("backup-u").may_be_of(&backup));
        assert!(!job("backup-v").may_be_of(&backup));
        let of = |kind: &str, name: &str| {
            let owner = serde_json::json!({"apiVersion": "batch/v1", "kind": kind, "name": name, "uid": "x",
                                           "controller": true});
            pod("p", &owner).may_be_of(&backup)
        };
        assert!(of("Job", "backup-u"));
        assert!(!of("Job", "own") && !of("ReplicaSet", "backup-u"));
    }
}
