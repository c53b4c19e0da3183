//! Pauses the installed operator while another one takes its place, and resumes it afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::super::eventually;
use crate::cluster::Cluster;
use crate::operator::DEPLOYMENT;
use crate::servers::OPERATOR_NAMESPACE;
use crate::{Error, Result, command};

/// How long its pods may take to end what they have begun, or to be ready again.
const LIMIT: Duration = Duration::from_mins(2);

/// What the installed operator was.
pub struct InstalledOperator {
    client: Client,
    replicas: i32,
    cluster: Cluster,
    is_back: AtomicBool,
    /// Its image, which the Jobs take their binary from.
    pub image: String,
}

impl InstalledOperator {
    /// Sends the installed operator to rest, and waits until it does nothing more.
    pub async fn begin(cluster: &Cluster, client: &Client) -> Result<Self> {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        let found = deployments
            .get(DEPLOYMENT)
            .await
            .map_err(Error::trial("find the operator (cargo xtask load)"))?;
        let spec = found.spec.unwrap_or_default();
        let pod = spec.template.spec.unwrap_or_default();
        let image = pod
            .containers
            .into_iter()
            .next()
            .and_then(|main| main.image);
        let installed_operator = Self {
            client: client.clone(),
            cluster: cluster.clone(),
            is_back: AtomicBool::new(false),
            // One that was left at none, by a campaign that was killed, comes back too.
            replicas: spec.replicas.filter(|&replicas| replicas > 0).unwrap_or(2),
            image: image.unwrap_or_default(),
        };
        installed_operator.scale(0).await?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        let its = ListParams::default().labels(&format!("app.kubernetes.io/name={DEPLOYMENT}"));
        eventually("the installed operator rests", LIMIT, async || {
            let left = pods
                .list(&its)
                .await
                .map_err(Error::trial("list its pods"))?;
            let left = left.items.iter().filter(|pod| is_its(pod)).count();
            Ok((left == 0).then_some(()))
        })
        .await?;
        Ok(installed_operator)
    }

    /// Brings the installed operator back, and waits until it is ready.
    pub async fn end(&self) -> Result<()> {
        self.scale(self.replicas).await?;
        self.is_back.store(true, Ordering::SeqCst);
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        eventually("the installed operator is back", LIMIT, async || {
            let found = deployments
                .get(DEPLOYMENT)
                .await
                .map_err(Error::trial("look at the operator"))?;
            let ready = found.status.unwrap_or_default().ready_replicas;
            Ok((ready >= Some(self.replicas)).then_some(()))
        })
        .await
    }

    async fn scale(&self, replicas: i32) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments
            .patch(DEPLOYMENT, &PatchParams::default(), &patch)
            .await
            .map(drop)
            .map_err(Error::trial("scale the operator"))
    }
}

/// Whatever became of the campaign, the installed operator comes back.
impl Drop for InstalledOperator {
    fn drop(&mut self) {
        if self.is_back.load(Ordering::SeqCst) {
            return;
        }
        let mut scale = self.cluster.kubectl();
        scale
            .args(["scale", "--namespace", OPERATOR_NAMESPACE])
            .arg(format!("deployment/{DEPLOYMENT}"))
            .arg(format!("--replicas={}", self.replicas));
        if let Err(error) = command::output(&mut scale) {
            command::say(&format!(
                "bring the operator back with `cargo xtask load`: {error}"
            ));
        }
    }
}

/// The pods of backups in this namespace are no replicas.
fn is_its(pod: &Pod) -> bool {
    let owners = pod.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.kind == "ReplicaSet")
}
