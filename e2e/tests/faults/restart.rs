//! What a new leader does before it has read everything: nothing that it would regret.

use db_operator::api::DatabaseInstance;
use e2e::campaign::{Engine, eventually};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};

use super::STORM;
use super::environment::Environment;

/// How often the leader changes: what it reads first is a matter of luck.
const CHANGES: usize = 3;

#[tokio::test]
async fn an_instance_in_use_that_is_to_go_stays_when_the_leader_changes() {
    let environment = Environment::with(Engine::Mariadb).await;
    let operator = environment.operator("operator", environment.control_plane.kubeconfig());
    environment.apply(0..1).await;
    environment.until_created(1, STORM).await;
    let instances: Api<DatabaseInstance> = Api::all(environment.client.clone());
    let instance = instances.get("server").await.unwrap();
    instances
        .delete("server", &DeleteParams::default())
        .await
        .unwrap();
    for number in 1..=CHANGES {
        operator.kill();
        operator.ensure().unwrap();
        // Once this one is usable, the instance was looked at.
        environment.apply(number..number + 1).await;
        environment.until_created(number + 1, STORM).await;
        let kept = instances.get("server").await.unwrap();
        assert_eq!(kept.uid(), instance.uid());
        assert!(!kept.finalizers().is_empty());
    }
    environment.delete_all(STORM).await;
    eventually("the instance is gone", STORM, async || {
        let left = instances.get_opt("server").await.unwrap();
        Ok(left.is_none().then_some(()))
    })
    .await
    .unwrap();
    operator.ensure().unwrap();
    drop(operator);
    environment.clear().await;
}
