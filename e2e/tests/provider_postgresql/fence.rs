//! One leader, and the server knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use db_operator::provider::{Expected, Fence, Login, ProviderError, SqlName, open};
use e2e::sql_servers::postgresql::{SUPERUSER, SUPERUSER_PASSWORD};
use secrecy::SecretString;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::fixture::{
    ADMINISTRATOR, CANARY, Fixture, ask, claim, desired, eventually, names, password, run,
};

/// What a process may do on a server that somebody else has taken over: read the epoch, and ask to be registered,
/// which changes nothing.
fn is_harmless(statement: &str) -> bool {
    statement.starts_with("SELECT m.schema_version, e.epoch")
        || statement.starts_with("INSERT INTO db_operator.sessions (cluster_id, epoch, pid, backend_start, role_oid, server_start)\nSELECT e.cluster_id")
}

pub(crate) async fn a_former_leader_can_do_nothing(fixture: &mut Fixture) {
    let former = fixture.provider("fence");
    let wanted = desired("fenced");
    let identity = former.inspect().await.unwrap().identity.unwrap();
    former.expect(Expected::new(Some(&identity), None));
    fixture
        .make(&*former, "fence", &wanted, &password("fenced"))
        .await;
    // Several sessions.
    let (one, two, three) = tokio::join!(
        former.observe(&wanted.names),
        former.observe(&wanted.names),
        former.survey()
    );
    assert!(one.is_ok() && two.is_ok() && three.is_ok());

    let leader = fixture.provider("fence");
    leader.inspect().await.unwrap();
    let sessions = "SELECT count(*)::text FROM db_operator.sessions s JOIN db_operator.epochs e USING (cluster_id)
        WHERE s.cluster_id = 'fence' AND s.epoch < e.epoch";
    assert_eq!(fixture.ask("db_operator", sessions).await, ["0"]);
    let mark = fixture.mark();
    for _ in 0..3 {
        let others = [
            former
                .ensure_role(&wanted, Some(&former.verifier(&password("stale"))))
                .await
                .map(|_| ()),
            former.ensure_database(&wanted).await.map(|_| ()),
            former
                .write_claim(&claim("fence", &names("late", "late")), None)
                .await,
            former.observe(&wanted.names).await.map(|_| ()),
            former.survey().await.map(|_| ()),
            former.inspect().await.map(|_| ()),
        ];
        for result in others {
            let error = result.unwrap_err();
            assert!(
                matches!(
                    error,
                    ProviderError::Superseded {
                        mine: Some(1),
                        newer: 2
                    }
                ),
                "{error}"
            );
            assert!(error.ends_process());
        }
    }
    for statement in fixture.statements_since(mark) {
        assert!(
            is_harmless(&statement),
            "the former leader ran: {statement}"
        );
    }
    assert_eq!(
        leader
            .login(&wanted.names, &password("fenced"))
            .await
            .unwrap(),
        Login::Accepted
    );
    leader.close().await;
}

pub(crate) async fn who_does_not_lead_does_not_enter(fixture: &mut Fixture) {
    let leads = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&leads);
    let provider = open(
        fixture.config(),
        Fence::new("not-leading", move || asked.load(Ordering::SeqCst)),
    );
    let error = provider.inspect().await.unwrap_err();
    assert_eq!(error, ProviderError::NotLeading);
    let epochs = "SELECT count(*)::text FROM db_operator.epochs WHERE cluster_id = 'not-leading'";
    assert_eq!(fixture.ask("db_operator", epochs).await, ["0"]);
    leads.store(true, Ordering::SeqCst);
    provider.inspect().await.unwrap();
    assert_eq!(fixture.ask("db_operator", epochs).await, ["1"]);

    // Who was paused between reading the epoch and raising it loses: the clock is asked after the reading.
    let server = fixture.config();
    let racing = fixture.provider("not-leading");
    let paused = open(server, {
        let racing = Arc::clone(&racing);
        Fence::new("not-leading", move || {
            // Another process takes over at this very moment, and this one's clock does not know it yet.
            let racing = Arc::clone(&racing);
            let handle = tokio::runtime::Handle::current();
            std::thread::spawn(move || handle.block_on(racing.inspect()).unwrap())
                .join()
                .unwrap();
            true
        })
    });
    let error = paused.inspect().await.unwrap_err();
    assert!(
        matches!(
            error,
            ProviderError::Superseded {
                mine: None,
                newer: 2
            }
        ),
        "{error}"
    );
    racing.inspect().await.unwrap();
    racing.close().await;
}

