//! A Database that begins with a backup (`spec.initFrom`), and what keeps it from that.

use db_operator::api::database::InitOutcome;
use db_operator::api::{Database, DatabaseState, RECREATE_REQUESTED_AT, Restore, RestoreState};
use e2e::testing::{
    Fixture, History, NEXT_LOOK, RESTORED, SOON, Server, Session, on_every_server, with_fixture,
};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{backed_up, column, ids, run};

/// How often the rows of a backup whose load takes a while are doubled. Their index still fits into the servers' memory: three
/// of them are filled at the same time.
const DOUBLED: u32 = 18;

/// Makes a Database that begins with this. Returns its name.
pub(crate) async fn begin(fixture: &Fixture, name: &str, from: Value) -> String {
    let spec = json!({"deletionPolicy": "Delete", "initFrom": from});
    fixture.make(name, spec).await
}

/// Waits until a Database is `CREATED`, and has begun like this.
pub(crate) async fn begun(fixture: &Fixture, name: &str, outcome: InitOutcome) -> Database {
    fixture
        .until(name, "begun", RESTORED, |database| {
            database.state() == Some(DatabaseState::Created) && e2e::testing::is_ready(database)
        })
        .await;
    let database = fixture.usable(name).await;
    let init = database.status.clone().unwrap().init.unwrap();
    assert_eq!(init.outcome, Some(outcome));
    database
}

/// Waits until the Restore of a Database that begins is as wanted.
pub(crate) async fn restore_until(
    fixture: &Fixture,
    database: &str,
    what: &str,
    wanted: impl Fn(&Restore) -> bool,
) -> Restore {
    let noted = |database: &Database| {
        let init = database.status.as_ref()?.init.as_ref()?;
        init.restore_uid.as_ref().map(|_| init.restore.clone())
    };
    let database = fixture
        .until(database, "its Restore", NEXT_LOOK, |database| {
            noted(database).is_some()
        })
        .await;
    let name = noted(&database).unwrap();
    fixture.restore_until(&name, what, RESTORED, wanted).await
}

/// Whether it has begun, and has not ended.
pub(crate) fn runs(restore: &Restore) -> bool {
    restore.is_active() && restore.state() != Some(RestoreState::Preparing)
}

/// A Database with many rows, and a backup of it. Returns both names.
pub(crate) async fn large(fixture: &Fixture) -> (String, String) {
    let (name, _) = backed_up(fixture).await;
    let secret = fixture.secret(&name).await;
    let mut session = Session::open(&fixture.client, &secret).await.unwrap();
    let (table, first, double) = if fixture.server.is_postgres() {
        (
            "CREATE TABLE filler (id BIGSERIAL PRIMARY KEY, text TEXT UNIQUE)",
            "INSERT INTO filler (text) VALUES ('a')",
            "INSERT INTO filler (text) SELECT gen_random_uuid()::text FROM filler",
        )
    } else {
        (
            "CREATE TABLE filler (id BIGINT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(64), KEY (text))",
            "INSERT INTO filler (text) VALUES ('a')",
            "INSERT INTO filler (text) SELECT SHA2(RAND(), 256) FROM filler",
        )
    };
    session.run(table).await.unwrap();
    session.run(first).await.unwrap();
    for _ in 0..DOUBLED {
        session.run(double).await.unwrap();
    }
    session.close().await;
    let backup = fixture.back_up("large", &name, json!({})).await;
    fixture.completed(&backup).await;
    (name, backup)
}

fn tables(server: Server) -> &'static str {
    if server.is_postgres() {
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
    } else {
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    }
}

