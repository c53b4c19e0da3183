//! From a backup to an equal database, by each way to name the backup.

use db_operator::api::restore::CheckLevel;
use db_operator::api::{Restore, RestoreState};
use e2e::dataset;
use e2e::testing::{Fixture, History, Session, is_ready, on_every_server};
use serde_json::json;

use super::{backed_up, empty, ids};

/// Rows beside those of all types.
const ROWS: u64 = 3_000_000;

#[tokio::test]
async fn a_backup_becomes_an_equal_database_again() {
    on_every_server(async |fixture| {
        fixture.restrict().await;
        let name = empty(fixture, "orders").await;
        let mut original = Session::open(&fixture.client, &fixture.secret(&name).await)
            .await
            .unwrap();
        dataset::fill(&mut original).await.unwrap();
        dataset::grow(&mut original, ROWS).await.unwrap();
        let backup = fixture.back_up("nightly", &name, json!({})).await;
        fixture.completed(&backup).await;
        let expected = dataset::fingerprint(&mut original).await.unwrap();
        original.close().await;

        // The same name and user again: nothing may differ.
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        let name = empty(fixture, "orders").await;
        let history = History::of(&fixture.restores(), &fixture.name("back")).await;
        let level = if fixture.server.is_postgres() {
            "Digest"
        } else {
            "Rows"
        };
        let queries = json!([{"name": "there-are-orders", "sql": "select count(*) > 0 from orders"}]);
        let spec = json!({
            "source": {"backupRef": {"name": backup}}, "check": {"level": level, "queries": queries},
        });
        let restore = fixture.ask_restore("back", &name, spec).await;
        let restore = fixture.restore_completed(&restore).await;
        assert_eq!(
            history.steps(Restore::state).await,
            [
                None,
                Some(RestoreState::Preparing),
                Some(RestoreState::Loading),
                Some(RestoreState::Checking),
                Some(RestoreState::Switching),
                Some(RestoreState::Completed)
            ]
        );
        the_report_is_complete(fixture, &restore);
        // Its Secret works, and the Database says so.
        fixture.usable(&name).await;
        let secret = fixture.secret(&name).await;
        let mut restored = Session::open(&fixture.client, &secret).await.unwrap();
        let found = dataset::fingerprint(&mut restored).await.unwrap();
        restored.close().await;
        assert_equal(&expected, &found);
        fixture.nothing_beside(&secret["database"]).await;
    })
    .await;
}

fn the_report_is_complete(fixture: &Fixture, restore: &Restore) {
    let status = restore.status.clone().unwrap();
    let report = status.report.unwrap();
    let level = if fixture.server.is_postgres() {
        CheckLevel::Digest
    } else {
        CheckLevel::Rows
    };
    assert_eq!(report.checked, Some(level));
    assert_eq!(report.queries, Some(1));
    assert!(report.tables.unwrap() > 1 && report.rows.unwrap() > 1_000);
    assert!(report.differences.is_empty(), "{report:?}");
    assert!(report.tool_version.is_some() && report.downtime_millis.is_some());
    let (started, finished) = (status.started_at.unwrap(), status.finished_at.unwrap());
    let seconds = finished.duration_since(started).as_secs();
    assert_eq!(status.duration_seconds, Some(seconds));
    let target = status.target.unwrap();
    assert_eq!(target.instance, fixture.server.instance());
    assert!(target.former.is_none() && target.scratch.is_none() && target.login.is_none());
    assert!(status.failure.is_none());
}

fn assert_equal(expected: &str, found: &str) {
    let differences: Vec<_> = expected
        .lines()
        .zip(found.lines())
        .filter(|(expected, found)| expected != found)
        .take(5)
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(expected.lines().count(), found.lines().count());
}

#[tokio::test]
async fn the_newest_backup_and_one_by_its_manifest_are_found_without_a_backup_object() {
    on_every_server(async |fixture| {
        let (name, backup) = backed_up(fixture).await;
        let backup = fixture.backups().get(&backup).await.unwrap();
        let upload = backup.status.clone().unwrap().upload.unwrap();
        fixture.delete_backup(&backup.metadata.name.unwrap()).await;

        let copy = empty(fixture, "copy").await;
        let latest = json!({"source": {"latest": {"database": {"name": name}}}});
        let restore = fixture.ask_restore("latest", &copy, latest).await;
        let restore = fixture.restore_completed(&restore).await;
        assert_eq!(restore.status.unwrap().source.unwrap().key, upload.key);
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3"]);

        let other = empty(fixture, "other").await;
        let key = format!("{}.json", upload.key);
        let instance = fixture.server.instance();
        let manifest = json!({"source": {"manifest": {"instance": instance, "key": key}}});
        let restore = fixture.ask_restore("manifest", &other, manifest).await;
        fixture.restore_completed(&restore).await;
        assert_eq!(ids(fixture, &other).await, ["1", "2", "3"]);

        // Before there was one.
        let early = json!({"source": {"latest": {"database": {"name": name}, "before": "2020-01-01T00:00:00Z"}}});
        let third = empty(fixture, "third").await;
        let restore = fixture.ask_restore("early", &third, early).await;
        let message = fixture
            .restore_waits(&restore, "Stalled", "BackupNotFound")
            .await;
        assert!(message.contains("no backup from before 2020"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn the_database_stays_ready_but_for_the_moment_in_which_it_is_at_work() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let copy = empty(fixture, "copy").await;
        let history = History::of(&fixture.databases(), &copy).await;
        let spec = json!({"source": {"backupRef": {"name": backup}}});
        let restore = fixture.ask_restore("back", &copy, spec).await;
        fixture.restore_completed(&restore).await;
        fixture.usable(&copy).await;
        let steps = history.steps(is_ready).await;
        // It may be too quick to be seen; it begins and ends well in any case.
        assert!(
            matches!(steps.as_slice(), [true] | [true, false, true]),
            "{steps:?}"
        );
    })
    .await;
}
