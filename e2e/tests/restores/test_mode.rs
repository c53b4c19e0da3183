//! Mode `Test`: a backup is tried out on an instance, and nothing of it stays.

use db_operator::api::{Restore, RestoreState};
use e2e::testing::{Fixture, RESTORED, Server, on_every_server, with_fixture};
use serde_json::{Value, json};

use super::{backed_up, column, ids, run};

fn of(backup: &str, check: &Value) -> Value {
    json!({"source": {"backupRef": {"name": backup}}, "check": check})
}

/// A question that is answered after so many seconds.
fn slow(fixture: &Fixture, seconds: u32) -> Value {
    let sql = if fixture.server.is_postgres() {
        format!("select pg_sleep({seconds}) is not null")
    } else {
        format!("select sleep({seconds}) = 0")
    };
    json!({"queries": [{"name": "slow", "sql": sql}]})
}

/// Waits until a test is in its check.
async fn checking(fixture: &Fixture, test: &str) -> Restore {
    fixture
        .restore_until(test, "checking", RESTORED, |restore| {
            restore.state() == Some(RestoreState::Checking)
        })
        .await
}

async fn read(fixture: &Fixture, test: &str) -> Restore {
    fixture.restores().get(test).await.unwrap()
}

#[tokio::test]
async fn a_backup_that_comes_back_leaves_nothing() {
    on_every_server(async |fixture| {
        let (name, _) = backed_up(fixture).await;
        let mut statements = vec!["CREATE VIEW seen AS SELECT id FROM orders"];
        if !fixture.server.is_postgres() {
            statements.extend([
                "CREATE TRIGGER counts BEFORE INSERT ON orders FOR EACH ROW SET NEW.id = NEW.id + 0",
                "CREATE PROCEDURE work() SELECT 1",
            ]);
        }
        for statement in statements {
            run(fixture, &name, statement).await;
        }
        let backup = fixture.back_up("whole", &name, json!({})).await;
        fixture.completed(&backup).await;
        let level = if fixture.server.is_postgres() { "Digest" } else { "Rows" };
        let check = json!({
            "level": level,
            "queries": [{"name": "three", "sql": "select count(*) = 3 from seen"}],
        });
        let test = fixture
            .ask_test("weekly", fixture.server.instance(), of(&backup, &check))
            .await;
        let tested = fixture.restore_completed(&test).await;
        let status = tested.status.clone().unwrap();
        let report = status.report.unwrap();
        assert_eq!((report.rows, report.tables, report.queries), (Some(3), Some(1), Some(1)));
        assert_eq!((report.switch_seconds, report.downtime_millis), (None, None));
        assert_eq!(status.switching_since, None);
        fixture.nothing_of_test(&tested).await;
        // Nothing else was touched, and it is not put on record: the same again is done again.
        assert_eq!(ids(fixture, &name).await, ["1", "2", "3"]);
        fixture.delete_restore(&test).await;
        fixture.restore_gone(&test).await;
        let spec = of(&backup, &json!({"level": "Rows"}));
        let again = fixture.ask_test("weekly", fixture.server.instance(), spec).await;
        let again = fixture.restore_completed(&again).await;
        assert_ne!(again.metadata.uid, tested.metadata.uid);
        assert!(again.status.as_ref().unwrap().report.is_some());
        fixture.nothing_of_test(&again).await;
    })
    .await;
}