pub(crate) async fn connections_of_one_process_share_an_epoch(fixture: &mut Fixture) {
    let process = Fence::new("process", || true);
    let first = open(fixture.config(), process.clone());
    let second = open(fixture.config(), process);
    first.inspect().await.unwrap();
    second.inspect().await.unwrap();
    first.inspect().await.unwrap();
    let epoch = "SELECT epoch::text FROM db_operator.epochs WHERE cluster_id = 'process'";
    assert_eq!(fixture.ask("db_operator", epoch).await, ["1"]);
    first.close().await;
    second.close().await;
}

/// A server that was made anew has no database of the operator's, one that was restored an older epoch.
pub(crate) async fn a_server_that_forgot_everything_is_begun_again(fixture: &mut Fixture) {
    let first = fixture.provider("forgot");
    first.inspect().await.unwrap();
    first.close().await;
    let provider = fixture.provider("forgot");
    let wanted = desired("forgot");
    provider.inspect().await.unwrap();

    // Another leader's, of the time of the backup.
    let restored =
        "UPDATE db_operator.epochs SET epoch = 1, process = 'another' WHERE cluster_id = 'forgot'";
    fixture.run("db_operator", restored).await;
    end_sessions(fixture).await;
    eventually("it goes on", async || {
        provider.observe(&wanted.names).await.is_ok()
    })
    .await;
    let epoch = "SELECT epoch::text FROM db_operator.epochs WHERE cluster_id = 'forgot'";
    assert_eq!(fixture.ask("db_operator", epoch).await, ["2"]);

    // Under an open session, which is no longer used then.
    fixture
        .run("db_operator", "DROP SCHEMA db_operator CASCADE")
        .await;
    provider.survey().await.unwrap_err();
    assert!(provider.survey().await.unwrap().claims.is_empty());

    fixture
        .run("postgres", "DROP DATABASE db_operator WITH (FORCE)")
        .await;
    provider.inspect().await.unwrap();
    assert_eq!(fixture.ask("db_operator", epoch).await, ["1"]);
    fixture
        .make(&*provider, "forgot", &wanted, &password("forgot"))
        .await;
    provider.close().await;
}

/// The server behind an address may be another one at any time.
pub(crate) async fn another_server_is_left_alone_until_it_is_acknowledged(fixture: &mut Fixture) {
    let provider = fixture.provider("moved");
    let wanted = desired("moved");
    let identity = provider.inspect().await.unwrap().identity.unwrap();
    provider.expect(Expected::new(Some(&identity), None));
    provider.observe(&wanted.names).await.unwrap();

    // This server is the other one now, and has no database of the operator's.
    fixture
        .run("postgres", "DROP DATABASE db_operator WITH (FORCE)")
        .await;
    let known = "7000000000000000000";
    provider.expect(Expected::new(Some(known), None));
    let home = "SELECT count(*)::text FROM pg_database WHERE datname = 'db_operator'";
    for _ in 0..2 {
        let error = provider.observe(&wanted.names).await.unwrap_err();
        assert_eq!(
            error,
            ProviderError::IdentityChanged {
                known: known.to_owned(),
                found: identity.clone(),
            }
        );
        let found = provider.inspect().await.unwrap();
        assert_eq!(found.identity.as_ref(), Some(&identity));
        assert_eq!(
            fixture.ask("postgres", home).await,
            ["0"],
            "something was made"
        );
    }

    provider.expect(Expected::new(Some(known), Some(&identity)));
    provider.inspect().await.unwrap();
    provider.expect(Expected::new(Some(&identity), None));
    fixture
        .make(&*provider, "moved", &wanted, &password("moved"))
        .await;

    // Not even a session that is open is used for long, nor a claim of another server read. It is registered, because
    // this process has entered there.
    provider.expect(Expected::new(Some(known), None));
    let mark = fixture.mark();
    let refused = [
        provider.observe(&wanted.names).await.map(|_| ()),
        provider.survey().await.map(|_| ()),
        provider.ensure_database(&wanted).await.map(|_| ()),
        provider
            .write_claim(&claim("moved", &names("late", "late")), None)
            .await,
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert!(
            matches!(error, ProviderError::IdentityChanged { .. }),
            "{error}"
        );
    }
    for statement in fixture.statements_since(mark) {
        assert!(
            statement.starts_with("SELECT system_identifier") || is_harmless(&statement),
            "on another server it ran: {statement}"
        );
    }
    provider.close().await;
}

/// Ends all sessions of the administrator, as a restart would.
async fn end_sessions(fixture: &Fixture) {
    let end = format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{ADMINISTRATOR}'"
    );
    fixture.run("postgres", &end).await;
}

