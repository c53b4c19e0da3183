//! Backups of one Database: one at a time, the oldest first, and the Database usable all the while.

use std::time::Duration;

use db_operator::api::{Backup, BackupState, Database, DatabaseState};
use e2e::testing::{BACKED_UP, SOON, Server, is_ready, on_every_server, with_fixture};
use serde_json::json;

#[tokio::test]
async fn they_take_turns_by_age_and_the_database_stays_ready() {
    on_every_server(async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        // Of the same second, the first by name is the first.
        let mut line = Vec::new();
        for backup in ["a", "b", "c"] {
            line.push(fixture.back_up(backup, &name, json!({})).await);
        }
        let mut last_end = None;
        for backup in &line {
            let ended = |found: &Backup| found.state().is_some_and(BackupState::is_terminal);
            fixture
                .backup_until(backup, "ended", BACKED_UP, ended)
                .await;
            let database = fixture.databases().get(&name).await.unwrap();
            assert!(is_ready(&database), "{:?}", database.status);
            let status = fixture.completed(backup).await.status.unwrap();
            let begun = status.started_at.unwrap();
            assert!(
                last_end.is_none_or(|end| end <= begun),
                "{backup}: {status:?}"
            );
            last_end = status.finished_at;
        }
        let last = line.last().cloned();
        let rested = |database: &Database| {
            let status = database.status.clone().unwrap_or_default();
            status.state == Some(DatabaseState::Created)
                && status.backup.is_none()
                && status.last_backup.map(|backup| backup.name) == last
        };
        let database = fixture.until(&name, "at rest", SOON, rested).await;
        assert!(is_ready(&database), "{:?}", database.status);
    })
    .await;
}

#[tokio::test]
async fn one_that_is_deleted_hands_its_turn_on() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = fixture.hold_up(&name).await;
        let first = fixture.back_up("a", &name, json!({})).await;
        fixture.backing_up(&first).await;
        let database = fixture.databases().get(&name).await.unwrap();
        assert_eq!(database.state(), Some(DatabaseState::BackupInProgress));
        let second = fixture.back_up("b", &name, json!({})).await;
        let third = fixture.back_up("c", &name, json!({})).await;
        fixture.waits(&third, "Reconciling", "WaitingForTurn").await;

        // One that waits, and then the one that runs.
        fixture.delete_backup(&second).await;
        fixture.delete_backup(&first).await;
        holder.close().await;
        fixture.completed(&third).await;
        for gone in [&first, &second] {
            let left = fixture.backups().get_opt(gone).await.unwrap();
            assert!(left.is_none(), "{left:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_suspended_database_begins_no_backup() {
    with_fixture(Server::Postgres, async |fixture| {
        let spec = json!({"deletionPolicy": "Delete", "suspend": true});
        let name = fixture.make("orders", spec).await;
        fixture
            .until(&name, "created", SOON, |database| {
                database.state() == Some(DatabaseState::Created)
            })
            .await;
        let backup = fixture.back_up("a", &name, json!({})).await;
        let message = fixture
            .waits(&backup, "Reconciling", "WaitingForDatabase")
            .await;
        assert!(message.contains("suspended"), "{message}");
        fixture
            .patch(&name, json!({"spec": {"suspend": false}}))
            .await;
        fixture.completed(&backup).await;
    })
    .await;
}

#[tokio::test]
async fn one_that_stalls_ends_the_turn_and_the_next_begins() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = fixture.hold_up(&name).await;
        let first = fixture
            .back_up("a", &name, json!({"stallSeconds": 30}))
            .await;
        let second = fixture.back_up("b", &name, json!({})).await;
        let limit = BACKED_UP + Duration::from_secs(30);
        let failure = fixture.failed(&first, limit).await;
        assert_eq!(failure.reason, "NoProgress", "{failure:?}");
        holder.close().await;
        fixture.completed(&second).await;
        let database = fixture.usable(&name).await;
        assert_eq!(
            database.status.unwrap().last_backup.map(|last| last.name),
            Some(second)
        );
    })
    .await;
}

#[tokio::test]
async fn an_instance_has_two_places_and_the_oldest_gets_the_next() {
    with_fixture(Server::Mariadb, async |fixture| {
        let instance = fixture.make_instance("i", json!({})).await;
        let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
        let mut holders = Vec::new();
        for name in ["a", "b", "c", "d"] {
            let name = fixture.make_usable(name, spec.clone()).await;
            holders.push((name.clone(), fixture.hold_up(&name).await));
        }
        let mut backups = Vec::new();
        for (number, (name, _)) in holders.iter().enumerate() {
            let backup = fixture.back_up(&number.to_string(), name, json!({})).await;
            if number < 2 {
                fixture.backing_up(&backup).await;
            }
            backups.push(backup);
        }
        for backup in &backups[2..] {
            let message = fixture.waits(backup, "Reconciling", "WaitingForTurn").await;
            assert!(message.contains("--max-backups-per-instance"), "{message}");
            assert!(message.contains(&instance), "{message}");
        }
        // One on another instance is not held up by those.
        let elsewhere = fixture
            .make_usable("elsewhere", json!({"deletionPolicy": "Delete"}))
            .await;
        let elsewhere = fixture.back_up("elsewhere", &elsewhere, json!({})).await;
        fixture.completed(&elsewhere).await;

        fixture.delete_backup(&backups[1]).await;
        fixture.backing_up(&backups[2]).await;
        fixture
            .waits(&backups[3], "Reconciling", "WaitingForTurn")
            .await;
        for (_, holder) in holders {
            holder.close().await;
        }
        for backup in [&backups[0], &backups[2], &backups[3]] {
            fixture.completed(backup).await;
        }
    })
    .await;
}
