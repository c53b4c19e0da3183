//! Whoever has nothing to do with a flood is served meanwhile: the short form of `cargo xtask bench bystander`.
//! It needs the cluster with the operator in it: `cargo xtask load`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

use std::time::{Duration, Instant};

use db_operator::api::{DatabaseState, RECONCILE_REQUESTED_AT};
use e2e::testing::{Fixture, SOON, Server, Session, with_fixture};
use futures::future::{Either, join_all, select};
use serde_json::json;

/// How many Databases wait for a lock of their own users.
const FLOOD: usize = 16;

/// How many Databases of somebody else are made meanwhile.
const BYSTANDERS: usize = 10;

/// What is promised to each of them.
const CREATED_WITHIN: Duration = Duration::from_secs(5);

/// What is promised to a Backup.
const BEGUN_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_bystander_is_served_while_another_namespace_waits_for_locks() {
    with_fixture(Server::Postgres, async |flood| {
        let bystander = flood.neighbour().await;
        let kept = bystander
            .make_usable("kept", json!({"deletionPolicy": "Delete"}))
            .await;
        let names = databases(flood).await;
        let locks = join_all(names.iter().map(|name| lock(flood, name))).await;
        wait_for_locks(flood, &names).await;

        let asking = std::pin::pin!(ask_again_and_again(flood, &names));
        let served = std::pin::pin!(serve(&bystander, &kept));
        let Either::Right((times, _)) = select(asking, served).await else {
            unreachable!("nobody stops asking")
        };
        for lock in locks {
            lock.close().await;
        }
        let slowest = times.iter().max().unwrap();
        assert!(*slowest <= CREATED_WITHIN, "{times:?}");
        // When the locks are gone, what was asked for is done without anybody's help.
        for name in &names {
            flood.until(name, "done", 3 * SOON, is_usable).await;
        }
    })
    .await;
}

/// Makes the flood's Databases.
async fn databases(flood: &Fixture) -> Vec<String> {
    let mut names = Vec::new();
    for number in 0..FLOOD {
        let spec = json!({"deletionPolicy": "Delete"});
        names.push(flood.make(&format!("flood-{number}"), spec).await);
    }
    for name in &names {
        flood.usable(name).await;
    }
    names
}

/// The Database's own user has a schema made, and does not say whether it is to stay.
async fn lock(flood: &Fixture, name: &str) -> Session {
    let secret = flood.secret(name).await;
    let mut session = Session::open(&flood.client, &secret).await.unwrap();
    session.run("BEGIN; CREATE SCHEMA s1").await.unwrap();
    session
}

/// Has the operator make the same schemas, and sees that it waits for the locks.
async fn wait_for_locks(flood: &Fixture, names: &[String]) {
    let spec = json!({"spec": {"postgresql": {"schemas": [{"name": "s1"}]}}});
    for name in names {
        flood.patch(name, spec.clone()).await;
    }
    let waits = |database: &db_operator::api::Database| {
        let conditions = database.status.as_ref().map(|status| &status.conditions);
        conditions.is_some_and(|all| {
            all.iter()
                .any(|one| one.message.contains("waits for another session"))
        })
    };
    flood
        .until(&names[0], "waits for the lock", SOON, waits)
        .await;
}

/// Requests by annotation, once a second each.
async fn ask_again_and_again(flood: &Fixture, names: &[String]) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for round in 0.. {
        seconds.tick().await;
        let value = format!("round {round}");
        let asked = names
            .iter()
            .map(|name| flood.annotate(name, RECONCILE_REQUESTED_AT, &value));
        join_all(asked).await;
    }
}

/// Makes one Database after the other, and a Backup beside them. Returns how long each took until it was `CREATED`.
async fn serve(bystander: &Fixture, kept: &str) -> Vec<Duration> {
    let backup = bystander.back_up("backup", kept, json!({})).await;
    let begins = bystander.backup_until(&backup, "begun", BEGUN_WITHIN, |backup| {
        backup.state().is_some()
    });
    let databases = async {
        let mut times = Vec::new();
        for number in 0..BYSTANDERS {
            let spec = json!({"deletionPolicy": "Delete"});
            let began = Instant::now();
            let name = bystander.make(&format!("new-{number}"), spec).await;
            let created = |database: &db_operator::api::Database| {
                database.state() == Some(DatabaseState::Created)
            };
            bystander.until(&name, "CREATED", SOON, created).await;
            times.push(began.elapsed());
        }
        times
    };
    let (_, times) = tokio::join!(begins, databases);
    bystander.completed(&backup).await;
    times
}

fn is_usable(database: &db_operator::api::Database) -> bool {
    database.status.as_ref().is_some_and(|status| {
        status.observed_generation == database.metadata.generation
            && status
                .conditions
                .iter()
                .all(|one| !one.message.contains("waits for another session"))
    })
}
