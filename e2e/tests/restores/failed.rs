//! A check that fails leaves the database as it was.

use db_operator::api::RestoreState;
use e2e::testing::{Server, on_every_server, with_fixture};
use serde_json::json;

use super::{backed_up, column, empty, ids, run};

#[tokio::test]
async fn a_query_that_is_not_answered_with_true_fails_the_restore_and_leaves_nothing() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let copy = empty(fixture, "copy").await;
        let database = fixture.secret(&copy).await["database"].clone();
        let spec = json!({
            "source": {"backupRef": {"name": backup}},
            "check": {"queries": [{"name": "four-orders", "sql": "select count(*) = 4 from orders"}]},
        });
        let restore = fixture.ask_restore("back", &copy, spec).await;
        let failure = fixture.restore_failed(&restore).await;
        assert_eq!(failure.reason, "CheckFailed");
        assert!(failure.message.contains("four-orders"), "{}", failure.message);
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
async fn what_a_failed_restore_left_is_removed_before_anything_else_begins() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let copy = empty(fixture, "copy").await;
        let source = json!({"backupRef": {"name": backup}});
        let failing = json!({
            "source": source, "check": {"queries": [{"name": "never", "sql": "select 1 = 2"}]},
        });
        let first = fixture.ask_restore("first", &copy, failing).await;
        assert_eq!(fixture.restore_failed(&first).await.reason, "CheckFailed");
        // Both ask at once, while all that was loaded may still be there.
        let again = fixture
            .ask_restore("again", &copy, json!({"source": source}))
            .await;
        let after = fixture.back_up("after", &copy, json!({})).await;
        let restored = fixture.restore_completed(&again).await;
        assert_eq!(restored.status.unwrap().report.unwrap().rows, Some(3));
        fixture.completed(&after).await;
        fixture.usable(&copy).await;
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3"]);
        let noted = fixture.databases().get(&copy).await.unwrap();
        let noted = noted.status.unwrap().restore.unwrap();
        assert_eq!(
            (noted.name, noted.state),
            (again, Some(RestoreState::Completed))
        );
    })
    .await;
}

#[tokio::test]
async fn a_database_in_use_is_not_touched_by_a_replacement_that_fails() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, backup) = backed_up(fixture).await;
        run(fixture, &name, "INSERT INTO orders VALUES (4)").await;
        let database = fixture.secret(&name).await["database"].clone();
        let spec = json!({
            "source": {"backupRef": {"name": backup}}, "mode": "Replace", "confirm": database,
            "check": {"queries": [{"name": "never", "sql": "select false"}]},
        });
        let restore = fixture.ask_restore("back", &name, spec).await;
        assert_eq!(fixture.restore_failed(&restore).await.reason, "CheckFailed");
        assert_eq!(ids(fixture, &name).await, ["1", "2", "3", "4"]);
        fixture.nothing_beside(&database).await;
    })
    .await;
}