#[tokio::test]
async fn a_database_begins_with_a_backup_and_lets_nobody_in_before() {
    on_every_server(async |fixture| {
        fixture.restrict().await;
        let (name, backup) = backed_up(fixture).await;
        let copy = fixture.name("copy");
        let history = History::of(&fixture.databases(), &copy).await;
        let latest = json!({"latest": {"database": {"name": name}}});
        begin(fixture, "copy", latest).await;
        // While it is loaded there is no Secret.
        restore_until(fixture, &copy, "begun", Restore::is_active).await;
        let early = fixture.secrets().get_opt(&copy).await.unwrap();
        let database = fixture.databases().get(&copy).await.unwrap();
        assert!(early.is_none() || database.state() == Some(DatabaseState::Created));

        let database = begun(fixture, &copy, InitOutcome::Loaded).await;
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3"]);
        assert_eq!(
            history.steps(Database::state).await,
            [
                None,
                Some(DatabaseState::Creating),
                Some(DatabaseState::Created)
            ]
        );
        let status = database.status.unwrap();
        let init = status.init.unwrap();
        let source = init.source.unwrap();
        assert_eq!(source.backup, backup);
        let restore = fixture.restores().get(&init.restore).await.unwrap();
        assert_eq!(restore.uid(), init.restore_uid);
        let chosen = restore.status.clone().unwrap().source.unwrap();
        assert_eq!(chosen.manifest_sha256, source.manifest_sha256);
        assert!(restore.status.unwrap().warnings.is_empty());
        fixture.nothing_beside(&status.name.unwrap()).await;
        fixture.told(&copy, "Loaded").await;

        // It is one like any other: it is backed up, and its Restore goes with it.
        let again = fixture.back_up("again", &copy, json!({})).await;
        fixture.completed(&again).await;
        fixture.delete(&copy).await;
        fixture.gone(&copy).await;
        fixture.restore_gone(&init.restore).await;
    })
    .await;
}

#[tokio::test]
async fn a_backup_is_named_by_its_object_or_by_its_manifest() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let named = json!({"backupRef": {"name": backup}});
        let copy = begin(fixture, "copy", named).await;
        let found = fixture.backups().get(&backup).await.unwrap();
        let key = found.status.unwrap().upload.unwrap().key;
        let instance = fixture.server.instance();
        let manifest = json!({"manifest": {"instance": instance, "key": format!("{key}.json")}});
        let other = begin(fixture, "other", manifest).await;
        for name in [&copy, &other] {
            begun(fixture, name, InitOutcome::Loaded).await;
            assert_eq!(ids(fixture, name).await, ["1", "2", "3"]);
        }
    })
    .await;
}

#[tokio::test]
async fn without_any_backup_it_waits_or_begins_empty_as_it_says() {
    on_every_server(async |fixture| {
        let nothing = fixture.name("nothing");
        let latest = json!({"database": {"name": nothing}});
        let empty = json!({"latest": latest, "otherwise": "Empty"});
        let empty = begin(fixture, "empty", empty).await;
        begun(fixture, &empty, InitOutcome::Empty).await;
        assert!(
            column(fixture, &empty, tables(fixture.server))
                .await
                .is_empty()
        );
        fixture.told(&empty, "BeginsEmpty").await;

        let waits = begin(fixture, "waits", json!({"latest": latest})).await;
        let message = fixture
            .stalled_within(&waits, "InitFailed", NEXT_LOOK)
            .await;
        assert!(message.contains("NoBackups"), "{message}");
        assert!(fixture.secrets().get_opt(&waits).await.unwrap().is_none());
        // It goes on by itself once there is one.
        fixture
            .make_usable("nothing", json!({"deletionPolicy": "Delete"}))
            .await;
        run(
            fixture,
            &nothing,
            "CREATE TABLE orders (id INT PRIMARY KEY)",
        )
        .await;
        run(fixture, &nothing, "INSERT INTO orders VALUES (7)").await;
        let first = fixture.back_up("first", &nothing, json!({})).await;
        fixture.completed(&first).await;
        begun(fixture, &waits, InitOutcome::Loaded).await;
        assert_eq!(ids(fixture, &waits).await, ["7"]);
    })
    .await;
}

