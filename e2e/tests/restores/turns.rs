//! A backup and a restore of one Database exclude each other; of those that wait, the oldest is first.

use db_operator::api::{Backup, Restore};
use e2e::testing::{BACKED_UP, RESTORED, Server, with_fixture};
use serde_json::json;

use super::{backed_up, empty};

#[tokio::test]
async fn a_restore_waits_for_a_backup_and_a_backup_for_a_restore() {
    with_fixture(Server::Postgres, async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let copy = empty(fixture, "copy").await;
        // A dump that waits for a lock holds the turn.
        let holder = fixture.hold_up(&copy).await;
        let first = fixture.back_up("first", &copy, json!({})).await;
        fixture.backing_up(&first).await;
        let database = fixture.secret(&copy).await["database"].clone();
        let spec = json!({
            "source": {"backupRef": {"name": backup}}, "mode": "Replace", "confirm": database,
        });
        let restore = fixture.ask_restore("back", &copy, spec).await;
        // Until it asks for its turn, it may wait for others of its server.
        fixture.restore_waits_for(&restore, &first).await;
        let second = fixture.back_up("second", &copy, json!({})).await;
        holder.close().await;
        fixture.completed(&first).await;
        let restored = fixture.restore_completed(&restore).await;
        let backed_up = fixture
            .backup_until(&second, "ended", BACKED_UP.max(RESTORED), |backup| {
                backup.state().is_some() && !backup.is_active()
            })
            .await;
        assert!(ended(&restored) <= begun(&backed_up), "one after the other");
    })
    .await;
}

#[tokio::test]
async fn one_that_waits_behind_a_backup_keeps_no_slot_from_others() {
    with_fixture(Server::Postgres, async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let (busy, idle) = (empty(fixture, "busy").await, empty(fixture, "idle").await);
        let holder = fixture.hold_up(&busy).await;
        let first = fixture.back_up("first", &busy, json!({})).await;
        fixture.backing_up(&first).await;
        let database = fixture.secret(&busy).await["database"].clone();
        let source = json!({"backupRef": {"name": backup}});
        let behind = json!({"source": source, "mode": "Replace", "confirm": database});
        let behind = fixture.ask_restore("behind", &busy, behind).await;
        fixture
            .restore_waits(&behind, "Reconciling", "WaitingForTurn")
            .await;
        // The instance lets one restore run at a time.
        let other = fixture
            .ask_restore("other", &idle, json!({"source": source}))
            .await;
        fixture.restore_completed(&other).await;
        holder.close().await;
        fixture.completed(&first).await;
        fixture.restore_completed(&behind).await;
    })
    .await;
}

#[tokio::test]
async fn a_restore_into_another_database_begins_when_its_backup_completes() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, _) = backed_up(fixture).await;
        let copy = empty(fixture, "copy").await;
        let holder = fixture.hold_up(&name).await;
        let backup = fixture.back_up("awaited", &name, json!({})).await;
        fixture.backing_up(&backup).await;
        let spec = json!({"source": {"backupRef": {"name": backup}}});
        let restore = fixture.ask_restore("back", &copy, spec).await;
        fixture
            .restore_waits(&restore, "Reconciling", "WaitingForBackup")
            .await;
        holder.close().await;
        // Well before the next resync.
        fixture.completed(&backup).await;
        fixture.restore_completed(&restore).await;
    })
    .await;
}

fn ended(restore: &Restore) -> jiff::Timestamp {
    restore.status.as_ref().unwrap().finished_at.unwrap()
}

fn begun(backup: &Backup) -> jiff::Timestamp {
    backup.status.as_ref().unwrap().started_at.unwrap()
}
