//! Which namespaces may use an instance, and what becomes of those that may no more.

use std::time::Duration;

use db_operator::api::DatabaseState;
use e2e::testing::{Bed, Server, Session, in_bed, on_every_server};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Less than the time until the next look at something that did not change.
const AT_ONCE: Duration = Duration::from_secs(15);

async fn label(bed: &Bed, team: serde_json::Value) {
    let namespaces: Api<Namespace> = Api::all(bed.client.clone());
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": team}}}));
    namespaces
        .patch(&bed.namespace, &PatchParams::default(), &label)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_namespace_that_lost_its_permission_keeps_its_databases_unchanged() {
    on_every_server(async |bed| {
        let team = json!({"selector": {"matchLabels": {"team": bed.prefix}}});
        let instance = bed.make_instance("i", json!({"allowedNamespaces": team})).await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        let name = bed.make("orders", spec).await;
        bed.stalled(&name, "NamespaceNotAllowed").await;
        let left = bed.server.names(&bed.client, &name).await;
        assert!(left.is_empty(), "{left:?}");

        label(bed, json!(bed.prefix)).await;
        bed.until(&name, "allowed", AT_ONCE, |database| database.state() == Some(DatabaseState::Created)).await;
        bed.usable(&name).await;
        label(bed, json!(null)).await;
        let message = bed.stalled_within(&name, "NamespaceNotAllowed", AT_ONCE).await;
        assert!(message.contains(&instance) && message.contains(&bed.namespace), "{message}");
        // It works as before, and changes of its spec change nothing.
        bed.patch(&name, json!({"spec": {"connectionLimit": 7, "secretTemplate": {"data": {"A": "b"}}}})).await;
        bed.until(&name, "looked at", Duration::from_secs(30), |database| {
            database.status.as_ref().and_then(|status| status.observed_generation) == database.metadata.generation
        })
        .await;
        let secret = bed.secret(&name).await;
        assert_eq!(secret.get("A"), None);
        Session::open(&bed.client, &secret).await.unwrap().close().await;
        let limit = if bed.server.is_postgres() {
            format!("SELECT rolconnlimit::text FROM pg_roles WHERE rolname = '{name}'")
        } else {
            format!("SELECT CAST(max_user_connections AS CHAR) FROM mysql.user WHERE user = '{name}'")
        };
        let mut root = bed.server.root(&bed.client).await;
        assert_ne!(root.column(&limit).await.unwrap(), ["7"]);

        // Whatever its policy says, it is kept.
        bed.delete(&name).await;
        bed.gone(&name).await;
        let left = bed.server.names(&bed.client, &name).await;
        assert_eq!(left.len(), 3, "{left:?}");
        root.close().await;

        // With the permission back it continues.
        label(bed, json!(bed.prefix)).await;
        bed.without_secret(&name).await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete", "connectionLimit": 7});
        bed.make_usable("orders", spec).await;
        let mut root = bed.server.root(&bed.client).await;
        assert_eq!(root.column(&limit).await.unwrap(), ["7"]);
        root.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_deletion_that_had_begun_ends_without_the_permission() {
    in_bed(Server::Postgres, async |bed| {
        label(bed, json!(bed.prefix)).await;
        let team = json!({"selector": {"matchLabels": {"team": bed.prefix}}});
        let instance = bed
            .make_instance("i", json!({"allowedNamespaces": team}))
            .await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        let name = bed.make_usable("orders", spec).await;
        // A superuser is in it, whom the operator cannot send away.
        let root = bed.server.superuser(&bed.client, &name).await;
        bed.delete(&name).await;
        bed.reconciling(&name, "DeletionBlocked").await;

        label(bed, json!(null)).await;
        bed.gone(&name).await;
        let left = bed.server.names(&bed.client, &name).await;
        assert!(left.contains(&format!("user {name}")), "{left:?}");
        root.close().await;
    })
    .await;
}
