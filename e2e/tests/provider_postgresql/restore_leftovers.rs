//! What goes wrong around a restore without anybody's doing, and what it leaves.

use db_operator::provider::restore::{Ended, Leftover, LoadMode};
use db_operator::provider::{Login, SqlName};

use crate::fixture::{ADMINISTRATOR, Fixture, desired, eventually, password, run};
use crate::restore_hostile::blocked;
use crate::restores::{MOST, as_login, done, load, made, make_and_fill, tables};

/// What the server answers after the applications were cut off counts, so that it does not go on for ever.
pub(crate) async fn an_error_that_repeats_is_a_try(fixture: &mut Fixture) {
    let provider = fixture.provider("repeats");
    let wanted = desired("repeated");
    let secret = password("repeated");
    fixture.make(&*provider, "repeats", &wanted, &secret).await;
    let load = load("repeats", &wanted, "again", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    fixture
        .run("postgres", "CREATE DATABASE repeated__was_0f1e2d3c")
        .await;
    let said = blocked(provider.swap(&load, &scratch, MOST).await);
    assert!(
        said.contains("could not be replaced") && said.contains("repeated__was_0f1e2d3c"),
        "{said}"
    );
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    fixture
        .run("postgres", "DROP DATABASE repeated__was_0f1e2d3c")
        .await;
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    assert_eq!(tables(fixture, "repeated").await, ["restored"]);
    provider.close().await;
}

pub(crate) async fn a_clock_that_is_set_back_leaves_a_restore_readable(fixture: &mut Fixture) {
    let provider = fixture.provider("clocks");
    let wanted = desired("clocked");
    fixture
        .make(&*provider, "clocks", &wanted, &password("clocked"))
        .await;
    let load = load("clocks", &wanted, "late", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    // When it was locked is noted once.
    let later = async |purpose: &str| {
        let sql = format!(
            "UPDATE db_operator.scratch SET locked_at = now() + '1 hour'
             WHERE target_database = 'clocked' AND purpose = '{purpose}'"
        );
        fixture.run("db_operator", &sql).await;
    };
    later("load").await;
    let (downtime, former) = done(provider.swap(&load, &scratch, MOST).await.unwrap());
    assert_eq!(downtime.as_millis(), 0);
    later("former").await;
    let (downtime, former_again) = done(provider.undo(&load, MOST).await.unwrap());
    assert_eq!((downtime.as_millis(), former_again), (0, former));
    for which in [Leftover::Login, Leftover::Former] {
        assert_eq!(provider.drop_leftover(&load, which).await, Ok(Ended::Done));
    }
    assert_eq!(made(fixture, "clocked").await, Vec::<String>::new());
    provider.close().await;
}

/// The connection was cut in the COMMIT, and nobody saw that it was done.
pub(crate) async fn a_swap_that_was_taken_for_failed_leaves_nothing(fixture: &mut Fixture) {
    let provider = fixture.provider("seen");
    let wanted = desired("seen_late");
    fixture
        .make(&*provider, "seen", &wanted, &password("seen"))
        .await;
    let load = load("seen", &wanted, "late", LoadMode::Empty);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    assert_eq!(
        made(fixture, "seen_late").await,
        [scratch.login.to_string()]
    );
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Scratch).await,
        Ok(Ended::Done)
    );
    assert_eq!(made(fixture, "seen_late").await, Vec::<String>::new());
    assert_eq!(tables(fixture, "seen_late").await, ["restored"]);
    provider.close().await;
}

