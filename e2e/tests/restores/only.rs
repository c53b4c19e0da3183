//! Some tables of a backup, instead of all of it.

use e2e::testing::{Server, on_every_server, with_fixture};
use serde_json::json;

use super::{backed_up, column, empty, ids, run};

#[tokio::test]
async fn one_table_comes_back_and_what_needs_another_is_told() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, _) = backed_up(fixture).await;
        run(fixture, &name, "CREATE TABLE other (id INT PRIMARY KEY)").await;
        run(fixture, &name, "ALTER TABLE orders ADD COLUMN of INT REFERENCES other").await;
        let backup = fixture.back_up("both", &name, json!({})).await;
        fixture.completed(&backup).await;
        let copy = empty(fixture, "copy").await;
        let source = json!({"backupRef": {"name": backup}});

        let wrong = json!({"source": source, "only": {"tables": ["public.Orders"]}});
        let restore = fixture.ask_restore("wrong", &copy, wrong).await;
        let failure = fixture.restore_failed(&restore).await;
        assert_eq!(failure.reason, "OnlyRefused");
        assert!(failure.message.contains("public.Orders"), "{}", failure.message);

        let spec = json!({"source": source, "only": {"tables": ["public.orders"]}, "check": {"level": "Digest"}});
        let restore = fixture.ask_restore("one", &copy, spec).await;
        let status = fixture.restore_completed(&restore).await.status.unwrap();
        assert!(status.left_out.join(" ").contains("foreign keys public.orders"), "{:?}", status.left_out);
        assert_eq!(status.report.unwrap().tables, Some(1));
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3"]);
        let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
        assert_eq!(column(fixture, &copy, tables).await, ["orders"]);
        let database = fixture.secret(&copy).await["database"].clone();
        fixture.nothing_beside(&database).await;

        // The same is tried out.
        let part = json!({"source": source, "only": {"tables": ["public.orders"]}});
        let test = fixture.ask_test("tried", fixture.server.instance(), part).await;
        let tested = fixture.restore_completed(&test).await;
        let status = tested.status.clone().unwrap();
        assert!(status.left_out.join(" ").contains("foreign keys public.orders"), "{:?}", status.left_out);
        assert_eq!(status.report.unwrap().tables, Some(1));
        fixture.nothing_of_test(&tested).await;
    })
    .await;
}

#[tokio::test]
async fn other_servers_load_a_dump_as_a_whole() {
    on_every_server(async |fixture| {
        if fixture.server.is_postgres() {
            return;
        }
        let (_, backup) = backed_up(fixture).await;
        let copy = empty(fixture, "copy").await;
        let spec =
            json!({"source": {"backupRef": {"name": backup}}, "only": {"tables": ["x.orders"]}});
        let restore = fixture.ask_restore("part", &copy, spec).await;
        let failure = fixture.restore_failed(&restore).await;
        assert_eq!(failure.reason, "Unsupported", "{}", failure.message);
    })
    .await;
}
