//! What is refused before anything is made.

use e2e::testing::{Server, on_every_server, with_fixture};
use serde_json::json;

use super::{backed_up, empty, ids, run};

#[tokio::test]
async fn a_database_with_something_in_it_is_not_loaded_into() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let copy = empty(fixture, "copy").await;
        run(fixture, &copy, "CREATE TABLE orders (id INT)").await;
        run(fixture, &copy, "INSERT INTO orders VALUES (9)").await;
        let spec = json!({"source": {"backupRef": {"name": backup}}});
        let restore = fixture.ask_restore("back", &copy, spec).await;
        let failure = fixture.restore_failed(&restore).await;
        assert_eq!(failure.reason, "NotEmpty");
        assert!(failure.message.contains("orders"), "{}", failure.message);
        fixture.usable(&copy).await;
        assert_eq!(ids(fixture, &copy).await, ["9"]);
        let database = fixture.secret(&copy).await["database"].clone();
        fixture.nothing_beside(&database).await;
    })
    .await;
}

#[tokio::test]
async fn a_replacement_needs_the_right_name() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, backup) = backed_up(fixture).await;
        let spec = json!({
            "source": {"backupRef": {"name": backup}}, "mode": "Replace", "confirm": "another",
        });
        let restore = fixture.ask_restore("back", &name, spec).await;
        let failure = fixture.restore_failed(&restore).await;
        assert_eq!(failure.reason, "WrongConfirm");
        let database = fixture.secret(&name).await["database"].clone();
        assert!(failure.message.contains(&database), "{}", failure.message);
    })
    .await;
}

#[tokio::test]
async fn mysql_and_mariadb_say_what_to_do_instead_of_a_replacement() {
    on_every_server(async |fixture| {
        if fixture.server.is_postgres() {
            return;
        }
        let (name, backup) = backed_up(fixture).await;
        let database = fixture.secret(&name).await["database"].clone();
        let source = json!({"backupRef": {"name": backup}});
        for (which, spec) in [
            (
                "replace",
                json!({"source": source, "mode": "Replace", "confirm": database}),
            ),
            (
                "digest",
                json!({"source": source, "check": {"level": "Digest"}}),
            ),
        ] {
            let restore = fixture.ask_restore(which, &name, spec).await;
            let failure = fixture.restore_failed(&restore).await;
            assert_eq!(failure.reason, "Unsupported", "{}", failure.message);
        }
        assert_eq!(ids(fixture, &name).await, ["1", "2", "3"]);
    })
    .await;
}

#[tokio::test]
async fn a_backup_that_failed_or_is_not_there_is_not_restored() {
    with_fixture(Server::Postgres, async |fixture| {
        let copy = empty(fixture, "copy").await;
        let missing = json!({"source": {"backupRef": {"name": "there-is-none"}}});
        let restore = fixture.ask_restore("missing", &copy, missing).await;
        fixture
            .restore_waits(&restore, "Reconciling", "WaitingForBackup")
            .await;
        // It keeps nobody from anything meanwhile.
        run(fixture, &copy, "CREATE TABLE orders (id INT)").await;
        let backup = fixture.back_up("beside", &copy, json!({})).await;
        fixture.completed(&backup).await;
    })
    .await;
}

#[tokio::test]
async fn a_backup_that_is_larger_than_the_instance_allows_waits_and_nothing_is_made() {
    with_fixture(Server::Postgres, async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let backups = fixture.backups().get(&backup).await.unwrap();
        let key = backups.status.unwrap().upload.unwrap().key;
        let limit = json!({"restore": {"maxBytes": "1k"}, "allowedNamespaces": {"names": [fixture.namespace]}});
        let instance = fixture.make_instance("small", limit).await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        let copy = fixture.make("copy", spec).await;
        fixture.usable(&copy).await;
        let key = format!("{key}.json");
        let source = json!({"manifest": {"instance": fixture.server.instance(), "key": key}});
        let restore = fixture
            .ask_restore("back", &copy, json!({"source": source}))
            .await;
        let message = fixture.restore_waits(&restore, "Stalled", "TooLarge").await;
        assert!(
            message.contains(&instance) && message.contains("1k"),
            "{message}"
        );
        assert_eq!(fixture.beside(&copy).await, [""; 0]);
        // A test writes as much.
        let test = fixture
            .ask_test("tried", &instance, json!({"source": source}))
            .await;
        fixture.restore_waits(&test, "Stalled", "TooLarge").await;
        // Both begin when the platform raises the limit.
        fixture
            .patch_instance(&instance, json!({"restore": {"maxBytes": "1Gi"}}))
            .await;
        fixture.restore_completed(&restore).await;
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3"]);
        let tested = fixture.restore_completed(&test).await;
        fixture.nothing_of_test(&tested).await;
    })
    .await;
}
