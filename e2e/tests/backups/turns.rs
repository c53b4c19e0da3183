//! Backups of one Database: one at a time, the oldest first, and the Database usable all the while.

use std::time::Duration;

use db_operator::api::{Backup, BackupState, Database, DatabaseState};
use e2e::testing::{
    BACKED_UP, Bed, SOON, Server, Session, condition, in_bed, is_ready, on_every_server,
};
use serde_json::json;

fn reason(backup: &Backup, type_: &str) -> Option<String> {
    let status = backup.status.as_ref()?;
    condition(&status.conditions, type_).map(|found| found.reason.clone())
}

/// A session that holds a lock which a dump waits for.
async fn hold_up(bed: &Bed, database: &str) -> Session {
    let secret = bed.secret(database).await;
    let mut own = Session::open(&bed.client, &secret).await.unwrap();
    own.run("CREATE TABLE locked (x INT)").await.unwrap();
    own.close().await;
    let mut holder = bed.server.superuser(&bed.client, database).await;
    let lock = if bed.server.is_postgres() {
        "BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE"
    } else {
        "LOCK TABLES locked WRITE"
    };
    holder.run(lock).await.unwrap();
    holder
}

async fn is_backing_up(bed: &Bed, backup: &str) {
    bed.backup_until(backup, "running", BACKED_UP, |found| {
        found.state() == Some(BackupState::BackingUp)
    })
    .await;
}

#[tokio::test]
async fn they_take_turns_by_age_and_the_database_stays_ready() {
    on_every_server(async |bed| {
        let name = bed
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        // Of the same second, the first by name is the first.
        let mut line = Vec::new();
        for backup in ["a", "b", "c"] {
            line.push(bed.back_up(backup, &name, json!({})).await);
        }
        let mut last_end = None;
        for backup in &line {
            let ended = |found: &Backup| found.state().is_some_and(BackupState::is_terminal);
            bed.backup_until(backup, "ended", BACKED_UP, ended).await;
            let database = bed.databases().get(&name).await.unwrap();
            assert!(is_ready(&database), "{:?}", database.status);
            let status = bed.completed(backup).await.status.unwrap();
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
        let database = bed.until(&name, "at rest", SOON, rested).await;
        assert!(is_ready(&database), "{:?}", database.status);
    })
    .await;
}

#[tokio::test]
async fn one_that_is_deleted_hands_its_turn_on() {
    in_bed(Server::Postgres, async |bed| {
        let name = bed
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = hold_up(bed, &name).await;
        let first = bed.back_up("a", &name, json!({})).await;
        is_backing_up(bed, &first).await;
        let database = bed.databases().get(&name).await.unwrap();
        assert_eq!(database.state(), Some(DatabaseState::BackupInProgress));
        let second = bed.back_up("b", &name, json!({})).await;
        let third = bed.back_up("c", &name, json!({})).await;
        bed.backup_until(&third, "waiting", SOON, |found| {
            reason(found, "Reconciling").as_deref() == Some("WaitingForTurn")
        })
        .await;

        // One that waits, and then the one that runs.
        bed.delete_backup(&second).await;
        bed.delete_backup(&first).await;
        holder.close().await;
        bed.completed(&third).await;
        for gone in [&first, &second] {
            let left = bed.backups().get_opt(gone).await.unwrap();
            assert!(left.is_none(), "{left:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_suspended_database_begins_no_backup() {
    in_bed(Server::Postgres, async |bed| {
        let spec = json!({"deletionPolicy": "Delete", "suspend": true});
        let name = bed.make("orders", spec).await;
        bed.until(&name, "created", SOON, |database| {
            database.state() == Some(DatabaseState::Created)
        })
        .await;
        let backup = bed.back_up("a", &name, json!({})).await;
        let waits = |found: &Backup| {
            found.state().is_none()
                && reason(found, "Reconciling").as_deref() == Some("WaitingForDatabase")
        };
        bed.backup_until(&backup, "waiting", SOON, waits).await;
        bed.patch(&name, json!({"spec": {"suspend": false}})).await;
        bed.completed(&backup).await;
    })
    .await;
}

#[tokio::test]
async fn a_deletion_cancels_the_backup_that_runs() {
    on_every_server(async |bed| {
        let name = bed.make_usable("orders", json!({})).await;
        let holder = hold_up(bed, &name).await;
        let backup = bed.back_up("a", &name, json!({})).await;
        is_backing_up(bed, &backup).await;
        bed.delete(&name).await;
        bed.gone(&name).await;
        let failed = bed
            .backup_until(&backup, "failed", SOON, |found| {
                found.state() == Some(BackupState::Failed)
            })
            .await;
        assert_eq!(
            reason(&failed, "Stalled").as_deref(),
            Some("DatabaseDeleted"),
            "{:?}",
            failed.status
        );
        holder.close().await;
    })
    .await;
}

#[tokio::test]
async fn one_that_stalls_ends_the_turn_and_the_next_begins() {
    in_bed(Server::Postgres, async |bed| {
        let name = bed
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = hold_up(bed, &name).await;
        let first = bed.back_up("a", &name, json!({"stallSeconds": 30})).await;
        let second = bed.back_up("b", &name, json!({})).await;
        let limit = BACKED_UP + Duration::from_secs(30);
        bed.backup_until(&first, "failed", limit, |found| {
            found.state() == Some(BackupState::Failed)
        })
        .await;
        holder.close().await;
        bed.completed(&second).await;
        let database = bed.usable(&name).await;
        assert_eq!(
            database.status.unwrap().last_backup.map(|last| last.name),
            Some(second)
        );
    })
    .await;
}
