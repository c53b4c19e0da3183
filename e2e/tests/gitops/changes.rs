//! A commit is carried out on the server; a hand edit is taken back, on the server as well.

use e2e::testing::{Fixture, History, SOON, Server, eventually, password};
use serde_json::{Value, json};

use crate::place::{Place, database, in_place};

/// Waits until the server itself has this limit for a user.
async fn limited(fixture: &Fixture, user: &str, limit: i32) {
    let sql = if fixture.server.is_postgres() {
        format!("SELECT rolconnlimit::text FROM pg_roles WHERE rolname = '{user}'")
    } else {
        format!("SELECT CAST(max_user_connections AS CHAR) FROM mysql.user WHERE user = '{user}'")
    };
    let mut root = fixture.server.root(&fixture.client).await;
    eventually(&format!("{user} has {limit}"), SOON, async || {
        let found = root.column(&sql).await.unwrap();
        if found == [limit.to_string()] {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
    root.close().await;
}

fn with_limit(fixture: &Fixture, limit: i32) -> Value {
    json!({
        "instanceRef": {"name": fixture.server.instance()}, "deletionPolicy": "Delete",
        "connectionLimit": limit,
    })
}

async fn a_limit(place: &Place<'_>) {
    let fixture = place.fixture;
    let name = fixture.name("orders");
    let commit = |limit| {
        let text = database(&name, &with_limit(fixture, limit));
        place.repository.write("app/orders.yaml", &text);
    };
    commit(5);
    place.repository.push("five sessions");
    let app = place.application("app", &fixture.namespace, "", &[]).await;
    place.healthy(&app).await;
    limited(fixture, &name, 5).await;
    let before = password(&fixture.secret(&name).await);

    commit(9);
    place.commit("nine sessions", &app).await;
    limited(fixture, &name, 9).await;
    place.healthy(&app).await;

    let history = History::of(&fixture.databases(), &name).await;
    fixture
        .patch(&name, json!({"spec": {"connectionLimit": 2}}))
        .await;
    fixture
        .until(&name, "as Git says", crate::place::SYNCED, |database| {
            database.spec.connection_limit == Some(9)
        })
        .await;
    fixture.usable(&name).await;
    limited(fixture, &name, 9).await;
    place.healthy(&app).await;
    // The hand edit was there, and went by itself.
    let limits = history
        .steps(|database| database.spec.connection_limit)
        .await;
    assert_eq!(limits, [Some(9), Some(2), Some(9)]);
    assert_eq!(password(&fixture.secret(&name).await), before);
}

#[tokio::test]
async fn a_limit_that_is_committed_holds_on_the_server_and_a_hand_edit_does_not() {
    tokio::join!(
        in_place(Server::Postgres, a_limit),
        in_place(Server::Mariadb, a_limit),
        in_place(Server::Mysql, a_limit),
    );
}
