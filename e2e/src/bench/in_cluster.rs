//! A namespace in the cluster for the objects of a run, which the operator there looks after.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use db_operator::api::{Backup, BackupState, Database, DatabaseState};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{environment, interrupted};
use crate::cluster::Cluster;
use crate::{Error, Result, command};

/// How long one object may take.
const LIMIT: Duration = Duration::from_mins(10);
const LOOK_EACH: Duration = Duration::from_millis(20);

/// The namespace.
pub(super) struct InCluster<'a> {
    cluster: &'a Cluster,
    pub(super) client: Client,
    /// Of this run's own: that of an earlier one may still be going.
    namespace: String,
}

/// Measures in a namespace of its own, which goes whatever becomes of the measuring.
pub(super) async fn in_cluster<T>(
    cluster: &Cluster,
    prefix: &str,
    measure: impl AsyncFnOnce(&InCluster) -> Result<T>,
) -> Result<T> {
    let here = InCluster {
        cluster,
        client: environment::client(cluster).await?,
        namespace: format!("{prefix}-{}", std::process::id()),
    };
    let namespace = &here.namespace;
    command::output(cluster.kubectl().args(["create", "namespace", namespace]))?;
    let measured = tokio::select! {
        measured = measure(&here) => measured,
        interrupted = interrupted() => interrupted,
    };
    let mut delete = cluster.kubectl();
    delete.args(["delete", "namespace", namespace, "--timeout=300s"]);
    let deleted = command::output(&mut delete);
    let measured = measured?;
    deleted?;
    Ok(measured)
}

impl InCluster<'_> {
    /// Applies an object as a person does.
    pub(super) fn apply(&self, kind: &str, name: &str, spec: &Value) -> Result<()> {
        let object = json!({
            "apiVersion": "db-operator.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        });
        let mut apply = self.cluster.kubectl();
        apply.args(["apply", "--filename=-"]);
        command::output_with_input(&mut apply, &object.to_string()).map(drop)
    }

    /// Objects of the namespace.
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Reads an object.
    pub(super) async fn get<K>(&self, name: &str) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.api().get(name).await.map_err(failed())
    }

    /// The pod of a Job.
    pub(super) async fn pod_of(&self, job: &str) -> Result<Option<Pod>> {
        let its = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let found = self.api::<Pod>().list(&its).await;
        Ok(found.map_err(failed())?.items.pop())
    }

    /// Makes a Database, and waits until it can be used.
    pub(super) async fn make_database(&self, name: &str, instance: &str) -> Result<()> {
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        self.apply("Database", name, &spec)?;
        let start = Instant::now();
        loop {
            let database: Database = self.get(name).await?;
            if database.state() == Some(DatabaseState::Created) {
                return Ok(());
            }
            self.wait(start).await?;
        }
    }

    /// Makes a Backup, and waits until it is complete.
    pub(super) async fn back_up(&self, name: &str, database: &str) -> Result<()> {
        let spec = json!({"databaseRef": {"name": database}});
        self.apply("Backup", name, &spec)?;
        let start = Instant::now();
        loop {
            let backup: Backup = self.get(name).await?;
            match backup.state() {
                Some(BackupState::Completed) => return Ok(()),
                Some(BackupState::Failed) => {
                    return Err(Error::trial("back up")(json!(backup.status)));
                }
                None | Some(BackupState::Starting | BackupState::BackingUp) => {}
            }
            self.wait(start).await?;
        }
    }

    /// Deletes an object, and waits until it is gone.
    pub(super) async fn remove<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = self.api();
        api.delete(name, &DeleteParams::default())
            .await
            .map_err(failed())?;
        let start = Instant::now();
        while api.get_opt(name).await.map_err(failed())?.is_some() {
            self.wait(start).await?;
        }
        Ok(())
    }

    /// Its name.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Waits a moment, but not for ever.
    pub(super) async fn wait(&self, since: Instant) -> Result<()> {
        if since.elapsed() > LIMIT {
            return Err(Error::Timeout {
                what: format!("What is in the namespace {}", self.namespace),
                seconds: LIMIT.as_secs(),
                tail: String::new(),
            });
        }
        tokio::time::sleep(LOOK_EACH).await;
        Ok(())
    }
}

/// Whether the kubelet says that the init containers have ended.
pub(super) fn installed(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.init_container_statuses.as_ref());
    containers.is_some_and(|all| all.iter().all(has_ended))
}

/// Whether it says that a container has begun.
pub(super) fn begun(pod: &Pod, container: &str) -> bool {
    find(pod, container).is_some_and(|found| {
        let state = found.state.as_ref();
        has_ended(found) || state.is_some_and(|state| state.running.is_some())
    })
}

/// Whether it says that a container has ended.
pub(super) fn ended(pod: &Pod, container: &str) -> bool {
    find(pod, container).is_some_and(has_ended)
}

fn find<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.iter().find(|container| container.name == name)
}

fn has_ended(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    state.is_some_and(|state| state.terminated.is_some())
}

fn failed<E: std::fmt::Display>() -> impl FnOnce(E) -> Error {
    Error::trial("look at the bench's objects")
}
