//! Which namespaces may use an instance, and what becomes of those that may no more.

use std::time::Duration;

use db_operator::api::DatabaseState;
use e2e::testing::{Fixture, Server, Session, on_every_server, with_fixture};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Less than the time until the next look at something that did not change.
const AT_ONCE: Duration = Duration::from_secs(15);

async fn label(fixture: &Fixture, team: serde_json::Value) {
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": team}}}));
    namespaces
        .patch(&fixture.namespace, &PatchParams::default(), &label)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_namespace_that_lost_its_permission_keeps_its_databases_unchanged() {
    on_every_server(async |fixture| {
        let team = json!({"selector": {"matchLabels": {"team": fixture.prefix}}});
        let instance = fixture.make_instance("i", json!({"allowedNamespaces": team})).await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        let name = fixture.make("orders", spec).await;
        fixture.stalled(&name, "NamespaceNotAllowed").await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert!(left.is_empty(), "{left:?}");

        label(fixture, json!(fixture.prefix)).await;
        fixture.until(&name, "allowed", AT_ONCE, |database| database.state() == Some(DatabaseState::Created)).await;
        fixture.usable(&name).await;
        label(fixture, json!(null)).await;
        let message = fixture.stalled_within(&name, "NamespaceNotAllowed", AT_ONCE).await;
        assert!(message.contains(&instance) && message.contains(&fixture.namespace), "{message}");
        // It works as before, and changes of its spec change nothing.
        fixture.patch(&name, json!({"spec": {"connectionLimit": 7, "secretTemplate": {"data": {"A": "b"}}}})).await;
        fixture.until(&name, "looked at", Duration::from_secs(30), |database| {
            database.status.as_ref().and_then(|status| status.observed_generation) == database.metadata.generation
        })
        .await;
        let secret = fixture.secret(&name).await;
        assert_eq!(secret.get("A"), None);
        Session::open(&fixture.client, &secret).await.unwrap().close().await;
        let limit = if fixture.server.is_postgres() {
            format!("SELECT rolconnlimit::text FROM pg_roles WHERE rolname = '{name}'")
        } else {
            format!("SELECT CAST(max_user_connections AS CHAR) FROM mysql.user WHERE user = '{name}'")
        };
        let mut root = fixture.server.root(&fixture.client).await;
        assert_ne!(root.column(&limit).await.unwrap(), ["7"]);

        // Whatever its policy says, it is kept.
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert_eq!(left.len(), 3, "{left:?}");
        root.close().await;

        // With the permission back it continues.
        label(fixture, json!(fixture.prefix)).await;
        fixture.without_secret(&name).await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete", "connectionLimit": 7});
        fixture.make_usable("orders", spec).await;
        let mut root = fixture.server.root(&fixture.client).await;
        assert_eq!(root.column(&limit).await.unwrap(), ["7"]);
        root.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_deletion_that_had_begun_ends_without_the_permission() {
    with_fixture(Server::Postgres, async |fixture| {
        label(fixture, json!(fixture.prefix)).await;
        let team = json!({"selector": {"matchLabels": {"team": fixture.prefix}}});
        let instance = fixture
            .make_instance("i", json!({"allowedNamespaces": team}))
            .await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        let name = fixture.make_usable("orders", spec).await;
        // A superuser is in it, whom the operator cannot send away.
        let root = fixture.server.superuser(&fixture.client, &name).await;
        fixture.delete(&name).await;
        fixture.reconciling(&name, "DeletionBlocked").await;

        label(fixture, json!(null)).await;
        fixture.gone(&name).await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert!(left.contains(&format!("user {name}")), "{left:?}");
        root.close().await;
    })
    .await;
}