#[tokio::test]
async fn events_are_made_and_never_run() {
    on_every_server(async |fixture| {
        if fixture.server.is_postgres() {
            return;
        }
        let (name, _) = backed_up(fixture).await;
        let event = "CREATE EVENT again ON SCHEDULE EVERY 1 HOUR STARTS '2001-01-01' DO DELETE FROM orders WHERE id = 9";
        run(fixture, &name, event).await;
        let backup = fixture.back_up("whole", &name, json!({})).await;
        fixture.completed(&backup).await;
        let queries = json!({"queries": [
            {"name": "made", "sql": "select count(*) = 1 from information_schema.events where event_schema = database()"},
            {"name": "held", "sql": "select count(*) = 0 from information_schema.events where status = 'ENABLED'"},
        ]});
        let test = fixture
            .ask_test("events", fixture.server.instance(), of(&backup, &queries))
            .await;
        let tested = fixture.restore_completed(&test).await;
        let left_out = tested.status.as_ref().unwrap().left_out.join("; ");
        assert!(left_out.contains("not enabled"), "{left_out}");
        fixture.nothing_of_test(&tested).await;
    })
    .await;
}

#[tokio::test]
async fn a_question_that_is_not_answered_with_true_fails_it_and_leaves_nothing() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let check =
            json!({"queries": [{"name": "many", "sql": "select count(*) > 5 from orders"}]});
        let test = fixture
            .ask_test("fails", fixture.server.instance(), of(&backup, &check))
            .await;
        let failure = fixture.restore_failed(&test).await;
        assert_eq!(failure.reason, "CheckFailed");
        assert!(failure.message.contains("many"), "{}", failure.message);
        fixture.nothing_of_test(&read(fixture, &test).await).await;
    })
    .await;
}

