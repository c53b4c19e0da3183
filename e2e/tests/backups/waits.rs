//! What keeps a backup from beginning is said, and when it is mended the backup begins.

use db_operator::api::Backup;
use e2e::testing::{Server, is_ready, with_fixture};
use kube::api::PostParams;
use serde_json::json;

#[tokio::test]
async fn a_database_that_is_not_there() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.name("orders");
        let backup = fixture.back_up("a", &name, json!({})).await;
        let message = fixture.waits(&backup, "Stalled", "DatabaseNotFound").await;
        assert!(message.contains(&name), "{message}");
        fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        fixture.completed(&backup).await;
    })
    .await;
}

#[tokio::test]
async fn a_database_of_another_namespace() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let stranger = fixture.neighbour().await;
        let backup: Backup = serde_json::from_value(json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup", "metadata": {"name": "a"},
            "spec": {"databaseRef": {"name": name, "namespace": fixture.namespace}},
        }))
        .unwrap();
        stranger
            .backups()
            .create(&PostParams::default(), &backup)
            .await
            .unwrap();
        stranger.waits("a", "Stalled", "ForeignNamespace").await;
        // It takes nobody's turn.
        let own = fixture.back_up("own", &name, json!({})).await;
        fixture.completed(&own).await;
        stranger.waits("a", "Stalled", "ForeignNamespace").await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_without_a_destination() {
    with_fixture(Server::Mariadb, async |fixture| {
        let instance = fixture.make_instance("i", json!({"backup": null})).await;
        let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
        let name = fixture.make_usable("orders", spec).await;
        let backup = fixture.back_up("a", &name, json!({})).await;
        let message = fixture.waits(&backup, "Stalled", "NoDestination").await;
        assert!(message.contains(&instance), "{message}");
        assert!(is_ready(&fixture.databases().get(&name).await.unwrap()));
        let destination = fixture.shared_destination().await;
        fixture
            .patch_instance(&instance, json!({"backup": destination}))
            .await;
        fixture.completed(&backup).await;
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_may_not_use_the_instance() {
    with_fixture(Server::Mysql, async |fixture| {
        let instance = fixture.make_instance("i", json!({})).await;
        let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
        let name = fixture.make_usable("orders", spec).await;
        let nobody = json!({"allowedNamespaces": {"all": null, "names": ["nobody"]}});
        fixture.patch_instance(&instance, nobody).await;
        fixture.stalled(&name, "NamespaceNotAllowed").await;
        let backup = fixture.back_up("a", &name, json!({})).await;
        let message = fixture
            .waits(&backup, "Stalled", "NamespaceNotAllowed")
            .await;
        assert!(message.contains(&instance), "{message}");
        let all = json!({"allowedNamespaces": {"all": true, "names": null}});
        fixture.patch_instance(&instance, all).await;
        fixture.completed(&backup).await;
    })
    .await;
}
