//! What Git makes of objects: applied from two places, renamed, moved to another namespace. No byte of data and no password
//! changes unless it says so.

use db_operator::api::{Database, DatabaseState, RELEASE};
use e2e::testing::{Fixture, History, SOON, Session, on_every_server, password};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::deletion::write;

/// Whether the Secret logs in where the row is.
async fn has_the_row(fixture: &Fixture, name: &str) {
    let secret = fixture.secret(name).await;
    let mut session = Session::open(&fixture.client, &secret).await.unwrap();
    let found = session.column("SELECT x FROM kept").await.unwrap();
    session.close().await;
    assert_eq!(found, ["7"]);
}

/// Applies a part of a Database's spec in somebody's name.
async fn apply(
    fixture: &Fixture,
    manager: &str,
    name: &str,
    spec: Value,
) -> kube::Result<Database> {
    let object = json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": name}, "spec": spec,
    });
    let params = PatchParams::apply(manager);
    fixture
        .databases()
        .patch(name, &params, &Patch::Apply(object))
        .await
}

#[tokio::test]
async fn two_places_own_a_part_each_and_the_operator_none() {
    on_every_server(async |fixture| {
        let name = fixture.name("orders");
        let instance = json!({"name": fixture.server.instance()});
        let limited = json!({"instanceRef": instance, "connectionLimit": 5});
        apply(fixture, "team", &name, limited).await.unwrap();
        fixture.usable(&name).await;
        let before = write(fixture, &name).await;
        let history = History::of(&fixture.databases(), &name).await;

        let policy = json!({"instanceRef": instance, "deletionPolicy": "Delete"});
        apply(fixture, "platform", &name, policy.clone())
            .await
            .unwrap();
        fixture.usable(&name).await;
        let mut greedy = policy.clone();
        greedy["connectionLimit"] = json!(50);
        let refused = apply(fixture, "platform", &name, greedy).await.unwrap_err();
        assert!(refused.to_string().contains("\"team\""), "{refused}");

        // What one of them says no more is not kept for it; the other's part stays.
        let unlimited = json!({"instanceRef": instance});
        apply(fixture, "team", &name, unlimited).await.unwrap();
        let database = fixture.usable(&name).await;
        assert_eq!(database.spec.connection_limit, None);
        let spec = serde_json::to_value(&database.spec).unwrap();
        assert_eq!(spec["deletionPolicy"], "Delete");
        for managed in database.metadata.managed_fields.iter().flatten() {
            let manager = managed.manager.as_deref().unwrap_or_default();
            let fields = serde_json::to_value(&managed.fields_v1).unwrap();
            if !["team", "platform"].contains(&manager) {
                assert!(fields.get("f:spec").is_none(), "{manager}: {fields}");
            }
        }
        assert_eq!(password(&fixture.secret(&name).await), before);
        has_the_row(fixture, &name).await;
        let states = history.steps(Database::state).await;
        assert_eq!(states, [Some(DatabaseState::Created)]);
    })
    .await;
}

/// Another object for a database that was retained, in this or another namespace: with the consent of both sides.
async fn goes_on_as(fixture: &Fixture, other: &Fixture, name: &str) {
    let old = fixture.make_usable("old", json!({})).await;
    let before = write(fixture, &old).await;
    // A tool may make the new one before it prunes the old one.
    let early = other
        .make(name, json!({"name": old, "deletionPolicy": "Retain"}))
        .await;
    let message = other.stalled(&early, "ClaimedByAnother").await;
    assert!(
        message.contains(&format!("{}/{old}", fixture.namespace)),
        "{message}"
    );
    has_the_row(fixture, &old).await;
    assert_eq!(password(&fixture.secret(&old).await), before);
    fixture.delete(&old).await;
    fixture.gone(&old).await;

    // It was kept for the one that it was: the platform and the team have to say that this is the same.
    other.stalled(&early, "NotAdoptable").await;
    other.delete(&early).await;
    other.gone(&early).await;
    let entry = json!([{"database": old, "user": old, "namespace": other.namespace, "drop": true}]);
    let instance = other
        .make_instance(&format!("for-{name}"), json!({"adoptable": entry}))
        .await;
    let new = other
        .make(
            name,
            json!({
                "instanceRef": {"name": instance}, "name": old,
                "adoptionPolicy": "IfUnclaimed", "deletionPolicy": "Delete",
            }),
        )
        .await;
    other.usable(&new).await;
    other.told(&new, "Adopted").await;
    has_the_row(other, &new).await;
    other.told(&new, "PasswordSet").await;
    assert_ne!(password(&other.secret(&new).await), before);
}

#[tokio::test]
async fn renamed_it_goes_on_when_both_sides_say_so() {
    on_every_server(async |fixture| goes_on_as(fixture, fixture, "new").await).await;
}

#[tokio::test]
async fn moved_to_another_namespace_it_goes_on_when_both_sides_say_so() {
    on_every_server(async |fixture| {
        let neighbour = fixture.neighbour().await;
        goes_on_as(fixture, &neighbour, "moved").await;
    })
    .await;
}

/// The cluster was lost with all Secrets, and the objects came again from Git, in a cluster of the same id.
#[tokio::test]
async fn committed_again_in_a_cluster_of_the_same_id_it_has_its_data_and_says_that_the_password_is_new()
 {
    on_every_server(async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let before = write(fixture, &name).await;
        // Without a word to the server, as a cluster goes.
        fixture.annotate(&name, RELEASE, &name).await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        fixture.without_secret(&name).await;
        fixture.make("orders", json!({})).await;
        fixture
            .until(&name, "usable", SOON, e2e::testing::is_ready)
            .await;
        has_the_row(fixture, &name).await;
        assert_ne!(password(&fixture.secret(&name).await), before);
        fixture.told(&name, "PasswordSet").await;
    })
    .await;
}
