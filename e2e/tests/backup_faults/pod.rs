//! The pod and its Job.

use db_operator::api::{BACKUP_LABEL, BackupState};
use e2e::testing::{Server, with_fixture};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, EvictParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::case::{Case, Ground, LIMIT, all, process};

/// A backup whose dump waits for a lock, while something happens to it.
async fn while_it_waits(
    ground: &Ground<'_>,
    name: &str,
    happens: impl AsyncFn(&Case<'_>, &str, &Pod),
    reason: &str,
    words: &[&str],
) {
    let case = ground.case(name, 1 << 20, Value::Null, Value::Null).await;
    let holder = case.hold().await;
    let backup = case.back_up(json!({})).await;
    let pod = running(&case, &backup).await;
    happens(&case, &backup, &pod).await;
    case.fails(&backup, reason, words).await;
    holder.close().await;
    case.next_works().await;
}

/// The pod, once the dump tool waits in it.
async fn running(case: &Case<'_>, backup: &str) -> Pod {
    let fixture = case.ground.fixture;
    fixture
        .backup_until(backup, "runs", LIMIT, |found| {
            found.state() == Some(BackupState::BackingUp)
        })
        .await;
    let pod = case.pod(backup).await;
    process(&pod, "pg_dump").await;
    pod
}

fn pods(case: &Case<'_>) -> Api<Pod> {
    let fixture = case.ground.fixture;
    Api::namespaced(fixture.client.clone(), &fixture.namespace)
}

async fn killed(_: &Case<'_>, _: &str, pod: &Pod) {
    process(pod, "db-operator").await.kill().unwrap();
}

async fn deleted(case: &Case<'_>, _: &str, pod: &Pod) {
    let gently = DeleteParams::default();
    pods(case).delete(&pod.name_any(), &gently).await.unwrap();
}

/// As somebody does who has lost patience, or a node that was lost.
async fn forced(case: &Case<'_>, _: &str, pod: &Pod) {
    let now = DeleteParams::default().grace_period(0);
    pods(case).delete(&pod.name_any(), &now).await.unwrap();
}

async fn evicted(case: &Case<'_>, _: &str, pod: &Pod) {
    let how = EvictParams::default();
    pods(case).evict(&pod.name_any(), &how).await.unwrap();
}

async fn without_job(case: &Case<'_>, backup: &str, _: &Pod) {
    let job = case.job(&case.read(backup).await).await.unwrap();
    let fixture = case.ground.fixture;
    let jobs: Api<Job> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    jobs.delete(&job.name_any(), &DeleteParams::background())
        .await
        .unwrap();
}

/// What the pod has mounted stays with it: the backup goes on.
async fn without_secret(ground: &Ground<'_>) {
    let case = ground
        .case("secret", 1 << 20, Value::Null, Value::Null)
        .await;
    let holder = case.hold().await;
    let backup = case.back_up(json!({})).await;
    running(&case, &backup).await;
    let fixture = case.ground.fixture;
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let name = db_operator::job::name(&case.read(&backup).await);
    let secret = secrets.get(&name).await.unwrap();
    assert_eq!(secret.labels()[BACKUP_LABEL], backup);
    secrets
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    holder.close().await;
    case.completes(&backup).await;
}

/// An image that nobody has.
async fn without_image(ground: &Ground<'_>) {
    let job = json!({"image": "registry.invalid/nothing:1"});
    let case = ground.case("image", 1 << 20, job, Value::Null).await;
    let backup = case.back_up(json!({})).await;
    case.fails(&backup, "ImageUnavailable", &["registry.invalid/nothing:1"])
        .await;
    case.without_job().await;
    case.next_works().await;
}

#[tokio::test]
async fn what_happens_to_a_pod_or_its_job_is_told() {
    with_fixture(Server::Postgres, async |fixture| {
        let ground = &Ground::new(fixture).await;
        all(vec![
            Box::pin(while_it_waits(
                ground,
                "sigkill",
                killed,
                "Killed",
                &["SIGKILL"],
            )),
            Box::pin(while_it_waits(
                ground,
                "deleted",
                deleted,
                "Terminated",
                &["asked to end"],
            )),
            Box::pin(while_it_waits(ground, "forced", forced, "Killed", &[])),
            Box::pin(while_it_waits(
                ground,
                "evicted",
                evicted,
                "Evicted",
                &["evicted"],
            )),
            Box::pin(while_it_waits(
                ground,
                "job",
                without_job,
                "JobDeleted",
                &["Job"],
            )),
            Box::pin(without_secret(ground)),
            Box::pin(without_image(ground)),
        ])
        .await;
    })
    .await;
}
