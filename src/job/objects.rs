//! Jobs and pods as the operator caches them: only the fields that decisions depend on.
//!
//! A team may make Jobs and pods with the label of a backup or a restore, as large as the API server takes them. What is not here is
//! skipped while an object is read, and every text and list has a limit, so that none of them is large in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::{batch, core};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};

use super::pod::find_main;
use crate::api::{BACKUP_LABEL, RESTORE_LABEL};

/// Bytes of a text that are kept: a little more than a kubelet passes on of a termination message.
const TEXT: usize = 4_200;
/// Items of a list that are kept.
const ITEMS: usize = 32;

/// A Job.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct Job {
    /// Name, UID, times, the label of its owner, its controller, finalizers.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// The memory limit of the container that dumps or loads, as Kubernetes writes it.
    #[serde(default, rename = "spec", deserialize_with = "memory_limit")]
    pub memory_limit: Option<String>,
    /// How far it is.
    pub status: Option<JobStatus>,
}

/// How far a Job is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct JobStatus {
    /// Whether it has ended, and how.
    #[serde(default, deserialize_with = "items")]
    pub conditions: Option<Vec<Condition>>,
}

/// A pod.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct Pod {
    /// Name, UID, times, the label of its owner, its controller.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// How far it is.
    pub status: Option<PodStatus>,
}

/// How far a pod is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    #[serde(default, deserialize_with = "text")]
    pub phase: Option<String>,
    /// Why it is so, in a word.
    #[serde(default, deserialize_with = "text")]
    pub reason: Option<String>,
    /// Why it is so, for people.
    #[serde(default, deserialize_with = "text")]
    pub message: Option<String>,
    /// Scheduled, initialized, disrupted.
    #[serde(default, deserialize_with = "items")]
    pub conditions: Option<Vec<Condition>>,
    /// Its containers.
    #[serde(default, deserialize_with = "items")]
    pub container_statuses: Option<Vec<ContainerStatus>>,
    /// Its init containers.
    #[serde(default, deserialize_with = "items")]
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
}

/// A condition of a Job or a pod.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Of what.
    #[serde(default, rename = "type", deserialize_with = "word")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default, deserialize_with = "word")]
    pub status: String,
    /// Why, in a word.
    #[serde(default, deserialize_with = "text")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, deserialize_with = "text")]
    pub message: Option<String>,
    /// Since when.
    #[serde(default, deserialize_with = "time")]
    pub last_transition_time: Option<Time>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct ContainerStatus {
    /// Its name.
    #[serde(default, deserialize_with = "word")]
    pub name: String,
    /// Its image.
    #[serde(default, deserialize_with = "word")]
    pub image: String,
    /// Whether it waits, runs or has ended.
    pub state: Option<ContainerState>,
}

/// Whether a container waits, runs or has ended: one of them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct ContainerState {
    /// It waits.
    pub waiting: Option<Waiting>,
    /// It runs.
    pub running: Option<Running>,
    /// It has ended.
    pub terminated: Option<Terminated>,
}

/// A container that waits.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct Waiting {
    /// Why, in a word.
    #[serde(default, deserialize_with = "text")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, deserialize_with = "text")]
    pub message: Option<String>,
}

/// A container that runs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Since when.
    #[serde(default, deserialize_with = "time")]
    pub started_at: Option<Time>,
}

/// A container that has ended.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Terminated {
    /// Its exit status.
    #[serde(default)]
    pub exit_code: i32,
    /// Why, in a word.
    #[serde(default, deserialize_with = "text")]
    pub reason: Option<String>,
    /// What it left as its last words.
    #[serde(default, deserialize_with = "text")]
    pub message: Option<String>,
    /// When.
    #[serde(default, deserialize_with = "time")]
    pub finished_at: Option<Time>,
}

/// What is read of a Job's spec; nothing of it is kept but one amount.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    template: Option<Box<Template>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: Option<PodSpec>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    #[serde(deserialize_with = "items")]
    containers: Option<Vec<Container>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    #[serde(deserialize_with = "word")]
    name: String,
    resources: Option<Resources>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    limits: Option<Limits>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Limits {
    #[serde(deserialize_with = "text")]
    memory: Option<String>,
}

fn memory_limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let template = Option::<Spec>::deserialize(from)?.and_then(|spec| spec.template);
    let containers = template.and_then(|template| template.spec?.containers);
    let containers = containers.unwrap_or_default();
    let main = find_main(|name| {
        containers
            .iter()
            .position(|container| container.name == name)
    });
    let main = main.and_then(|index| containers.into_iter().nth(index));
    Ok(main.and_then(|container| container.resources?.limits?.memory))
}

/// What is kept of the metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    #[serde(deserialize_with = "time")]
    creation_timestamp: Option<Time>,
    #[serde(deserialize_with = "time")]
    deletion_timestamp: Option<Time>,
    labels: Option<Labels>,
    #[serde(deserialize_with = "items")]
    finalizers: Option<Vec<String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

/// The labels that count.
#[derive(Deserialize)]
struct Labels {
    #[serde(rename = "db-operator.dev/backup")]
    backup: Option<String>,
    #[serde(rename = "db-operator.dev/restore")]
    restore: Option<String>,
}

