//! Finalizers and statuses, written as the operator writes them, on a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod support;

use db_operator::api::{Database, FINALIZER};
use db_operator::client::ApiError;
use db_operator::controller::finalizer;
use db_operator::controller::status::{self, When};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use support::namespace::in_namespace;
use support::operator::LIMIT;
use support::{client, eventually};

async fn config_map(
    client: &Client,
    namespace: &str,
    finalizers: &[&str],
) -> (Api<ConfigMap>, ConfigMap) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let object = json!({"metadata": {"name": "x", "finalizers": finalizers}});
    let object = serde_json::from_value(object).unwrap();
    let made = api.create(&PostParams::default(), &object).await.unwrap();
    (api, made)
}

async fn set_finalizers(api: &Api<ConfigMap>, finalizers: Value) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    api.patch("x", &PatchParams::default(), &patch)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_finalizer_is_added_once_and_keeps_others() {
    let client = client().await;
    in_namespace(&client, "writes-add", async |namespace| {
        let (api, object) = config_map(&client, namespace, &[]).await;
        let object = finalizer::add(&api, &object).await.unwrap();
        assert_eq!(object.finalizers(), [FINALIZER]);
        let again = finalizer::add(&api, &object).await.unwrap();
        assert_eq!(again.resource_version(), object.resource_version());

        set_finalizers(&api, json!(["e2e.example/other"])).await;
        let object = api.get("x").await.unwrap();
        let object = finalizer::add(&api, &object).await.unwrap();
        // The names of others are nobody's business here, their places are.
        assert_eq!(object.finalizers(), ["", FINALIZER]);
        let object = api.get("x").await.unwrap();
        assert_eq!(object.finalizers(), ["e2e.example/other", FINALIZER]);
        set_finalizers(&api, json!(null)).await;
    })
    .await;
}

#[tokio::test]
async fn a_finalizer_is_removed_from_a_list_that_moved() {
    let client = client().await;
    in_namespace(&client, "writes-remove", async |namespace| {
        let (api, seen) = config_map(&client, namespace, &[FINALIZER]).await;
        set_finalizers(&api, json!(["e2e.example/other", FINALIZER])).await;
        let moved = finalizer::remove(&api, &seen).await.unwrap_err();
        assert!(matches!(moved, ApiError::Changed { .. }), "{moved}");
        // Whoever is told so looks again.
        let seen = api.get("x").await.unwrap();
        assert_eq!(seen.finalizers(), ["e2e.example/other", FINALIZER]);
        finalizer::remove(&api, &seen).await.unwrap();
        let left = api.get("x").await.unwrap();
        assert_eq!(left.finalizers(), ["e2e.example/other"]);
        set_finalizers(&api, json!(null)).await;
    })
    .await;
}

#[tokio::test]
async fn removing_from_what_is_gone_is_done_and_spares_its_successor() {
    let client = client().await;
    in_namespace(&client, "writes-gone", async |namespace| {
        let (api, seen) = config_map(&client, namespace, &[FINALIZER]).await;
        api.delete("x", &DeleteParams::default()).await.unwrap();
        finalizer::remove(&api, &seen).await.unwrap();
        finalizer::remove(&api, &seen).await.unwrap();
        assert!(api.get_opt("x").await.unwrap().is_none());

        let (_, _) = config_map(&client, namespace, &[FINALIZER]).await;
        let other = finalizer::remove(&api, &seen).await.unwrap_err();
        assert!(matches!(other, ApiError::Changed { .. }), "{other}");
        let successor = api.get("x").await.unwrap();
        assert_eq!(successor.finalizers(), [FINALIZER]);
        set_finalizers(&api, json!(null)).await;
    })
    .await;
}

#[tokio::test]
async fn a_status_is_written_only_when_it_changed_and_only_over_what_was_seen() {
    let client = client().await;
    in_namespace(&client, "writes-status", async |namespace| {
        let api: Api<Database> = Api::namespaced(client.clone(), namespace);
        let database = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
            "metadata": {"name": "x"},
            // An instance that does not exist: the operator that runs here says so once, and has nothing else to do.
            "spec": {"instanceRef": {"name": format!("{namespace}-none")}},
        });
        let database: Database = serde_json::from_value(database).unwrap();
        api.create(&PostParams::default(), &database).await.unwrap();
        let made = eventually("the operator has looked", LIMIT, async || {
            let found = api.get("x").await.unwrap();
            found.status.is_some().then_some(found)
        })
        .await;
        let write = async |seen: &Database, generation, when| {
            let mut next = made.status.clone().unwrap_or_default();
            next.observed_generation = Some(generation);
            status::write(&api, "e2e", seen, &next, when).await
        };

        let written = write(&made, 99, When::Always).await;
        let written = written.unwrap().unwrap();
        assert_eq!(
            written.status.as_ref().unwrap().observed_generation,
            Some(99)
        );
        assert!(write(&written, 99, When::Always).await.unwrap().is_none());

        let label = Patch::Merge(json!({"metadata": {"labels": {"changed": "true"}}}));
        api.patch("x", &PatchParams::default(), &label)
            .await
            .unwrap();
        let refused = write(&made, 100, When::Unchanged).await;
        assert!(
            matches!(refused, Err(ApiError::Changed { .. })),
            "{refused:?}"
        );

        // What has gone is not made again by its status.
        api.delete("x", &DeleteParams::default()).await.unwrap();
        eventually("the object is gone", LIMIT, async || {
            api.get_opt("x").await.unwrap().is_none().then_some(())
        })
        .await;
        let gone = write(&made, 100, When::Always).await.unwrap_err();
        assert_eq!(gone.code(), Some(404), "{gone}");
    })
    .await;
}