/// A server goes on with a CREATE DATABASE whose connection is gone: its row stays until it is known what became of it.
pub(crate) async fn a_database_that_is_still_being_made_is_waited_for(fixture: &mut Fixture) {
    let provider = fixture.provider("slow");
    let wanted = desired("slowly");
    fixture
        .make(&*provider, "slow", &wanted, &password("slowly"))
        .await;
    let load = load("slow", &wanted, "cut", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let beside = scratch.database.postgresql();
    // As it is after a crash, with one that waits for a name while it copies template0.
    fixture
        .run("postgres", &format!("DROP DATABASE {beside} WITH (FORCE)"))
        .await;
    fixture
        .run(
            "db_operator",
            "UPDATE db_operator.scratch SET database_id = NULL, database_mark = 1234567890
             WHERE target_database = 'slowly'",
        )
        .await;
    fixture.run("postgres", "CREATE DATABASE slow_spare").await;
    let mut holder = fixture.superuser("postgres").await;
    run(
        &mut holder,
        &format!("BEGIN; ALTER DATABASE slow_spare RENAME TO {beside}"),
    )
    .await
    .unwrap();
    let mut maker = fixture.superuser("postgres").await;
    let making = tokio::spawn({
        let sql = format!(
            "CREATE DATABASE {beside} TEMPLATE template0 ALLOW_CONNECTIONS false CONNECTION LIMIT 1234567890"
        );
        async move { run(&mut maker, &sql).await }
    });
    let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND query LIKE 'CREATE DATABASE %'";
    let watched: &Fixture = fixture;
    eventually("it is being made", async || {
        watched.ask("postgres", waits).await == ["1"]
    })
    .await;
    let ended = provider.drop_leftover(&load, Leftover::Scratch).await;
    let Ok(Ended::Blocked(sentence)) = ended else {
        panic!("{ended:?}")
    };
    assert!(sentence.contains("still being made"), "{sentence}");
    run(&mut holder, "ROLLBACK").await.unwrap();
    making.await.unwrap().unwrap();
    let give = format!("ALTER DATABASE {beside} OWNER TO \"{ADMINISTRATOR}\"");
    fixture.run("postgres", &give).await;
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Scratch).await,
        Ok(Ended::Done)
    );
    assert_eq!(made(fixture, "slowly").await, Vec::<String>::new());
    fixture.run("postgres", "DROP DATABASE slow_spare").await;
    provider.close().await;
}

/// What the platform granted the administrator is not taken away with what was borrowed.
pub(crate) async fn a_right_for_good_stays(fixture: &mut Fixture) {
    let provider = fixture.provider("stands");
    let wanted = desired("standing");
    fixture
        .make(&*provider, "stands", &wanted, &password("standing"))
        .await;
    let options = if fixture.series() >= 16 {
        " WITH INHERIT TRUE, SET TRUE"
    } else {
        ""
    };
    let grant = format!("GRANT standing TO \"{ADMINISTRATOR}\"{options}");
    fixture.run("postgres", &grant).await;
    let load = load("stands", &wanted, "kept", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let mut session = as_login(fixture, &scratch, &password("load")).await;
    let sql = format!(
        "SET ROLE standing; GRANT CREATE ON SCHEMA public TO {}; RESET ROLE; CREATE TABLE left_behind ()",
        scratch.login.postgresql()
    );
    run(&mut session, &sql).await.unwrap();
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    assert_eq!(
        provider.drop_leftover(&load, Leftover::Login).await,
        Ok(Ended::Done)
    );
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'left_behind'";
    assert_eq!(fixture.ask("standing", owner).await, ["standing"]);
    let role = SqlName::new(ADMINISTRATOR).unwrap();
    let member = format!(
        "SELECT pg_has_role('{}', 'standing', 'USAGE')::text",
        role.as_str()
    );
    assert_eq!(fixture.ask("postgres", &member).await, ["true"]);
    let revoke = format!("REVOKE standing FROM {}", role.postgresql());
    fixture.run("postgres", &revoke).await;
    if fixture.series() >= 16 {
        // As it was: an option of a membership, and not the membership that came with the role.
        let again = format!(
            "GRANT standing TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
            role.postgresql()
        );
        fixture.run("postgres", &again).await;
    }
    fixture.assert_no_membership_left().await;
    provider.close().await;
}
