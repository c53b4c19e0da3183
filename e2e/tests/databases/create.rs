//! From a new object to a login that works.

use std::time::Duration;

use db_operator::api::database::SECRET_KEYS;
use db_operator::api::{FINALIZER, RECONCILE_REQUESTED_AT};
use e2e::cluster::Cluster;
use e2e::command;
use e2e::testing::{
    Server, Session, condition, is_ready, on_every_server, unchanged, with_fixture,
};
use kube::ResourceExt;
use serde_json::json;

/// A little more than the resync of the overlay `development`.
const RESYNC: Duration = Duration::from_secs(25);

#[tokio::test]
async fn a_new_database_can_be_used_with_nothing_but_its_secret() {
    on_every_server(async |fixture| {
        let template = json!({
            "labels": {"team": "a"}, "annotations": {"note": "b"},
            "data": {"DATABASE_URL": "{{type}}://{{uriencode username}}:{{uriencode password}}@{{host}}:{{port}}/{{uriencode database}}"}});
        let name = fixture.make("orders", json!({"secretTemplate": template})).await;
        let database = fixture.usable(&name).await;

        let status = database.status.as_ref().unwrap();
        assert_eq!(status.name.as_deref(), Some(name.as_str()));
        assert_eq!(status.user.as_deref(), Some(name.as_str()));
        assert_eq!(status.binding.as_ref().unwrap().name, name);
        assert!(status.claim.as_ref().unwrap().created_database);
        assert_eq!(database.finalizers(), [FINALIZER]);
        // As kstatus reads it: Ready, and nothing else while all is well.
        assert!(condition(&status.conditions, "Reconciling").is_none(), "{status:?}");
        assert_eq!(status.conditions.len(), 1);
        assert_eq!(status.observed_generation, database.metadata.generation);

        let object = fixture.secrets().get(&name).await.unwrap();
        assert_eq!(object.labels()["team"], "a");
        assert_eq!(object.annotations()["note"], "b");
        assert_eq!(object.labels()["db-operator.dev/database"], name);
        assert_eq!(object.owner_references()[0].uid, database.uid().unwrap());
        let secret = fixture.secret(&name).await;
        let mut keys = SECRET_KEYS.map(str::to_owned).to_vec();
        keys.push("DATABASE_URL".to_owned());
        keys.sort();
        assert_eq!(secret.keys().cloned().collect::<Vec<_>>(), keys);
        let kind = if fixture.server.is_postgres() { "postgresql" } else { "mysql" };
        assert_eq!(object.type_, Some(format!("servicebinding.io/{kind}")));
        assert_eq!(secret["DATABASE_URL"], format!(
            "{kind}://{name}:{}@{}:{}/{name}", secret["password"], secret["host"], secret["port"]));

        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        session.run("CREATE TABLE t (x INT)").await.unwrap();
        session.run("INSERT INTO t VALUES (42)").await.unwrap();
        assert_eq!(session.column("SELECT x FROM t").await.unwrap(), ["42"]);
        // Nobody else's.
        let schema = if fixture.server.is_postgres() { "CREATE DATABASE" } else { "CREATE SCHEMA" };
        session.run(&format!("{schema} {}", fixture.server.quote(&fixture.name("x")))).await.unwrap_err();
        session.close().await;
    })
    .await;
}

#[tokio::test]
async fn kubectl_waits_for_it_and_shows_it() {
    with_fixture(Server::Mariadb, async |fixture| {
        let name = fixture.make("orders", json!({})).await;
        let namespace = fixture.namespace.clone();
        let table = tokio::task::spawn_blocking(move || {
            let cluster = Cluster::main();
            let mut wait = cluster.kubectl();
            wait.args([
                "wait",
                "--for=condition=Ready",
                "--timeout=30s",
                "-n",
                &namespace,
            ]);
            command::output(wait.arg(format!("database/{name}"))).unwrap();
            let mut get = cluster.kubectl();
            command::output(get.args(["get", "db", "--no-headers", "-n", &namespace])).unwrap()
        })
        .await
        .unwrap();
        let columns: Vec<&str> = table.split_whitespace().collect();
        assert_eq!(columns[1..4], ["CREATED", "True", "mariadb"], "{table}");
    })
    .await;
}

