//! Two objects that name one database or one user: the first keeps it.

use e2e::testing::{Fixture, Session, on_every_server, password};
use serde_json::json;

/// Whether the owner's Secret still logs in, and the table that it made is there.
async fn is_untouched(fixture: &Fixture, owner: &str, before: &str) {
    let secret = fixture.secret(owner).await;
    assert_eq!(password(&secret), before);
    let mut session = Session::open(&fixture.client, &secret).await.unwrap();
    let found = session.column("SELECT x FROM kept").await.unwrap();
    assert_eq!(found, ["7"]);
    session.close().await;
}

async fn owner(fixture: &Fixture, name: &str) -> (String, String) {
    let name = fixture
        .make_usable(name, json!({"deletionPolicy": "Delete"}))
        .await;
    let secret = fixture.secret(&name).await;
    let mut session = Session::open(&fixture.client, &secret).await.unwrap();
    session.run("CREATE TABLE kept (x INT)").await.unwrap();
    session.run("INSERT INTO kept VALUES (7)").await.unwrap();
    session.close().await;
    (name, password(&secret))
}

#[tokio::test]
async fn the_loser_is_told_whose_it_is_and_its_deletion_touches_nothing() {
    on_every_server(async |fixture| {
        let (owner, before) = owner(fixture, "first").await;
        let of = format!("{}/{owner}", fixture.namespace);
        let neighbour = fixture.neighbour().await;
        let rivals = [
            // All of it, from the same namespace and from another one; the user alone; the database alone.
            (
                fixture,
                "r0",
                json!({"name": owner, "deletionPolicy": "Delete"}),
            ),
            (
                &neighbour,
                "r1",
                json!({"name": owner, "deletionPolicy": "Delete", "adoptionPolicy": "IfUnclaimed"}),
            ),
            (
                fixture,
                "r2",
                json!({"user": owner, "deletionPolicy": "Delete"}),
            ),
            (
                &neighbour,
                "r3",
                json!({"name": owner, "user": fixture.name("r3"), "deletionPolicy": "Delete"}),
            ),
        ];
        let mut names = Vec::new();
        for (place, name, spec) in rivals {
            names.push((place, place.make(name, spec).await));
        }
        for (place, name) in &names {
            let message = place.stalled(name, "ClaimedByAnother").await;
            assert!(message.contains(&of), "{name}: {message}");
            assert!(place.secrets().get_opt(name).await.unwrap().is_none());
            place.told(name, "ClaimedByAnother").await;
        }
        for (place, name) in &names {
            place.delete(name).await;
        }
        for (place, name) in &names {
            place.gone(name).await;
        }
        is_untouched(fixture, &owner, &before).await;
        let left = fixture
            .server
            .names(&fixture.client, &fixture.name("r"))
            .await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn the_loser_gets_the_name_when_the_winner_is_gone() {
    on_every_server(async |fixture| {
        let (owner, before) = owner(fixture, "winner").await;
        let neighbour = fixture.neighbour().await;
        let heir = neighbour.make("heir", json!({"name": owner})).await;
        neighbour.stalled(&heir, "ClaimedByAnother").await;
        fixture.delete(&owner).await;
        fixture.gone(&owner).await;
        // At once, not at the next resync.
        neighbour.usable(&heir).await;
        let secret = neighbour.secret(&heir).await;
        assert_ne!(password(&secret), before);
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        session.column("SELECT x FROM kept").await.unwrap_err();
        session.close().await;
    })
    .await;
}