fn metadata<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    let read = Metadata::deserialize(from)?;
    let labels = read.labels.map(|labels| {
        [
            (BACKUP_LABEL, labels.backup),
            (RESTORE_LABEL, labels.restore),
        ]
        .into_iter()
        .filter_map(|(label, name)| Some((label.to_owned(), name?)))
        .collect()
    });
    let controllers = read.owner_references.map(|owners| {
        let controller = |owner: &OwnerReference| owner.controller == Some(true);
        let mut owners: Vec<_> = owners.into_iter().filter(controller).take(1).collect();
        for owner in &mut owners {
            owner.name = cut(std::mem::take(&mut owner.name));
        }
        owners.shrink_to_fit();
        owners
    });
    Ok(ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        labels: labels.filter(|labels: &BTreeMap<_, _>| !labels.is_empty()),
        finalizers: read.finalizers,
        owner_references: controllers,
        ..ObjectMeta::default()
    })
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(cut))
}

fn word<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(cut)
}

/// A text that is not longer than [`TEXT`].
fn cut(mut text: String) -> String {
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.shrink_to_fit();
    }
    text
}

/// A time; `None` if it cannot be read.
fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text
        .and_then(|text| text.parse::<Timestamp>().ok())
        .map(Time))
}

/// The first of a list.
fn items<'de, D, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Option::<Vec<T>>::deserialize(from)?;
    Ok(list.map(|mut list| {
        if list.len() > ITEMS {
            list.truncate(ITEMS);
            list.shrink_to_fit();
        }
        list
    }))
}

macro_rules! is_what_the_api_server_calls {
    ($kind:ty, $whole:ty) => {
        impl Resource for $kind {
            type DynamicType = ();
            type Scope = kube::core::NamespaceResourceScope;

            fn kind(_: &()) -> Cow<'_, str> {
                <$whole>::kind(&())
            }

            fn group(_: &()) -> Cow<'_, str> {
                <$whole>::group(&())
            }

            fn version(_: &()) -> Cow<'_, str> {
                <$whole>::version(&())
            }

            fn plural(_: &()) -> Cow<'_, str> {
                <$whole>::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

is_what_the_api_server_calls!(Job, batch::v1::Job);
is_what_the_api_server_calls!(Pod, core::v1::Pod);

/// The UID of an object's controller; owners that are not the controller, and names, do not count.
#[must_use]
pub fn controller_uid<K: Resource>(object: &K) -> Option<&str> {
    let owners = object
        .meta()
        .owner_references
        .as_deref()
        .unwrap_or_default();
    owners
        .iter()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_a_large_object_little_is_kept() {
        let long = "x".repeat(1 << 20);
        let many: Vec<_> = (0..1_000)
            .map(|n| json!({"name": format!("c{n}"), "image": long.get(..1_000)}))
            .collect();
        let owner = |uid: &str, controller: bool| json!({"apiVersion": "batch/v1", "kind": "Job", "name": long, "uid": uid, "controller": controller});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "p", "uid": "u", "annotations": {"a": long},
                "labels": {"db-operator.dev/backup": "b", "other": "x"},
                "managedFields": [{"manager": "m", "time": "9999-12-31T23:59:59Z"}],
                "ownerReferences": [owner("o", false), owner("c", true)],
            },
            "spec": {"containers": [{"name": "c", "args": [long]}]},
            "status": {"phase": "Failed", "message": long, "containerStatuses": many},
        }))
        .unwrap();
        assert_eq!(pod.metadata.labels.as_ref().unwrap().len(), 1);
        assert_eq!(controller_uid(&pod), Some("c"));
        assert_eq!(pod.metadata.annotations, None);
        assert_eq!(pod.metadata.managed_fields, None);
        let status = pod.status.unwrap();
        assert_eq!(status.message.unwrap().len(), TEXT);
        assert_eq!(status.container_statuses.unwrap().len(), ITEMS);
    }

    #[test]
    fn of_a_jobs_spec_one_limit_is_kept() {
        let limit = |containers: serde_json::Value| {
            let job = json!({"spec": {"completions": 1, "template": {"spec": {"containers": containers}}}});
            let job: Job = serde_json::from_value(job).unwrap();
            job.memory_limit
        };
        let container = |name: &str| json!({"name": name, "image": "i", "resources": {"limits": {"cpu": "1", "memory": "300Mi"}}});
        assert_eq!(limit(json!([container("other")])), None);
        assert_eq!(limit(json!([{"name": "dump"}])), None);
        let all = json!([container("other"), container("dump")]);
        assert_eq!(limit(all).as_deref(), Some("300Mi"));
        assert_eq!(limit(json!(null)), None);
    }

    #[test]
    fn a_time_that_is_none_for_us_does_not_hide_the_object() {
        let job: Job = serde_json::from_value(json!({
            "metadata": {"name": "j", "creationTimestamp": "9999-12-31T23:59:59Z",
                         "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "soon"}]},
        }))
        .unwrap();
        assert_eq!(job.metadata.creation_timestamp, None);
        assert!(job.metadata.deletion_timestamp.is_some());
        let condition = &job.status.unwrap().conditions.unwrap()[0];
        assert_eq!(condition.last_transition_time, None);
    }

    #[test]
    fn an_owner_that_is_no_controller_does_not_count() {
        let owned = |controller: serde_json::Value| -> Job {
            serde_json::from_value(json!({"metadata": {"ownerReferences": [
                {"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": controller}]}}))
            .unwrap()
        };
        assert_eq!(controller_uid(&owned(json!(true))), Some("u"));
        assert_eq!(controller_uid(&owned(json!(false))), None);
        assert_eq!(controller_uid(&owned(json!(null))), None);
    }

    #[test]
    fn a_text_is_cut_between_its_characters() {
        let text = cut("é".repeat(TEXT));
        assert!(text.len() <= TEXT && text.chars().all(|c| c == 'é'));
    }
}