pub(crate) async fn others_are_left_alone(fixture: &mut Fixture) {
    let other_cluster = fixture.provider("others-a");
    other_cluster.inspect().await.unwrap();
    let mut person = fixture
        .session(ADMINISTRATOR, &fixture.password, "db_operator")
        .await
        .unwrap();
    let pids = "SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity
        WHERE pid IN (SELECT pid FROM db_operator.sessions WHERE cluster_id = 'others-a')";
    let before = fixture.ask("db_operator", pids).await;
    assert_ne!(before, [""]);
    for _ in 0..2 {
        let leader = fixture.provider("others-b");
        leader.inspect().await.unwrap();
        leader.close().await;
    }
    assert_eq!(fixture.ask("db_operator", pids).await, before);
    assert_eq!(
        ask(&mut person, "SELECT 'still here'").await,
        ["still here"]
    );
    other_cluster.inspect().await.unwrap();

    // Rows of sessions that have ended do not pile up.
    let rows = "SELECT count(*)::text FROM db_operator.sessions WHERE cluster_id = 'others-b'";
    let leader = fixture.provider("others-b");
    leader.inspect().await.unwrap();
    assert_eq!(fixture.ask("db_operator", rows).await, ["1"]);
    leader.close().await;
    other_cluster.close().await;
}

/// Everybody sees in `pg_stat_activity` what a visit is called, and may be called the same.
pub(crate) async fn a_copied_name_is_nobodys(fixture: &mut Fixture) {
    let attacker = fixture.provider("copied-attacker");
    fixture
        .make(
            &*attacker,
            "copied-attacker",
            &desired("copier"),
            &password("copier"),
        )
        .await;
    attacker.close().await;
    for (cluster, superuser) in [("copied", false), ("copied-super", true)] {
        let mut config = fixture.config();
        if superuser {
            SUPERUSER.clone_into(&mut config.username);
            config.password = SecretString::from(SUPERUSER_PASSWORD);
        }
        config.timeouts.lock = std::time::Duration::from_secs(20);
        let provider = open(config, Fence::new(cluster, || true));
        let mut wanted = desired(cluster);
        fixture
            .make(&*provider, cluster, &wanted, &password(cluster))
            .await;
        wanted.postgresql.schemas = vec![SqlName::new("visited").unwrap()];

        // The visit is connected, and its registration waits.
        let mut holder = fixture.superuser("db_operator").await;
        run(&mut holder, "BEGIN; LOCK TABLE db_operator.sessions")
            .await
            .unwrap();
        let visiting = tokio::spawn({
            let (provider, wanted) = (Arc::clone(&provider), wanted.clone());
            async move { provider.ensure_contents(&wanted).await }
        });
        let waits = "SELECT count(*)::text FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO db_operator.sessions%'";
        eventually("the registration waits", async || {
            fixture.ask("postgres", waits).await == ["1"]
        })
        .await;
        let mut onlooker = fixture
            .session("copier", &format!("{CANARY}-copier"), "copier")
            .await
            .unwrap();
        let seen = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'db-operator visit %'";
        let name = ask(&mut onlooker, seen).await;
        let mut copy = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(fixture.server.port)
            .username("copier")
            .password(&format!("{CANARY}-copier"))
            .database("copier")
            .ssl_mode(PgSslMode::Disable)
            .application_name(&name[0])
            .connect()
            .await
            .unwrap();
        let pid = ask(&mut copy, "SELECT pg_backend_pid()::text").await;
        run(&mut holder, "COMMIT").await.unwrap();
        assert_eq!(visiting.await.unwrap().unwrap().len(), 1, "{cluster}");
        let registered = format!(
            "SELECT count(*)::text FROM db_operator.sessions WHERE pid = {}",
            pid[0]
        );
        assert_eq!(
            fixture.ask("db_operator", &registered).await,
            ["0"],
            "{cluster}"
        );
        assert_eq!(ask(&mut copy, "SELECT 'still here'").await, ["still here"]);
        provider.close().await;
    }
}