#[tokio::test]
async fn one_that_is_deleted_while_it_runs_leaves_nothing_and_needs_no_database() {
    on_every_server(async |fixture| {
        let (name, backup) = backed_up(fixture).await;
        let spec = of(&backup, &slow(fixture, 50));
        let test = fixture
            .ask_test("deleted", fixture.server.instance(), spec)
            .await;
        let running = checking(fixture, &test).await;
        let uid = running.metadata.uid.clone().unwrap();
        let made = fixture.of_test(&uid).await;
        assert_eq!(made.len(), 3, "{made:?}");
        // The Database that was backed up may go meanwhile: it concerns it in nothing.
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        assert!(read(fixture, &test).await.is_active());
        fixture.delete_restore(&test).await;
        fixture.restore_gone(&test).await;
        assert!(fixture.of_test(&uid).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_does_not_allow_the_namespace_is_not_used() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let nobodys = json!({"allowedNamespaces": {"names": ["nobody"]}});
        let closed = fixture.make_instance("closed", nobodys).await;
        fixture.instance_is(&closed, "Connected").await;
        let test = fixture
            .ask_test("refused", &closed, of(&backup, &json!({})))
            .await;
        fixture
            .restore_waits(&test, "Stalled", "NamespaceNotAllowed")
            .await;
        let uid = read(fixture, &test).await.metadata.uid.unwrap();
        assert!(fixture.of_test(&uid).await.is_empty());
        fixture.delete_restore(&test).await;
        // Who loses the permission loses the test.
        let own = json!({"allowedNamespaces": {"names": [fixture.namespace]}});
        fixture.patch_instance(&closed, own).await;
        fixture.instance_is(&closed, "Connected").await;
        let spec = of(&backup, &slow(fixture, 50));
        let test = fixture.ask_test("withdrawn", &closed, spec).await;
        let running = checking(fixture, &test).await;
        let nobodys = json!({"allowedNamespaces": {"names": ["nobody"]}});
        fixture.patch_instance(&closed, nobodys).await;
        assert_eq!(
            fixture.restore_failed(&test).await.reason,
            "InstanceWithdrawn"
        );
        fixture.nothing_of_test(&running).await;
    })
    .await;
}

#[tokio::test]
async fn two_at_once_take_turns_and_a_backup_waits_for_none() {
    with_fixture(Server::Postgres, async |fixture| {
        let (name, backup) = backed_up(fixture).await;
        // The instance lets one restore run at a time.
        let one = json!({"restore": {"maxConcurrent": 1}, "allowedNamespaces": {"names": [fixture.namespace]}});
        let instance = fixture.make_instance("scratch", one).await;
        fixture.instance_is(&instance, "Connected").await;
        let first = fixture
            .ask_test("first", &instance, of(&backup, &slow(fixture, 30)))
            .await;
        checking(fixture, &first).await;
        let second = fixture.ask_test("second", &instance, of(&backup, &json!({}))).await;
        fixture
            .restore_waits(&second, "Reconciling", "WaitingForTurn")
            .await;
        let beside = fixture.back_up("beside", &name, json!({})).await;
        fixture.completed(&beside).await;
        let (first, second) = (
            fixture.restore_completed(&first).await,
            fixture.restore_completed(&second).await,
        );
        let ended = first.status.as_ref().unwrap().finished_at.unwrap();
        let begun = second.status.as_ref().unwrap().started_at.unwrap();
        assert!(ended <= begun, "{ended} {begun}");
        fixture.nothing_of_test(&first).await;
        fixture.nothing_of_test(&second).await;
        assert_eq!(column(fixture, &name, "SELECT count(*)::text FROM orders").await, ["3"]);
    })
    .await;
}

#[tokio::test]
async fn two_at_once_on_one_server_do_not_meet() {
    on_every_server(async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let two = json!({"restore": {"maxConcurrent": 2}, "allowedNamespaces": {"names": [fixture.namespace]}});
        let instance = fixture.make_instance("scratch", two).await;
        fixture.instance_is(&instance, "Connected").await;
        let mut tests = Vec::new();
        for name in ["one", "two"] {
            let spec = of(&backup, &slow(fixture, 20));
            tests.push(fixture.ask_test(name, &instance, spec).await);
        }
        for test in &tests {
            let tested = fixture.restore_completed(test).await;
            fixture.nothing_of_test(&tested).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_instance_is_not_deleted_before_its_tests_have_cleaned_up() {
    with_fixture(Server::Postgres, async |fixture| {
        let (_, backup) = backed_up(fixture).await;
        let own = json!({"allowedNamespaces": {"names": [fixture.namespace]}});
        let instance = fixture.make_instance("scratch", own).await;
        fixture.instance_is(&instance, "Connected").await;
        let spec = of(&backup, &slow(fixture, 50));
        let test = fixture.ask_test("orphan", &instance, spec).await;
        let running = checking(fixture, &test).await;
        let params = kube::api::DeleteParams::default();
        fixture
            .instances()
            .delete(&instance, &params)
            .await
            .unwrap();
        assert_eq!(
            fixture.restore_failed(&test).await.reason,
            "InstanceWithdrawn"
        );
        fixture.nothing_of_test(&running).await;
        e2e::testing::eventually("the instance is gone", RESTORED, async || {
            let left = fixture.instances().get_opt(&instance).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_does_not_go_with_a_test_is_refused_with_what_to_write() {
    with_fixture(Server::Postgres, async |fixture| {
        let source = json!({"backupRef": {"name": "b"}});
        let (database, instance) = (json!({"name": "d"}), json!({"name": "postgres"}));
        for (index, (spec, said)) in [
            (
                json!({"mode": "Test", "databaseRef": database}),
                "mode: Test",
            ),
            (json!({"mode": "Test"}), "exactly one"),
            (json!({"instanceRef": instance}), "mode: Test"),
            (
                json!({"mode": "Test", "instanceRef": instance, "databaseRef": database}),
                "exactly one",
            ),
            (
                json!({"mode": "Test", "instanceRef": instance, "confirm": "d"}),
                "confirm is for",
            ),
            (
                json!({"mode": "Test", "instanceRef": instance, "keepReplaced": "1h"}),
                "keepReplaced is for",
            ),
            (
                json!({"mode": "Test", "instanceRef": instance, "maxDowntimeSeconds": 5}),
                "maxDowntimeSeconds is for",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let mut spec = spec;
            spec["source"] = source.clone();
            let refused = fixture.refused_restore(&format!("odd-{index}"), spec).await;
            assert!(refused.contains(said), "{said}: {refused}");
        }
    })
    .await;
}
