//! What keeps a backup from beginning is said, and when it is mended the backup begins.

use db_operator::api::Backup;
use e2e::testing::{Server, in_bed, is_ready};
use kube::api::PostParams;
use serde_json::json;

#[tokio::test]
async fn a_database_that_is_not_there() {
    in_bed(Server::Postgres, async |bed| {
        let name = bed.name("orders");
        let backup = bed.back_up("a", &name, json!({})).await;
        let message = bed.waits(&backup, "Stalled", "DatabaseNotFound").await;
        assert!(message.contains(&name), "{message}");
        bed.make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        bed.completed(&backup).await;
    })
    .await;
}

#[tokio::test]
async fn a_database_of_another_namespace() {
    in_bed(Server::Postgres, async |bed| {
        let name = bed
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let stranger = bed.neighbour().await;
        let backup: Backup = serde_json::from_value(json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup", "metadata": {"name": "a"},
            "spec": {"databaseRef": {"name": name, "namespace": bed.namespace}},
        }))
        .unwrap();
        stranger
            .backups()
            .create(&PostParams::default(), &backup)
            .await
            .unwrap();
        stranger.waits("a", "Stalled", "ForeignNamespace").await;
        // It takes nobody's turn.
        let own = bed.back_up("own", &name, json!({})).await;
        bed.completed(&own).await;
        stranger.waits("a", "Stalled", "ForeignNamespace").await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_without_a_destination() {
    in_bed(Server::Mariadb, async |bed| {
        let instance = bed.make_instance("i", json!({"backup": null})).await;
        let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
        let name = bed.make_usable("orders", spec).await;
        let backup = bed.back_up("a", &name, json!({})).await;
        let message = bed.waits(&backup, "Stalled", "NoDestination").await;
        assert!(message.contains(&instance), "{message}");
        assert!(is_ready(&bed.databases().get(&name).await.unwrap()));
        let destination = bed.shared_destination().await;
        bed.patch_instance(&instance, json!({"backup": destination}))
            .await;
        bed.completed(&backup).await;
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_may_not_use_the_instance() {
    in_bed(Server::Mysql, async |bed| {
        let instance = bed.make_instance("i", json!({})).await;
        let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
        let name = bed.make_usable("orders", spec).await;
        let nobody = json!({"allowedNamespaces": {"all": null, "names": ["nobody"]}});
        bed.patch_instance(&instance, nobody).await;
        bed.stalled(&name, "NamespaceNotAllowed").await;
        let backup = bed.back_up("a", &name, json!({})).await;
        let message = bed.waits(&backup, "Stalled", "NamespaceNotAllowed").await;
        assert!(message.contains(&instance), "{message}");
        let all = json!({"allowedNamespaces": {"all": true, "names": null}});
        bed.patch_instance(&instance, all).await;
        bed.completed(&backup).await;
    })
    .await;
}