/// A process id names nothing for long: what was registered may be somebody else's by now.
pub(crate) async fn a_process_id_that_was_given_on_is_left_alone(fixture: &mut Fixture) {
    let former = fixture.provider("recycled");
    fixture
        .make(
            &*former,
            "recycled",
            &desired("recycled"),
            &password("recycled"),
        )
        .await;
    former.close().await;
    let rows = "SELECT count(*)::text FROM db_operator.sessions WHERE cluster_id = 'recycled'";
    eventually(
        "sessions that were closed took their rows along",
        async || fixture.ask("db_operator", rows).await == ["0"],
    )
    .await;

    let mut tenant = fixture
        .session("recycled", &format!("{CANARY}-recycled"), "recycled")
        .await
        .unwrap();
    let mut person = fixture
        .session(ADMINISTRATOR, &fixture.password, "db_operator")
        .await
        .unwrap();
    let (of_tenant, of_person) = (
        ask(&mut tenant, "SELECT pg_backend_pid()::text").await,
        ask(&mut person, "SELECT pg_backend_pid()::text").await,
    );
    let administrator = format!("(SELECT oid FROM pg_roles WHERE rolname = '{ADMINISTRATOR}')");
    for (pid, start, role, server) in [
        // Of this operator: a role's start that is hidden from the administrator, and a server that has ended.
        (
            &of_tenant[0],
            "now()",
            administrator.as_str(),
            "pg_postmaster_start_time()",
        ),
        (
            &of_person[0],
            "(SELECT backend_start FROM pg_stat_get_activity(PID))",
            administrator.as_str(),
            "'2001-01-01'",
        ),
        // Of a version that did not know of these.
        (&of_tenant[0], "now() + interval '1 s'", "NULL", "NULL"),
        (&of_person[0], "now() + interval '1 s'", "NULL", "NULL"),
    ] {
        let insert = format!(
            "INSERT INTO db_operator.sessions (cluster_id, epoch, pid, backend_start, role_oid, server_start)
             SELECT 'recycled', 1, {pid}, {}, {role}, {server}",
            start.replace("PID", pid)
        );
        fixture.run("db_operator", &insert).await;
    }
    let leader = fixture.provider("recycled");
    leader.inspect().await.unwrap();
    assert_eq!(fixture.ask("db_operator", rows).await, ["1"]);
    for session in [&mut tenant, &mut person] {
        assert_eq!(ask(session, "SELECT 'still here'").await, ["still here"]);
    }

    // A session of that version goes on being one.
    fixture.run(
        "db_operator",
        "UPDATE db_operator.sessions SET role_oid = NULL, server_start = NULL WHERE cluster_id = 'recycled'",
    )
    .await;
    let pid = fixture
        .ask(
            "db_operator",
            "SELECT pid::text FROM db_operator.sessions WHERE cluster_id = 'recycled'",
        )
        .await;
    let next = fixture.provider("recycled");
    next.inspect().await.unwrap();
    let alive = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE pid = {}",
        pid[0]
    );
    eventually("the former leader's session was ended", async || {
        fixture.ask("postgres", &alive).await == ["0"]
    })
    .await;
    leader.close().await;
    next.close().await;
}

/// What the former version of the operator made goes on, with what it holds.
pub(crate) async fn tables_of_a_former_version_are_brought_up_to_date(fixture: &mut Fixture) {
    const FORMER: &str =
        "ALTER TABLE db_operator.sessions DROP COLUMN role_oid, DROP COLUMN server_start;
        ALTER TABLE db_operator.claims DROP COLUMN left_over;
        UPDATE db_operator.meta SET schema_version = 1";
    let version = "SELECT schema_version::text FROM db_operator.meta";
    let provider = fixture.provider("upgraded");
    let wanted = desired("upgraded");
    fixture
        .make(&*provider, "upgraded", &wanted, &password("upgraded"))
        .await;
    let latest = fixture.ask("db_operator", version).await;

    // Found by the next leader.
    fixture.run("db_operator", FORMER).await;
    let leader = fixture.provider("upgraded");
    leader.inspect().await.unwrap();
    assert_eq!(fixture.ask("db_operator", version).await, latest);
    let observed = leader.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.claims, [claim("upgraded", &wanted.names)]);
    let error = provider.survey().await.unwrap_err();
    assert!(matches!(error, ProviderError::Superseded { .. }), "{error}");

    // Under one that is at work: a backup of before the upgrade was restored.
    fixture.run("db_operator", FORMER).await;
    end_sessions(fixture).await;
    eventually("it goes on", async || {
        leader.observe(&wanted.names).await.is_ok()
    })
    .await;
    assert_eq!(fixture.ask("db_operator", version).await, latest);

    // One that nobody knows yet is left alone.
    fixture
        .run(
            "db_operator",
            "UPDATE db_operator.meta SET schema_version = 1000",
        )
        .await;
    let error = fixture
        .provider("upgraded-never")
        .inspect()
        .await
        .unwrap_err();
    assert!(matches!(error, ProviderError::Unsupported(_)), "{error}");
    let back = format!("UPDATE db_operator.meta SET schema_version = {}", latest[0]);
    fixture.run("db_operator", &back).await;
    leader.close().await;
}
