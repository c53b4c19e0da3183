//! What a new leader does before it has read everything: nothing that it would regret.

use db_operator::api::DatabaseInstance;
use e2e::campaign::{Engine, eventually};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};

use super::stage::Stage;
use super::{STORM, TURN};

/// How often the leader changes: what it reads first is a matter of luck.
const CHANGES: usize = 3;

#[tokio::test]
async fn an_instance_in_use_that_is_to_go_stays_when_the_leader_changes() {
    let _turn = TURN.lock().await;
    let stage = Stage::with(Engine::Mariadb).await;
    let operator = stage.operator("operator", stage.plane.kubeconfig());
    stage.apply(0..1).await;
    stage.until_created(1, STORM).await;
    let instances: Api<DatabaseInstance> = Api::all(stage.client.clone());
    let instance = instances.get("server").await.unwrap();
    instances
        .delete("server", &DeleteParams::default())
        .await
        .unwrap();
    for number in 1..=CHANGES {
        operator.kill();
        operator.ensure().unwrap();
        // Once this one is usable, the instance was looked at.
        stage.apply(number..number + 1).await;
        stage.until_created(number + 1, STORM).await;
        let kept = instances.get("server").await.unwrap();
        assert_eq!(kept.uid(), instance.uid());
        assert!(!kept.finalizers().is_empty());
    }
    stage.delete_all(STORM).await;
    eventually("the instance is gone", STORM, async || {
        let left = instances.get_opt("server").await.unwrap();
        Ok(left.is_none().then_some(()))
    })
    .await
    .unwrap();
    operator.ensure().unwrap();
    drop(operator);
    stage.clear().await;
}
