//! Deleted while it runs, itself or its Database.

use db_operator::api::RestoreState;
use e2e::testing::{Fixture, RESTORED, on_every_server};
use serde_json::json;

use super::{backed_up, column, empty};

/// A restore that stays in its check for a minute. Returns its name, that of its Database, and that on the server.
async fn checking(fixture: &Fixture) -> (String, String, String) {
    let (_, backup) = backed_up(fixture).await;
    let copy = empty(fixture, "copy").await;
    let database = fixture.secret(&copy).await["database"].clone();
    let sql = if fixture.server.is_postgres() {
        "select pg_sleep(50) is not null"
    } else {
        "select sleep(50) = 0"
    };
    let spec = json!({
        "source": {"backupRef": {"name": backup}}, "check": {"queries": [{"name": "slow", "sql": sql}]},
    });
    let restore = fixture.ask_restore("back", &copy, spec).await;
    fixture
        .restore_until(&restore, "checking", RESTORED, |restore| {
            restore.state() == Some(RestoreState::Checking)
        })
        .await;
    (restore, copy, database)
}

#[tokio::test]
async fn a_restore_that_is_deleted_while_it_runs_leaves_an_empty_database() {
    on_every_server(async |fixture| {
        let (restore, copy, database) = checking(fixture).await;
        fixture.delete_restore(&restore).await;
        fixture.restore_gone(&restore).await;
        fixture.nothing_beside(&database).await;
        fixture.usable(&copy).await;
        let tables = if fixture.server.is_postgres() {
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
        } else {
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
        };
        assert!(column(fixture, &copy, tables).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_deleted_takes_its_restore_along() {
    on_every_server(async |fixture| {
        let (restore, copy, database) = checking(fixture).await;
        fixture.delete(&copy).await;
        assert_eq!(
            fixture.restore_failed(&restore).await.reason,
            "DatabaseDeleted"
        );
        fixture.gone(&copy).await;
        let left = fixture.server.names(&fixture.client, &database).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}
