//! Taking away.

use db_operator::provider::{Login, Removal, Removed};

use crate::bed::{ADMINISTRATOR, Bed, CANARY, desired, eventually, names, password, run};

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
        Removed::Done => panic!("nothing was in the way"),
    }
}

pub async fn everything_goes(bed: &mut Bed) {
    let provider = bed.provider("goes");
    let wanted = desired("goes");
    bed.make(&*provider, "goes", &wanted, &password("goes"))
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
    bed.assert_no_membership_left().await;
    provider.close().await;
}

pub async fn sessions_are_ended_or_named(bed: &mut Bed) {
    let provider = bed.provider("sessions");
    bed.make(&*provider, "sessions", &desired("busy"), &password("busy"))
        .await;
    bed.make(
        &*provider,
        "sessions-guest",
        &desired("guest"),
        &password("guest"),
    )
    .await;
    bed.run("postgres", "GRANT CONNECT ON DATABASE busy TO guest")
        .await;
    bed.run(
        "postgres",
        &format!("GRANT CONNECT ON DATABASE busy TO \"{ADMINISTRATOR}\""),
    )
    .await;
    let mut own = bed
        .session("busy", &format!("{CANARY}-busy"), "busy")
        .await
        .unwrap();
    let mut elsewhere = bed
        .session("busy", &format!("{CANARY}-busy"), "postgres")
        .await
        .unwrap();
    let mut guest = bed
        .session("guest", &format!("{CANARY}-guest"), "busy")
        .await
        .unwrap();
    let mut guest_at_home = bed
        .session("guest", &format!("{CANARY}-guest"), "guest")
        .await
        .unwrap();
    let mut administrator = bed
        .session(ADMINISTRATOR, &bed.password, "busy")
        .await
        .unwrap();
    let mut superuser = bed.superuser("busy").await;
    run(&mut own, "BEGIN; CREATE TABLE t (a int)")
        .await
        .unwrap();

    let blocked = sentence(provider.remove(&everything("busy")).await.unwrap());
    let pid = crate::bed::ask(&mut superuser, "SELECT pg_backend_pid()::text")
        .await
        .remove(0);
    assert!(
        blocked.contains(&format!(
            "process {pid} (user \"super\", application \"bed\")"
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
    bed.assert_no_membership_left().await;

    sqlx::Connection::close(superuser).await.unwrap();
    eventually("the database goes once nobody is in it", async || {
        provider.remove(&everything("busy")).await.unwrap() == Removed::Done
    })
    .await;
    assert!(
        run(&mut administrator, "SELECT 1").await.is_err(),
        "the administrator's session in it was ended"
    );
    bed.assert_no_membership_left().await;

    provider.close().await;
}

/// What keeps a database without being a session.
pub async fn prepared_transactions_are_named(bed: &mut Bed) {
    let provider = bed.provider("prepared");
    bed.make(
        &*provider,
        "prepared",
        &desired("prepared"),
        &password("prepared"),
    )
    .await;
    bed.run(
        "prepared",
        "BEGIN; CREATE TABLE t (a int); PREPARE TRANSACTION 'held'",
    )
    .await;
    eventually("the prepared transaction is named", async || {
        let blocked = sentence(provider.remove(&everything("prepared")).await.unwrap());
        blocked.contains("prepared transaction")
    })
    .await;
    bed.run("postgres", "ALTER DATABASE prepared ALLOW_CONNECTIONS true")
        .await;
    bed.run("prepared", "ROLLBACK PREPARED 'held'").await;
    eventually("the database goes once nothing holds it", async || {
        provider.remove(&everything("prepared")).await.unwrap() == Removed::Done
    })
    .await;
    provider.close().await;
}

/// A worker of autovacuum belongs to no role of ours, and FORCE is refused while it is at work; a table that was just
/// filled keeps one busy for minutes.
pub async fn a_vacuum_at_work_does_not_keep_a_database(bed: &mut Bed) {
    let provider = bed.provider("vacuumed");
    bed.make(
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
        bed.run("postgres", setting).await;
    }
    // As slow as it can be set: a page, and then a tenth of a second.
    bed.run(
        "vacuumed",
        "CREATE TABLE t WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1) \
         AS SELECT n, repeat('x', 500) FROM generate_series(1, 20000) AS n",
    )
    .await;
    bed.run("vacuumed", "DELETE FROM t").await;
    let at_work = "SELECT pid::text FROM pg_stat_activity \
                   WHERE backend_type = 'autovacuum worker' AND datname = 'vacuumed'";
    eventually("a vacuum is at work in it", async || {
        !bed.ask("postgres", at_work).await.is_empty()
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
        bed.run("postgres", setting).await;
    }
    provider.close().await;
}

pub async fn leftovers_are_named(bed: &mut Bed) {
    let provider = bed.provider("leftovers");
    bed.make(
        &*provider,
        "leftovers",
        &desired("mover"),
        &password("mover"),
    )
    .await;
    bed.run("postgres", "CREATE DATABASE elsewhere").await;
    bed.run("elsewhere", "CREATE TABLE t (a int); ALTER TABLE t OWNER TO mover; CREATE TABLE u (a int); GRANT SELECT ON u TO mover").await;
    bed.run("postgres", "GRANT TEMPORARY ON DATABASE elsewhere TO mover")
        .await;
    let sentence = sentence(provider.remove(&everything("mover")).await.unwrap());
    assert!(
        sentence.contains("it owns 1 objects in database \"elsewhere\""),
        "{sentence}"
    );
    assert!(
        sentence.contains("it has privileges on 1 objects in database \"elsewhere\""),
        "{sentence}"
    );
    assert!(
        sentence.contains("it has privileges on database elsewhere"),
        "{sentence}"
    );
    assert_eq!(
        provider
            .observe(&names("mover", "mover"))
            .await
            .unwrap()
            .database,
        None,
        "its own database went"
    );
    bed.run(
        "elsewhere",
        "REASSIGN OWNED BY \"mover\" TO super; DROP OWNED BY \"mover\"",
    )
    .await;
    assert_eq!(
        provider.remove(&everything("mover")).await.unwrap(),
        Removed::Done
    );
    bed.run("postgres", "DROP DATABASE elsewhere").await;
    provider.close().await;
}

/// Each state that a crash can leave between two steps.
pub async fn it_goes_on_after_a_crash(bed: &mut Bed) {
    let provider = bed.provider("crash");
    let steps = [
        "ALTER ROLE crash NOLOGIN",
        "ALTER DATABASE crash ALLOW_CONNECTIONS false",
        "ALTER DATABASE crash OWNER TO \"the-operator\"",
        "DROP DATABASE crash",
        "DROP ROLE crash",
    ];
    for done in 0..=steps.len() {
        bed.make(&*provider, "crash", &desired("crash"), &password("crash"))
            .await;
        for step in &steps[..done] {
            bed.run("postgres", step).await;
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

    // The same for making: a claim only, a role only, a database that is not handed over yet.
    let wanted = desired("crash");
    let verifier = provider.verifier(&password("crash"));
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    let mut administrator = bed
        .session(ADMINISTRATOR, &bed.password, "db_operator")
        .await
        .unwrap();
    run(
        &mut administrator,
        "CREATE DATABASE crash TEMPLATE template0 ALLOW_CONNECTIONS false",
    )
    .await
    .unwrap();
    sqlx::Connection::close(administrator).await.unwrap();
    bed.make(&*provider, "crash", &wanted, &password("crash"))
        .await;
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    assert_eq!(
        provider.remove(&everything("crash")).await.unwrap(),
        Removed::Done
    );
    provider.close().await;
}
