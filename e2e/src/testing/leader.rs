//! The process that leads, and its end.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

use super::{Fixture, SOON, eventually};
use crate::cluster::Cluster;
use crate::servers::OPERATOR_NAMESPACE;
use crate::{command, operator};

/// The lease's time to live, and a busy machine.
const TAKEN_OVER: Duration = Duration::from_secs(40);

impl Fixture {
    /// The lease that says who leads.
    async fn lease(&self) -> LeaseSpec {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let lease = leases.get(operator::DEPLOYMENT).await.unwrap();
        lease.spec.unwrap()
    }

    /// Kills the process that leads, and waits until one leads again: another one, or the next of the same pod.
    pub async fn kill_the_leader(&self) {
        let leader = self.lease().await.holder_identity.unwrap();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let status = pods.get(&leader).await.unwrap().status.unwrap();
        let id = status.container_statuses.unwrap()[0].container_id.clone();
        let id = id.unwrap();
        let mut kill = Cluster::main().ctr();
        kill.args(["tasks", "kill", "--signal", "SIGKILL"]);
        kill.arg(id.strip_prefix("containerd://").unwrap());
        command::output(&mut kill).unwrap();
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
