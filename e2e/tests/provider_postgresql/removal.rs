//! Taking away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use db_operator::provider::{Claim, Login, Names, Provider, Removal, Removed};

use crate::fixture::{
    ADMINISTRATOR, CANARY, Fixture, ask, desired, eventually, names, password, run, session_at,
};

fn everything(name: &str) -> Removal {
    Removal {
        names: names(name, name),
        database: true,
        role: true,
    }
}

fn sentence(removed: Removed) -> String {
    match removed {
        Removed::Blocked(sentence) => sentence,
        Removed::Done | Removed::LeftOver(_) => panic!("nothing was in the way"),
    }
}

fn left_over(removed: Removed) -> String {
    match removed {
        Removed::LeftOver(sentence) => sentence,
        Removed::Done | Removed::Blocked(_) => panic!("nothing was left over: {removed:?}"),
    }
}

/// As the caller does who gives up an object whose user is left over.
async fn release(provider: &dyn Provider, names: &Names) {
    let claim = provider.observe(names).await.unwrap().claims.remove(0);
    let released = Claim {
        released: true,
        ..claim.clone()
    };
    provider.write_claim(&released, Some(&claim)).await.unwrap();
}

pub(crate) async fn everything_goes(fixture: &mut Fixture) {
    let provider = fixture.provider("goes");
    let wanted = desired("goes");
    fixture
        .make(&*provider, "goes", &wanted, &password("goes"))
        .await;
    assert_eq!(
        provider.remove(&everything("goes")).await.unwrap(),
        Removed::Done
    );
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!((&observed.database, &observed.role), (&None, &None));
    assert_eq!(
        provider.remove(&everything("goes")).await.unwrap(),
        Removed::Done,
        "again"
    );
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

pub(crate) async fn sessions_are_ended_or_named(fixture: &mut Fixture) {
    let provider = fixture.provider("sessions");
    fixture
        .make(&*provider, "sessions", &desired("busy"), &password("busy"))
        .await;
    fixture
        .make(
            &*provider,
            "sessions-guest",
            &desired("guest"),
            &password("guest"),
        )
        .await;
    fixture
        .run("postgres", "GRANT CONNECT ON DATABASE busy TO guest")
        .await;
    fixture
        .run(
            "postgres",
            &format!("GRANT CONNECT ON DATABASE busy TO \"{ADMINISTRATOR}\""),
        )
        .await;
    let mut own = fixture
        .session("busy", &format!("{CANARY}-busy"), "busy")
        .await
        .unwrap();
    let mut elsewhere = fixture
        .session("busy", &format!("{CANARY}-busy"), "postgres")
        .await
        .unwrap();
    let mut guest = fixture
        .session("guest", &format!("{CANARY}-guest"), "busy")
        .await
        .unwrap();
    let mut guest_at_home = fixture
        .session("guest", &format!("{CANARY}-guest"), "guest")
        .await
        .unwrap();
    let mut administrator = fixture
        .session(ADMINISTRATOR, &fixture.password, "busy")
        .await
        .unwrap();
    let mut superuser = fixture.superuser("busy").await;
    run(&mut own, "BEGIN; CREATE TABLE t (a int)")
        .await
        .unwrap();

    let blocked = sentence(provider.remove(&everything("busy")).await.unwrap());
    let pid = ask(&mut superuser, "SELECT pg_backend_pid()::text")
        .await
        .remove(0);
    assert!(
        blocked.contains(&format!(
            "process {pid} (user \"super\", application \"fixture\")"
        )),
        "{blocked}"
    );
    assert!(
        blocked.contains(&format!("SELECT pg_terminate_backend({pid})")),
        "{blocked}"
    );
    assert!(
        run(&mut own, "SELECT 1").await.is_err(),
        "the role's own session was ended"
    );
    assert!(
        run(&mut elsewhere, "SELECT 1").await.is_err(),
        "the role's session elsewhere was ended"
    );
    assert!(
        run(&mut guest, "SELECT 1").await.is_err(),
        "a guest's session was ended"
    );
    assert!(
        run(&mut guest_at_home, "SELECT 1").await.is_ok(),
        "a guest's session in its own database was not"
    );
    assert!(matches!(
        provider
            .login(&names("busy", "busy"), &password("busy"))
            .await
            .unwrap(),
        Login::Refused(_)
    ));
    fixture.assert_no_membership_left().await;

    sqlx::Connection::close(superuser).await.unwrap();
    eventually("the database goes once nobody is in it", async || {
        provider.remove(&everything("busy")).await.unwrap() == Removed::Done
    })
    .await;
    assert!(
        run(&mut administrator, "SELECT 1").await.is_err(),
        "the administrator's session in it was ended"
    );
    fixture.assert_no_membership_left().await;

    provider.close().await;
}

/// What keeps a database without being a session is for those to end who can go in, so it is left open for them.
pub(crate) async fn what_is_prepared_is_named_and_left_open(fixture: &mut Fixture) {
    let provider = fixture.provider("prepared");
    fixture
        .make(
            &*provider,
            "prepared",
            &desired("prepared"),
            &password("prepared"),
        )
        .await;
    let prepare = "BEGIN; CREATE TABLE t (a int); PREPARE TRANSACTION 'it''s held'";
    let mut owner = fixture
        .session("prepared", &format!("{CANARY}-prepared"), "prepared")
        .await
        .unwrap();
    run(&mut owner, prepare).await.unwrap();
    // As a former version left it.
    fixture
        .run(
            "postgres",
            "ALTER DATABASE prepared ALLOW_CONNECTIONS false; ALTER ROLE prepared NOLOGIN",
        )
        .await;
    let blocked = sentence(provider.remove(&everything("prepared")).await.unwrap());
    assert!(blocked.contains("in database \"prepared\""), "{blocked}");
    let (_, statement) = blocked.split_once("run: ").unwrap();
    assert_eq!(statement, "ROLLBACK PREPARED 'it''s held'");
    let mut owner = fixture
        .session("prepared", &format!("{CANARY}-prepared"), "prepared")
        .await
        .unwrap();
    run(&mut owner, statement).await.unwrap();

    fixture.run(
        "prepared",
        "CREATE SUBSCRIPTION \"Feed\" CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)",
    )
    .await;
    let blocked = sentence(provider.remove(&everything("prepared")).await.unwrap());
    assert!(
        blocked.contains("run: DROP SUBSCRIPTION \"Feed\""),
        "{blocked}"
    );
    fixture.run("prepared", "DROP SUBSCRIPTION \"Feed\"").await;
    assert_eq!(
        provider.remove(&everything("prepared")).await.unwrap(),
        Removed::Done
    );
    provider.close().await;
}

/// A lock that a session of the user's own holds, which would be waited for until it ends.
pub(crate) async fn a_lock_of_the_users_own_is_ended(fixture: &mut Fixture) {
    let provider = fixture.provider("own-lock");
    fixture
        .make(
            &*provider,
            "own-lock",
            &desired("own-lock"),
            &password("own-lock"),
        )
        .await;
    // Also what an owner can set against a drop.
    let mut owner = fixture
        .session("own-lock", &format!("{CANARY}-own-lock"), "own-lock")
        .await
        .unwrap();
    for hindrance in [
        "ALTER DATABASE \"own-lock\" IS_TEMPLATE true",
        "ALTER DATABASE \"own-lock\" CONNECTION LIMIT 20",
    ] {
        run(&mut owner, hindrance).await.unwrap();
    }
    // They come back whenever they are ended.
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for statement in [
        "BEGIN; ALTER ROLE \"own-lock\" SET work_mem = '1MB'; ALTER ROLE \"own-lock\" PASSWORD NULL; SELECT pg_sleep(60)",
        "BEGIN; ALTER DATABASE \"own-lock\" CONNECTION LIMIT 7; SELECT pg_sleep(60)",
    ] {
        let stop = Arc::clone(&stop);
        let port = fixture.server.port;
        tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let password = format!("{CANARY}-own-lock");
                let session = session_at(port, "own-lock", &password, "own-lock");
                if let Ok(mut session) = session.await {
                    let _ = run(&mut session, statement).await;
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    let holders = "SELECT count(*)::text FROM pg_stat_activity WHERE usename = 'own-lock' AND query LIKE 'BEGIN; ALTER%'";
    eventually("they hold their locks", async || {
        fixture.ask("postgres", holders).await == ["2"]
    })
    .await;
    eventually("it goes all the same", async || {
        provider.remove(&everything("own-lock")).await.unwrap() == Removed::Done
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// A lock of somebody's whose session the administrator may not end.
pub(crate) async fn who_holds_a_lock_is_named(fixture: &mut Fixture) {
    let provider = fixture.provider("locked");
    fixture
        .make(
            &*provider,
            "locked",
            &desired("locked"),
            &password("locked"),
        )
        .await;
    for statement in [
        "ALTER ROLE locked VALID UNTIL 'infinity'",
        "ALTER DATABASE locked CONNECTION LIMIT 7",
        "COMMENT ON DATABASE locked IS 'a comment'",
    ] {
        let mut holder = fixture.superuser("postgres").await;
        let pid = ask(&mut holder, "SELECT pg_backend_pid()::text").await;
        run(&mut holder, &format!("BEGIN; {statement}"))
            .await
            .unwrap();
        let blocked = sentence(provider.remove(&everything("locked")).await.unwrap());
        assert!(
            blocked.contains(&format!(
                "process {} (user \"super\", application \"fixture\") holds a lock",
                pid[0]
            )) && blocked.contains(&format!("SELECT pg_terminate_backend({})", pid[0])),
            "{statement}: {blocked}"
        );
        run(&mut holder, "ROLLBACK").await.unwrap();
    }
    assert_eq!(
        provider.remove(&everything("locked")).await.unwrap(),
        Removed::Done
    );
    provider.close().await;
}

/// A worker of autovacuum belongs to no role of ours, and FORCE is refused while it is at work; a table that was just
/// filled keeps one busy for minutes.
pub(crate) async fn a_vacuum_at_work_does_not_keep_a_database(fixture: &mut Fixture) {
    let provider = fixture.provider("vacuumed");
    fixture
        .make(
            &*provider,
            "vacuumed",
            &desired("vacuumed"),
            &password("vacuumed"),
        )
        .await;
    for setting in [
        "ALTER SYSTEM SET autovacuum_naptime = '1s'",
        "SELECT pg_reload_conf()",
    ] {
        fixture.run("postgres", setting).await;
    }
    // As slow as it can be set: a page, and then a tenth of a second.
    fixture.run(
        "vacuumed",
        "CREATE TABLE t WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1) \
         AS SELECT n, repeat('x', 500) FROM generate_series(1, 20000) AS n",
    )
    .await;
    fixture.run("vacuumed", "DELETE FROM t").await;
    let at_work = "SELECT pid::text FROM pg_stat_activity \
                   WHERE backend_type = 'autovacuum worker' AND datname = 'vacuumed'";
    eventually("a vacuum is at work in it", async || {
        !fixture.ask("postgres", at_work).await.is_empty()
    })
    .await;
    assert_eq!(
        provider.remove(&everything("vacuumed")).await.unwrap(),
        Removed::Done
    );
    for setting in [
        "ALTER SYSTEM RESET autovacuum_naptime",
        "SELECT pg_reload_conf()",
    ] {
        fixture.run("postgres", setting).await;
    }
    provider.close().await;
}

/// Everything that a team can hang on another team's user in its own database.
pub(crate) async fn what_others_hang_on_a_user_is_taken_away(fixture: &mut Fixture) {
    const HANG: &str = "CREATE SCHEMA s; CREATE TABLE s.t (a int); CREATE TABLE s.u (a int);
        ALTER TABLE s.u ENABLE ROW LEVEL SECURITY;
        GRANT USAGE ON SCHEMA s TO victim WITH GRANT OPTION;
        GRANT SELECT ON s.t TO victim WITH GRANT OPTION;
        GRANT SELECT (a) ON s.u TO victim;
        CREATE POLICY of_one ON s.u TO victim USING (true);
        CREATE POLICY of_two ON s.u TO victim, hanger USING (true);
        CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
        GRANT EXECUTE ON FUNCTION s.f() TO victim;
        CREATE TYPE s.y AS (a int);
        GRANT USAGE ON TYPE s.y TO victim;
        ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO victim;
        ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO victim;
        GRANT CONNECT ON DATABASE hanger TO victim WITH GRANT OPTION;
        DO 'BEGIN PERFORM lo_create(4711); END';
        GRANT SELECT ON LARGE OBJECT 4711 TO victim";
    let provider = fixture.provider("hung");
    for name in ["hanger", "victim"] {
        fixture
            .make(&*provider, "hung", &desired(name), &password(name))
            .await;
    }
    let mut hanger = fixture
        .session("hanger", &format!("{CANARY}-hanger"), "hanger")
        .await
        .unwrap();
    run(&mut hanger, HANG).await.unwrap();
    let mut victim = fixture
        .session("victim", &format!("{CANARY}-victim"), "hanger")
        .await
        .unwrap();
    run(&mut victim, "GRANT SELECT ON s.t TO PUBLIC")
        .await
        .unwrap();

    assert_eq!(
        provider.remove(&everything("victim")).await.unwrap(),
        Removed::Done
    );
    let observed = provider.observe(&names("victim", "victim")).await.unwrap();
    assert_eq!((observed.database, observed.role), (None, None));
    run(&mut hanger, "INSERT INTO s.t VALUES (1); SELECT s.f()")
        .await
        .unwrap();
    let policies = "SELECT polname::text FROM pg_policy";
    assert_eq!(fixture.ask("hanger", policies).await, ["of_two"]);
    fixture.assert_no_membership_left().await;
    assert_eq!(
        provider.ensure_database(&desired("hanger")).await.unwrap(),
        []
    );
    assert_eq!(
        provider.remove(&everything("hanger")).await.unwrap(),
        Removed::Done
    );
    provider.close().await;
}

/// What hangs on a user where we have nothing to take away: the user is left over, and goes later.
pub(crate) async fn a_user_is_left_over_where_others_keep_it(fixture: &mut Fixture) {
    let provider = fixture.provider("leftovers");
    let of = names("mover", "mover");
    fixture
        .make(
            &*provider,
            "leftovers",
            &desired("mover"),
            &password("mover"),
        )
        .await;
    fixture.run("postgres", "CREATE DATABASE elsewhere").await;
    fixture
        .run(
            "elsewhere",
            "CREATE TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO mover;
         CREATE TABLE u (a int); GRANT SELECT ON u TO mover",
        )
        .await;
    fixture.run(
        "postgres",
        "GRANT TEMPORARY ON DATABASE elsewhere TO mover; CREATE ROLE club; GRANT club TO mover; GRANT mover TO stranger",
    )
    .await;
    for _ in 0..2 {
        let sentence = left_over(provider.remove(&everything("mover")).await.unwrap());
        for part in [
            "it owns 1 object in database \"elsewhere\"; there, as a superuser, run: REASSIGN OWNED BY \"mover\"",
            "it has privileges on 1 object in database \"elsewhere\"; there, as a superuser, run: DROP OWNED BY \"mover\"",
            "REVOKE ALL ON DATABASE \"elsewhere\" FROM \"mover\"",
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
    }
    let observed = provider.observe(&of).await.unwrap();
    assert_eq!(observed.database, None, "its own database went");
    assert!(!observed.role.unwrap().can_login);
    let password_of = "SELECT (rolpassword IS NULL)::text FROM pg_authid WHERE rolname = 'mover'";
    assert_eq!(fixture.ask("postgres", password_of).await, ["true"]);
    assert_eq!(
        fixture.ask("elsewhere", "SELECT a::text FROM t").await,
        ["1"],
        "what it owns elsewhere is kept"
    );

    // Nobody else is given its name, and the object that comes again takes it back.
    release(&*provider, &of).await;
    provider.inspect().await.unwrap();
    assert!(provider.observe(&of).await.unwrap().role.is_some());
    fixture
        .make(
            &*provider,
            "leftovers",
            &desired("mover"),
            &password("mover-again"),
        )
        .await;
    provider.inspect().await.unwrap();
    left_over(provider.remove(&everything("mover")).await.unwrap());
    release(&*provider, &of).await;

    // It goes by itself once nothing hangs on it.
    fixture
        .run(
            "elsewhere",
            "REASSIGN OWNED BY \"mover\" TO super; DROP OWNED BY \"mover\"",
        )
        .await;
    provider.inspect().await.unwrap();
    let observed = provider.observe(&of).await.unwrap();
    assert_eq!((observed.role, observed.claims), (None, vec![]));
    fixture.run("postgres", "DROP DATABASE elsewhere").await;
    fixture.run("postgres", "DROP ROLE club").await;
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// A GRANT that is not committed keeps a user as well, for as long as somebody likes.
pub(crate) async fn an_open_grant_leaves_a_user_over(fixture: &mut Fixture) {
    let provider = fixture.provider("granted");
    for name in ["granter", "granted"] {
        fixture
            .make(&*provider, "granted", &desired(name), &password(name))
            .await;
    }
    let mut granter = fixture
        .session("granter", &format!("{CANARY}-granter"), "granter")
        .await
        .unwrap();
    run(
        &mut granter,
        "CREATE TABLE t (a int); BEGIN; GRANT SELECT ON t TO granted",
    )
    .await
    .unwrap();
    let pid = ask(&mut granter, "SELECT pg_backend_pid()::text").await;
    let sentence = left_over(provider.remove(&everything("granted")).await.unwrap());
    // Whose session it is, is another tenant's affair.
    assert!(
        sentence.contains(&format!("process {} in another database", pid[0]))
            && !sentence.contains("granter"),
        "{sentence}"
    );
    release(&*provider, &names("granted", "granted")).await;
    provider.inspect().await.unwrap();
    run(&mut granter, "ROLLBACK").await.unwrap();
    eventually("it is dropped then", async || {
        provider.inspect().await.unwrap();
        let observed = provider
            .observe(&names("granted", "granted"))
            .await
            .unwrap();
        observed.role.is_none() && observed.claims.is_empty()
    })
    .await;
    provider.close().await;
}

/// Each state that a crash can leave between two steps.
pub(crate) async fn it_goes_on_after_a_crash(fixture: &mut Fixture) {
    let provider = fixture.provider("crash");
    let steps = [
        "ALTER ROLE crash NOLOGIN",
        "ALTER DATABASE crash ALLOW_CONNECTIONS false",
        "ALTER DATABASE crash OWNER TO \"the-operator\"",
        "DROP DATABASE crash",
        "DROP ROLE crash",
    ];
    for done in 0..=steps.len() {
        fixture
            .make(&*provider, "crash", &desired("crash"), &password("crash"))
            .await;
        for step in &steps[..done] {
            fixture.run("postgres", step).await;
        }
        assert_eq!(
            provider.remove(&everything("crash")).await.unwrap(),
            Removed::Done,
            "after {done} steps"
        );
        let observed = provider.observe(&names("crash", "crash")).await.unwrap();
        assert_eq!(
            (observed.database, observed.role),
            (None, None),
            "after {done} steps"
        );
    }

    // The same for making: a claim only, a role only. `claims.rs` has a database that is not handed over yet.
    let wanted = desired("crash");
    let verifier = provider.verifier(&password("crash"));
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    fixture
        .make(&*provider, "crash", &wanted, &password("crash"))
        .await;
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    assert_eq!(
        provider.remove(&everything("crash")).await.unwrap(),
        Removed::Done
    );
    provider.close().await;
}