#[tokio::test]
async fn later_backups_a_store_that_is_away_and_a_missing_bucket_are_not_none() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, _) = backed_up(fixture).await;
        let early = json!({
            "latest": {"database": {"name": name}, "before": "2020-01-01T00:00:00Z"}, "otherwise": "Empty",
        });
        let early = begin(fixture, "early", early).await;

        let mut away = fixture.shared_destination().await;
        away["s3"]["endpoint"] = "https://nobody.invalid:9000".into();
        let away = fixture.make_instance("away", json!({"backup": away})).await;
        let bucket = fixture.instance_without_bucket("bucket").await;
        let on = |instance: &str| {
            json!({
                "deletionPolicy": "Delete", "instanceRef": {"name": instance},
                "initFrom": {"latest": {"database": {"name": name}}, "otherwise": "Empty"},
            })
        };
        let without = fixture.make("without", on(&bucket)).await;
        let unreached = fixture.make("unreached", on(&away)).await;

        for (database, reason) in [(&early, "BackupNotFound"), (&without, "StoreRefused")] {
            let message = fixture
                .stalled_within(database, "InitFailed", NEXT_LOOK)
                .await;
            assert!(message.contains(reason), "{message}");
        }
        fixture
            .until(&unreached, "waiting for the store", NEXT_LOOK, |database| {
                let status = database.status.clone().unwrap_or_default();
                status.conditions.iter().any(|condition| {
                    condition.type_ == "Reconciling" && condition.message.contains("StoreUnreachable")
                })
            })
            .await;
        // It is corrected without being made anew.
        let latest = json!({"spec": {"initFrom": {"latest": {"database": {"name": name}, "before": null}}}});
        fixture.patch(&early, latest).await;
        begun(fixture, &early, InitOutcome::Loaded).await;
        assert_eq!(ids(fixture, &early).await, ["1", "2", "3"]);
        for database in [&without, &unreached] {
            let found = fixture.databases().get(database).await.unwrap();
            assert_eq!(found.state(), Some(DatabaseState::Creating));
            assert!(fixture.secrets().get_opt(database).await.unwrap().is_none());
            // What waits for a store is deleted at once.
            fixture.delete(database).await;
            fixture.gone(database).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_deleted_meanwhile_leaves_nothing() {
    on_every_server(async |fixture| {
        let (_, backup) = large(fixture).await;
        for policy in ["Delete", "BackupBeforeDelete"] {
            let spec = json!({
                "deletionPolicy": policy, "initFrom": {"backupRef": {"name": backup}},
            });
            let name = policy.to_lowercase();
            let copy = fixture.make(&name, spec).await;
            let restore = restore_until(fixture, &copy, "running", runs).await;
            let database = fixture.databases().get(&copy).await.unwrap();
            let sql = database.status.unwrap().name.unwrap();
            fixture.delete(&copy).await;
            fixture.restore_gone(&restore.name_any()).await;
            fixture.gone(&copy).await;
            // What was half loaded is no backup either.
            assert!(fixture.final_backups(&copy).await.is_empty());
            let left = fixture.server.names(&fixture.client, &sql).await;
            assert!(left.is_empty(), "{left:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn one_that_was_kept_half_way_begins_again() {
    on_every_server(async |fixture| {
        let (_, backup) = large(fixture).await;
        let spec =
            || json!({"deletionPolicy": "Retain", "initFrom": {"backupRef": {"name": backup}}});
        let copy = fixture.make("copy", spec()).await;
        let restore = restore_until(fixture, &copy, "running", runs).await;
        fixture.delete(&copy).await;
        fixture.restore_gone(&restore.name_any()).await;
        fixture.gone(&copy).await;
        let copy = fixture.make("copy", spec()).await;
        begun(fixture, &copy, InitOutcome::Loaded).await;
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3"]);

        // And now there is something in it.
        run(fixture, &copy, "INSERT INTO orders VALUES (4)").await;
        fixture.delete(&copy).await;
        fixture.gone(&copy).await;
        let copy = fixture.make("copy", spec()).await;
        begun(fixture, &copy, InitOutcome::Existing).await;
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3", "4"]);
        fixture
            .patch(&copy, json!({"spec": {"deletionPolicy": "Delete"}}))
            .await;
    })
    .await;
}

#[tokio::test]
async fn one_that_was_dropped_by_hand_begins_with_its_backup_again() {
    on_every_server(async |fixture| {
        let (name, _) = backed_up(fixture).await;
        let latest = json!({"latest": {"database": {"name": name}}});
        let copy = begin(fixture, "copy", latest).await;
        begun(fixture, &copy, InitOutcome::Loaded).await;
        run(fixture, &copy, "INSERT INTO orders VALUES (4)").await;
        let before = fixture.secret(&copy).await;

        let mut root = fixture.server.root(&fixture.client).await;
        let database = fixture.server.quote(&before["database"]);
        root.run(&format!("DROP DATABASE {database}"))
            .await
            .unwrap();
        root.close().await;
        fixture
            .stalled_within(&copy, "DatabaseMissing", NEXT_LOOK)
            .await;
        fixture.annotate(&copy, RECREATE_REQUESTED_AT, "1").await;
        fixture
            .until(&copy, "creating", SOON, |database| {
                database.state() == Some(DatabaseState::Creating)
            })
            .await;
        begun(fixture, &copy, InitOutcome::Loaded).await;
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3"]);
        assert_eq!(fixture.secret(&copy).await["password"], before["password"]);
    })
    .await;
}

#[tokio::test]
async fn one_that_is_asked_for_anew_while_it_is_loaded_is_loaded_once() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let named = json!({"backupRef": {"name": backup}});
        let copy = begin(fixture, "copy", named).await;
        let restore = restore_until(fixture, &copy, "running", runs).await;
        fixture.annotate(&copy, RECREATE_REQUESTED_AT, "1").await;
        let database = begun(fixture, &copy, InitOutcome::Loaded).await;
        assert_eq!(ids(fixture, &copy).await, ["1", "2", "3"]);
        let status = database.status.unwrap();
        assert_eq!(status.init.unwrap().restore_uid, restore.uid());
        let handled = status.handled.get(RECREATE_REQUESTED_AT);
        assert_eq!(handled.map(String::as_str), Some("1"));
    })
    .await;
}

#[tokio::test]
async fn what_a_tenant_puts_in_the_way_is_named_and_never_let_in() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, backup) = backed_up(fixture).await;
        // One that pretends to be of the operator waits for nothing, and is over at once.
        let owner = fixture.databases().get(&name).await.unwrap();
        let pretends: Restore = serde_json::from_value(json!({
            "metadata": {"name": fixture.name("pretends"), "ownerReferences": [{
                "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database", "controller": true,
                "name": name, "uid": owner.uid(),
            }]},
            "spec": {"source": {"backupRef": {"name": backup}}, "databaseRef": {"name": name}},
        }))
        .unwrap();
        let restores = fixture.restores();
        let made = restores.create(&PostParams::default(), &pretends).await;
        let made = made.unwrap();
        let failure = fixture.restore_failed(&made.name_any()).await;
        assert_eq!(failure.reason, "Cancelled", "{}", failure.message);
        assert_eq!(ids(fixture, &name).await, ["1", "2", "3"]);

        // A Restore of a team's own does not come before the beginning.
        let nothing = fixture.name("nothing");
        let latest = json!({"latest": {"database": {"name": nothing}}});
        let waits = begin(fixture, "waits", latest).await;
        let source = json!({"source": {"backupRef": {"name": backup}}});
        let own = fixture.ask_restore("own", &waits, source).await;
        fixture
            .restore_waits(&own, "Reconciling", "WaitingForDatabase")
            .await;
        fixture
            .stalled_within(&waits, "InitFailed", NEXT_LOOK)
            .await;
        let found = fixture.restores().get(&own).await.unwrap();
        assert_eq!(found.state(), None);
    })
    .await;
}
