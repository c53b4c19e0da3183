//! Watches the Jobs of a kind and their pods: a change triggers the object that they belong to.

use std::sync::{Arc, OnceLock};

use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use kube::core::ObjectMeta;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};

use super::ended_pods::EndedPods;
use super::objects::{Job, Pod, controller_uid};
use super::owner::{HasJobs, Kind, is_name_of};
use crate::client::ApiError;
use crate::client::lenient::Readable;
use crate::watch::{Watches, read, until_read};

/// Objects that are read at a time at the beginning. What is kept of one is small, but all of a page is in memory for a
/// moment, and a team decides how large its Jobs and pods are.
const PAGE: u32 = 4;

/// What was heard of the Jobs of a kind.
#[derive(Default)]
pub struct Work {
    jobs: OnceLock<Store<Job>>,
    pods: OnceLock<Store<Pod>>,
    ended_pods: EndedPods,
}

/// What is asked of a kind here besides its Jobs.
pub trait Owning:
    HasJobs + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static
{
}

impl<O> Owning for O where
    O: HasJobs + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static
{
}

/// Has a controller of a kind woken by its Jobs and pods. `invalidate` hears the UID of each object that is woken.
pub fn attach<O: Owning>(
    controller: Controller<Readable<O>>,
    watches: &Watches,
    work: &Arc<Work>,
    invalidate: impl Fn(&str) + Clone + Send + Sync + 'static,
) -> Controller<Readable<O>> {
    let owners = controller.store();
    let (jobs, job_events) = watch::<Job, O>(watches, &owners, |_| {});
    let listener = Arc::clone(work);
    let (pods, pod_events) = watch::<Pod, O>(watches, &owners, move |event| {
        listener.ended_pods.hear(event);
    });
    // Set once, before anything is read from them.
    let _ = work.jobs.set(jobs);
    let _ = work.pods.set(pods);
    let (by_job, by_pod) = (
        woken(owners.clone(), invalidate.clone()),
        woken(owners, invalidate),
    );
    controller
        .watches_stream(job_events, move |job: Job| by_job(&job.metadata))
        .watches_stream(pod_events, move |pod: Pod| by_pod(&pod.metadata))
}

type Events<K> = std::pin::Pin<Box<dyn Stream<Item = Result<K, watcher::Error>> + Send>>;

/// Work of an object, as a watch shows it.
trait Watched:
    Resource<DynamicType = ()> + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static
{
    /// What it is that does the work for this kind, as metrics and logs name it.
    fn called(kind: Kind) -> &'static str;

    /// Whether it may be the work of the object with this UID. Whether it is, only its own UID says.
    fn may_be_of(&self, kind: Kind, uid: &str) -> bool;

    /// What is known of one that cannot be read.
    fn named(metadata: ObjectMeta) -> Self;
}

impl Watched for Job {
    fn called(kind: Kind) -> &'static str {
        match kind {
            Kind::Backup => "Job",
            Kind::Restore => "RestoreJob",
        }
    }

    fn may_be_of(&self, kind: Kind, uid: &str) -> bool {
        self.metadata
            .name
            .as_deref()
            .is_some_and(|name| is_name_of(kind, uid, name))
    }

    fn named(metadata: ObjectMeta) -> Self {
        Self {
            metadata,
            ..Self::default()
        }
    }
}

impl Watched for Pod {
    fn called(kind: Kind) -> &'static str {
        match kind {
            Kind::Backup => "Pod",
            Kind::Restore => "RestorePod",
        }
    }

    fn may_be_of(&self, kind: Kind, uid: &str) -> bool {
        self.owner_references()
            .iter()
            .any(|owner| owner.kind == "Job" && is_name_of(kind, uid, &owner.name))
    }

    fn named(metadata: ObjectMeta) -> Self {
        Self {
            metadata,
            ..Self::default()
        }
    }
}

/// The Jobs or pods of a kind's objects, and the changes of what is kept of them.
fn watch<K, O>(
    watches: &Watches,
    owners: &Store<Readable<O>>,
    hear: impl Fn(&watcher::Event<K>) + Send + 'static,
) -> (Store<K>, Events<K>)
where
    K: Watched + serde::de::DeserializeOwned,
    O: Owning,
{
    let (store, writer) = reflector::store();
    let labelled = watcher::Config::default()
        .labels(O::KIND.label())
        .page_size(PAGE);
    let source = watches.objects::<K>(K::called(O::KIND), labelled);
    let (owners, first) = (owners.clone(), owners.clone());
    // What no owner is known for is not kept: so they are known first.
    let known = async move {
        until_read(&first).await;
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

/// Whether an event is about the work of an object of the kind, and says anything new of it.
fn concerns<K: Watched, O: Owning>(
    owners: &Store<Readable<O>>,
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
    let owner = key_of(object.meta()).and_then(|key| owners.get(&key));
    let owner = owner.as_ref().and_then(|guarded| guarded.ok());
    owner.is_some_and(|owner| object.may_be_of(O::KIND, &owner.uid().unwrap_or_default()))
}

/// The object of the kind that a Job or pod is labelled with.
fn key_of<O: Owning>(object: &ObjectMeta) -> Option<ObjectRef<Readable<O>>> {
    let name = object.labels.as_ref()?.get(O::KIND.label())?;
    Some(ObjectRef::new(name).within(object.namespace.as_ref()?))
}

/// From a Job or pod to the object that it is labelled with, which `invalidate` hears of.
fn woken<O: Owning>(
    owners: Store<Readable<O>>,
    invalidate: impl Fn(&str) + Send + Sync + 'static,
) -> impl Fn(&ObjectMeta) -> Option<ObjectRef<Readable<O>>> + Send + Sync + 'static {
    move |object| {
        let key = key_of(object)?;
        let owner = owners.get(&key)?;
        invalidate(&owner.uid().unwrap_or_default());
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
    fn work_is_an_objects_by_the_name_that_ours_would_have() {
        let job = |name: &str| -> Job {
            serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap()
        };
        let of = |kind: &str, name: &str| {
            let owner = serde_json::json!({"apiVersion": "batch/v1", "kind": kind, "name": name, "uid": "x",
                                           "controller": true});
            pod("p", &owner)
        };
        for (kind, noun) in [(Kind::Backup, "backup"), (Kind::Restore, "restore")] {
            let is_job = |name: &str| job(&format!("{noun}-{name}")).may_be_of(kind, "u");
            let is_pod = |of_kind: &str, name: &str| {
                of(of_kind, &format!("{noun}-{name}")).may_be_of(kind, "u")
            };
            assert!(is_job("u") && !is_job("v"));
            assert!(is_pod("Job", "u"));
            // Of a further attempt, which the copy of the object may not know of yet.
            assert!(is_pod("Job", "u-2") && is_job("u-2"));
            assert!(!is_pod("Job", "u-x") && !is_pod("Job", "u2"));
            assert!(!is_pod("ReplicaSet", "u"));
            assert!(!of("Job", "own").may_be_of(kind, "u"));
        }
        assert!(!job("backup-u").may_be_of(Kind::Restore, "u"));
    }
}
