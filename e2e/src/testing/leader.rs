//! The process that leads, and its end.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Fixture, SOON, eventually};
use crate::cluster::Cluster;
use crate::servers::OPERATOR_NAMESPACE;
use crate::{command, operator};

/// The lease's time to live, and the pause before a container that was killed a few times is started again (kubelet doubles it
/// from 10 s), should both replicas have been killed.
const TAKEN_OVER: Duration = Duration::from_mins(3);

/// One at a time in a process: of two that kill the same leader, one would find it dead.
static KILLING: Mutex<()> = Mutex::const_new(());

impl Fixture {
    /// The lease that says who leads.
    async fn lease(&self) -> LeaseSpec {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let lease = leases.get(operator::DEPLOYMENT).await.unwrap();
        lease.spec.unwrap()
    }

    /// Kills the process that leads, and waits until one leads again: another one, or the next of the same pod.
    pub async fn kill_the_leader(&self) {
        let _alone = KILLING.lock().await;
        // Who leads may be about to start again, or to be followed by another one.
        eventually("the leader is killed", TAKEN_OVER, async || {
            let id = self.leading_container().await?;
            let mut kill = Cluster::main().ctr();
            kill.args(["tasks", "kill", "--signal", "SIGKILL", &id]);
            command::output(&mut kill).map_err(|error| error.to_string())
        })
        .await;
        let killed = jiff::Timestamp::now();
        eventually("somebody leads", TAKEN_OVER, async || {
            let lease = self.lease().await;
            let renewed = lease.renew_time.as_ref().is_some_and(|at| at.0 > killed);
            if renewed {
                Ok(())
            } else {
                Err(format!("{lease:?}"))
            }
        })
        .await;
    }

    /// The container of the pod that leads, as containerd calls it.
    async fn leading_container(&self) -> Result<String, String> {
        let leader = self.lease().await.holder_identity.ok_or("nobody leads")?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let pod = pods.get_opt(&leader).await.unwrap();
        let status = pod.and_then(|pod| pod.status);
        let containers = status.and_then(|status| status.container_statuses);
        let id = containers.and_then(|all| all.first()?.container_id.clone());
        let id = id.ok_or_else(|| format!("{leader} has no container"))?;
        Ok(id.trim_start_matches("containerd://").to_owned())
    }

    /// Waits until each replica says that it is ready.
    pub async fn both_replicas_are_ready(&self) {
        eventually("both replicas are ready", SOON, async || {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
            let labels = format!("app.kubernetes.io/name={}", operator::DEPLOYMENT);
            let list = ListParams::default().labels(&labels);
            let all = pods.list(&list).await.unwrap().items;
            let ready = |pod: &&Pod| {
                let statuses = pod
                    .status
                    .iter()
                    .flat_map(|it| it.container_statuses.iter().flatten());
                statuses
                    .into_iter()
                    .any(|it| it.ready && it.name == operator::DEPLOYMENT)
            };
            let ready = all.iter().filter(ready).count();
            if ready == 2 {
                Ok(())
            } else {
                Err(ready.to_string())
            }
        })
        .await;
    }

    /// What the process that leads answers to a path.
    pub async fn leader_says(&self, path: &str) -> (u16, String) {
        let leader = self.lease().await.holder_identity.unwrap();
        let path =
            format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{leader}:8080/proxy/{path}");
        self.ask("GET", &path, &Value::Null).await
    }
}
