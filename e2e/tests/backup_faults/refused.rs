//! The cluster does not let the Job, its pod or its Secret in.

use e2e::testing::{Fixture, Server, with_fixture};
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use crate::case::{Ground, all};

/// A quota with these limits.
async fn quota(fixture: &Fixture, hard: Value) {
    let quotas: Api<ResourceQuota> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let quota = json!({"metadata": {"name": "quota"}, "spec": {"hard": hard}});
    let quota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    e2e::testing::eventually("the quota counts", e2e::testing::SOON, async || {
        let found = quotas
            .get("quota")
            .await
            .unwrap()
            .status
            .unwrap_or_default();
        found.hard.map(drop).ok_or_else(|| "not yet".to_owned())
    })
    .await;
}

async fn without_quota(fixture: &Fixture) {
    let quotas: Api<ResourceQuota> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    quotas
        .delete("quota", &DeleteParams::default())
        .await
        .unwrap();
}

/// A namespace that allows so few of something.
async fn by_quota(fixture: &Fixture, what: &str, words: &[&str]) {
    let ground = Ground::new(fixture).await;
    let case = ground
        .case("quota", 1 << 20, Value::Null, Value::Null)
        .await;
    let allowed = if what == "count/secrets" {
        let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        secrets
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len()
    } else {
        0
    };
    quota(fixture, json!({what: allowed.to_string()})).await;
    let backup = case.back_up(json!({})).await;
    case.fails(&backup, "JobRefused", words).await;
    without_quota(fixture).await;
    case.next_works().await;
}

/// An admission that refuses the pod, not the Job: nothing of a backup's size may run here.
async fn by_limits(fixture: &Fixture) {
    let ground = Ground::new(fixture).await;
    let case = ground
        .case("limits", 1 << 20, Value::Null, Value::Null)
        .await;
    let ranges: Api<LimitRange> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let range = json!({"metadata": {"name": "small"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]}});
    let range = serde_json::from_value(range).unwrap();
    ranges.create(&PostParams::default(), &range).await.unwrap();
    let backup = case.back_up(json!({})).await;
    case.fails(&backup, "JobRefused", &["maximum memory usage"])
        .await;
    ranges
        .delete("small", &DeleteParams::default())
        .await
        .unwrap();
    case.next_works().await;
}

#[tokio::test]
async fn what_a_namespace_does_not_let_in_is_told_in_its_own_words() {
    let quota = ["exceeded quota"];
    let jobs = with_fixture(Server::Postgres, async |fixture| {
        Box::pin(by_quota(fixture, "count/jobs.batch", &quota)).await;
    });
    let pods = with_fixture(Server::Postgres, async |fixture| {
        Box::pin(by_quota(fixture, "pods", &quota)).await;
    });
    let secrets = with_fixture(Server::Postgres, async |fixture| {
        Box::pin(by_quota(fixture, "count/secrets", &quota)).await;
    });
    let limits = with_fixture(Server::Postgres, async |fixture| {
        Box::pin(by_limits(fixture)).await;
    });
    all(vec![
        Box::pin(jobs),
        Box::pin(pods),
        Box::pin(secrets),
        Box::pin(limits),
    ])
    .await;
}