#[tokio::test]
async fn several_at_once_do_not_wait_for_a_broken_one() {
    on_every_server(async |fixture| {
        let broken = fixture
            .make(
                "broken",
                json!({"instanceRef": {"name": fixture.name("none")}}),
            )
            .await;
        let mut names = Vec::new();
        for name in ["a", "b", "c"] {
            names.push(fixture.make(name, json!({})).await);
        }
        for name in names {
            fixture.usable(&name).await;
        }
        let message = fixture.reconciling(&broken, "InstanceNotFound").await;
        assert!(message.contains(&fixture.name("none")), "{message}");
        // The instance may come later.
        fixture.make_instance("none", json!({})).await;
        fixture.usable(&broken).await;
    })
    .await;
}

#[tokio::test]
async fn odd_names_are_names_like_others() {
    on_every_server(async |fixture| {
        // With the prefix of the test: 15 characters less than a MySQL user may have, 32.
        for (number, odd) in ["A'b\"c`d\\e", "%_ space é✓", "select;--", "$1{{x}}"]
            .into_iter()
            .enumerate()
        {
            let sql = fixture.name(odd);
            let name = fixture
                .make(&number.to_string(), json!({"name": sql, "user": sql}))
                .await;
            fixture.usable(&name).await;
            let secret = fixture.secret(&name).await;
            assert_eq!((&secret["database"], &secret["username"]), (&sql, &sql));
            Session::open(&fixture.client, &secret)
                .await
                .unwrap()
                .close()
                .await;
        }
        // Two names that differ in their case only are two, or one of them is refused.
        let lower = fixture
            .make_usable("l", json!({"name": fixture.name("case")}))
            .await;
        let upper = fixture
            .make(
                "u",
                json!({"name": fixture.name("CASE"), "user": fixture.name("other")}),
            )
            .await;
        fixture.usable(&upper).await;
        let names = [lower, upper];
        for name in &names {
            let mut session = Session::open(&fixture.client, &fixture.secret(name).await)
                .await
                .unwrap();
            session
                .run(&format!(
                    "CREATE TABLE of_{} (x INT)",
                    name.replace('-', "_")
                ))
                .await
                .unwrap();
            session.close().await;
        }
        let mut session = Session::open(&fixture.client, &fixture.secret(&names[0]).await)
            .await
            .unwrap();
        let tables = session
            .column("SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE 'of\\_%'")
            .await
            .unwrap();
        assert_eq!(tables, ["1"]);
        session.close().await;

        let long = "x".repeat(40 - fixture.prefix.len());
        let user = fixture
            .make(
                "long",
                json!({"name": fixture.name("long"), "user": fixture.name(&long)}),
            )
            .await;
        if fixture.server == Server::Mysql {
            let message = fixture.stalled(&user, "Unsupported").await;
            assert!(message.contains("32"), "{message}");
            let left = fixture
                .server
                .names(&fixture.client, &fixture.name("long"))
                .await;
            assert!(left.is_empty(), "{left:?}");
        } else {
            fixture.usable(&user).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_database_is_made_with_what_its_kind_of_server_has() {
    on_every_server(async |fixture| {
        let (wanted, look, unknown) = if fixture.server.is_postgres() {
            (
                json!({"postgresql": {"encoding": "UTF8", "locale": "C",
                    "extensions": [{"name": "pg_trgm"}], "schemas": [{"name": "audit"}]}}),
                "SELECT string_agg(x, ' ' ORDER BY x) FROM (
                    SELECT extname::text AS x FROM pg_extension WHERE extname = 'pg_trgm'
                    UNION SELECT nspname || ' of ' || nspowner::regrole FROM pg_namespace WHERE nspname = 'audit'
                    UNION SELECT datcollate FROM pg_database WHERE datname = current_database()) _",
                json!({"postgresql": {"extensions": [{"name": "no_such"}]}}),
            )
        } else {
            (
                json!({"mysql": {"characterSet": "latin1", "collation": "latin1_german1_ci"}}),
                "SELECT CONCAT(@@character_set_database, ' ', @@collation_database)",
                json!({"mysql": {"collation": "no_such"}}),
            )
        };
        let name = fixture.make_usable("orders", wanted).await;
        let mut session = Session::open(&fixture.client, &fixture.secret(&name).await).await.unwrap();
        let expected = if fixture.server.is_postgres() {
            format!("C audit of \"{name}\" pg_trgm")
        } else {
            "latin1 latin1_german1_ci".to_owned()
        };
        assert_eq!(session.column(look).await.unwrap(), [expected]);
        session.close().await;

        let unknown = fixture.make("unknown", unknown).await;
        let message = fixture.stalled(&unknown, "Unsupported").await;
        assert!(message.contains("no_such"), "{message}");
    })
    .await;
}

/// A Database cannot know the kind of its instance when it is applied.
#[tokio::test]
async fn settings_for_another_kind_of_server_are_refused_and_break_nothing_that_works() {
    on_every_server(async |fixture| {
        let (foreign, limit) = if fixture.server.is_postgres() {
            ("mysql", json!({"characterSet": "latin1"}))
        } else {
            ("postgresql", json!({"extensions": [{"name": "pg_trgm"}]}))
        };
        let name = fixture.make("orders", json!({foreign: limit})).await;
        let message = fixture.stalled(&name, "Unsupported").await;
        let says = format!("spec.{foreign} ");
        assert!(message.starts_with(&says), "{message}");
        let left = fixture.server.names(&fixture.client, &name).await;
        assert!(left.is_empty(), "{left:?}");
        fixture.patch(&name, json!({"spec": {foreign: null}})).await;
        fixture.usable(&name).await;

        // One that exists is told, works, and gets what else is asked for.
        let change = json!({"spec": {foreign: limit, "connectionLimit": 7}});
        fixture.patch(&name, change).await;
        let message = fixture.stalled(&name, "Unsupported").await;
        assert!(message.starts_with(&says), "{message}");
        assert!(is_ready(&fixture.databases().get(&name).await.unwrap()));
        let secret = fixture.secret(&name).await;
        Session::open(&fixture.client, &secret)
            .await
            .unwrap()
            .close()
            .await;
        let mut root = fixture.server.root(&fixture.client).await;
        let limit = if fixture.server.is_postgres() {
            format!("SELECT rolconnlimit::text FROM pg_roles WHERE rolname = '{name}'")
        } else {
            format!(
                "SELECT CAST(max_user_connections AS CHAR) FROM mysql.user WHERE user = '{name}'"
            )
        };
        assert_eq!(root.column(&limit).await.unwrap(), ["7"]);
        root.close().await;
        fixture.patch(&name, json!({"spec": {foreign: null}})).await;
        fixture.usable(&name).await;
    })
    .await;
}

#[tokio::test]
async fn a_change_that_cannot_be_made_is_complained_about_until_it_is_taken_back() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let with = |extensions| json!({"spec": {"postgresql": {"extensions": extensions}}});
        fixture
            .patch(&name, with(json!([{"name": "dblink"}])))
            .await;
        let message = fixture.stalled(&name, "Unsupported").await;
        assert!(message.contains("dblink"), "{message}");
        // Neither a look that somebody asks for nor the next one by itself takes it for done.
        fixture.annotate(&name, RECONCILE_REQUESTED_AT, "1").await;
        unchanged("the complaint", RESYNC, async || {
            let status = fixture
                .databases()
                .get(&name)
                .await
                .unwrap()
                .status
                .unwrap();
            let stalled = condition(&status.conditions, "Stalled").cloned();
            (stalled, status.handled.get(RECONCILE_REQUESTED_AT).cloned())
        })
        .await;
        fixture.patch(&name, with(json!([]))).await;
        let handled = fixture.usable(&name).await.status.unwrap().handled;
        assert_eq!(handled[RECONCILE_REQUESTED_AT], "1");
    })
    .await;
}
