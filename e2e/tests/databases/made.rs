//! What somebody else made under a name that is claimed, and what is kept of an object that was replaced.

use db_operator::api::{DatabaseInstance, FINALIZER, RECONCILE_REQUESTED_AT};
use e2e::testing::{
    Fixture, NEXT_LOOK, SOON, Server, Session, eventually, on_every_server, with_fixture,
};
use kube::api::PostParams;
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

/// Makes a database by hand, with a table in it that the platform needs.
async fn by_hand(fixture: &Fixture, name: &str) {
    let mut root = fixture.server.root(&fixture.client).await;
    let create = format!("CREATE DATABASE {}", fixture.server.quote(name));
    root.run(&create).await.unwrap();
    root.close().await;
    let mut root = fixture.server.superuser(&fixture.client, name).await;
    root.run("CREATE TABLE platforms (x INT)").await.unwrap();
    root.close().await;
}

async fn is_there(fixture: &Fixture, name: &str) -> bool {
    let left = fixture.server.names(&fixture.client, name).await;
    left.contains(&format!("database {name}"))
}

/// An encoding that only CREATE DATABASE refuses; then the platform makes a database of that name, and the team corrects
/// its mistake.
#[tokio::test]
async fn a_database_that_was_never_made_is_not_taken_from_who_makes_it() {
    with_fixture(Server::Postgres, async |fixture| {
        let spec = json!({"deletionPolicy": "Delete", "postgresql": {"encoding": "SJIS"}});
        let name = fixture.make("orders", spec).await;
        fixture.stalled(&name, "Unsupported").await;
        by_hand(fixture, &name).await;
        fixture
            .patch(&name, json!({"spec": {"postgresql": null}}))
            .await;
        let message = fixture.stalled(&name, "NotAdoptable").await;
        assert!(message.contains("was not made by db-operator"), "{message}");
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        assert!(is_there(fixture, &name).await, "it is the platform's");
        let mut root = fixture.server.superuser(&fixture.client, &name).await;
        root.column("SELECT x FROM platforms").await.unwrap();
        root.close().await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert_eq!(left, [format!("database {name}")], "nothing else is left");
    })
    .await;
}

/// The team's own was dropped, and the platform made another one of that name.
#[tokio::test]
async fn another_database_of_that_name_is_seen_and_never_dropped() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let mut root = fixture.server.root(&fixture.client).await;
        let drop = format!("DROP DATABASE {}", fixture.server.quote(&name));
        root.run(&drop).await.unwrap();
        root.close().await;
        by_hand(fixture, &name).await;
        fixture
            .stalled_within(&name, "NotAdoptable", NEXT_LOOK)
            .await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        fixture.told(&name, "Dropped").await;
        assert!(is_there(fixture, &name).await, "it is the platform's");
    })
    .await;
}

/// Sends the manifest as it is in Git, with nothing of what the API server has: `kubectl replace`.
async fn replace<K>(api: &Api<K>, name: &str, spec: Value)
where
    K: Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let replaced = loop {
        // The version alone is added, as kubectl does; the operator may write between the two requests.
        let metadata = json!({
            "name": name, "resourceVersion": api.get(name).await.unwrap().resource_version(),
        });
        let manifest = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata, "spec": spec,
        });
        let manifest: K = serde_json::from_value(manifest).unwrap();
        match api.replace(name, &PostParams::default(), &manifest).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            replaced => break replaced.unwrap(),
        }
    };
    assert!(!replaced.finalizers().iter().any(|name| name == FINALIZER));
}

async fn has_its_finalizer<K>(api: &Api<K>, name: &str)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    eventually(&format!("{name} has its finalizer"), SOON, async || {
        let found = api.get(name).await.unwrap();
        let finalizers = found.finalizers();
        if finalizers.iter().any(|name| name == FINALIZER) {
            Ok(())
        } else {
            Err(format!("{finalizers:?}"))
        }
    })
    .await;
}

/// Without its finalizer a deletion would be instant: nothing dropped, and the claim not given up.
#[tokio::test]
async fn a_finalizer_that_was_replaced_away_comes_back() {
    on_every_server(async |fixture| {
        let spec =
            json!({"instanceRef": {"name": fixture.server.instance()}, "deletionPolicy": "Delete"});
        let name = fixture.make_usable("orders", spec.clone()).await;
        for _ in 0..2 {
            replace(&fixture.databases(), &name, spec.clone()).await;
            has_its_finalizer(&fixture.databases(), &name).await;
        }
        fixture.usable(&name).await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        let left = fixture.server.names(&fixture.client, &name).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn an_instances_finalizer_comes_back_as_well() {
    with_fixture(Server::Postgres, async |fixture| {
        let instance = fixture.make_instance("i", json!({})).await;
        let instances: Api<DatabaseInstance> = fixture.instances();
        has_its_finalizer(&instances, &instance).await;
        let spec = json!(instances.get(&instance).await.unwrap().spec);
        replace(&instances, &instance, spec).await;
        has_its_finalizer(&instances, &instance).await;
    })
    .await;
}

/// What is stalled for a name is looked at when it is asked to, and gets it once it is free.
#[tokio::test]
async fn a_name_that_somebody_gave_back_is_taken() {
    with_fixture(Server::Postgres, async |fixture| {
        let spec = json!({"postgresql": {"encoding": "SJIS"}});
        let name = fixture.make("orders", spec).await;
        fixture.stalled(&name, "Unsupported").await;
        by_hand(fixture, &name).await;
        fixture
            .patch(&name, json!({"spec": {"postgresql": null}}))
            .await;
        fixture.stalled(&name, "NotAdoptable").await;
        let mut root = fixture.server.root(&fixture.client).await;
        let drop = format!("DROP DATABASE {}", fixture.server.quote(&name));
        root.run(&drop).await.unwrap();
        root.close().await;
        fixture.annotate(&name, RECONCILE_REQUESTED_AT, "1").await;
        fixture.usable(&name).await;
        let session = Session::open(&fixture.client, &fixture.secret(&name).await).await;
        session.unwrap().close().await;
    })
    .await;
}
