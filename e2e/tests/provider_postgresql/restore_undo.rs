//! The way back, days after a swap: people have looked into the former database, and the platform has changed things.

use std::time::{Duration, Instant};

use db_operator::provider::Login;
use db_operator::provider::restore::LoadMode;
use secrecy::ExposeSecret;

use crate::fixture::{CANARY, Fixture, ask, desired, password, run};
use crate::restore_hostile::blocked;
use crate::restores::{MOST, done, load, make_and_fill, properties, settled, tables};

/// Nobody in the former database costs the applications of the target anything.
pub(crate) async fn who_looks_into_a_former_database_is_ended_or_named(fixture: &mut Fixture) {
    let provider = fixture.provider("looks");
    let wanted = desired("looked");
    let secret = password("looked");
    fixture.make(&*provider, "looks", &wanted, &secret).await;
    let word = secret.expose_secret();
    let mut owner = fixture.session("looked", word, "looked").await.unwrap();
    run(&mut owner, "CREATE TABLE good ()").await.unwrap();
    let load = load("looks", &wanted, "back", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    let (_, former) = done(provider.swap(&load, &scratch, MOST).await.unwrap());
    let former = former.unwrap();
    // It is opened, and given to someone.
    for sql in ["ALLOW_CONNECTIONS true", "OWNER TO looked"] {
        let sql = format!("ALTER DATABASE {} {sql}", former.postgresql());
        fixture.run("postgres", &sql).await;
    }
    let mut looking = fixture
        .session("looked", word, former.as_str())
        .await
        .unwrap();
    let mut application = fixture.session("looked", word, "looked").await.unwrap();

    // What cannot be ended is named, and the target goes on.
    run(
        &mut looking,
        "BEGIN; CREATE TABLE held (); PREPARE TRANSACTION 'former'",
    )
    .await
    .unwrap();
    let said = blocked(provider.undo(&load, MOST).await);
    assert!(
        said.contains("ROLLBACK PREPARED 'former'") && said.contains("ALLOW_CONNECTIONS true"),
        "{said}"
    );
    run(&mut looking, "ROLLBACK PREPARED 'former'")
        .await
        .unwrap();
    let mut superuser = fixture.superuser(former.as_str()).await;
    let began = Instant::now();
    let said = blocked(provider.undo(&load, MOST).await);
    assert!(
        said.contains("pg_terminate_backend") && said.contains(former.as_str()),
        "{said}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(ask(&mut superuser, "SELECT 'there'").await, ["there"]);
    assert_eq!(ask(&mut application, "SELECT 'served'").await, ["served"]);
    sqlx::Connection::close(superuser).await.unwrap();
    settled(fixture, former.as_str()).await;

    done(provider.undo(&load, MOST).await.unwrap());
    run(&mut looking, "SELECT 1").await.unwrap_err();
    assert_eq!(tables(fixture, "looked").await, ["good"]);
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// The contents come back, and nobody gets back what the platform took from them since.
pub(crate) async fn what_was_changed_since_stays(fixture: &mut Fixture) {
    let provider = fixture.provider("stays");
    let mut wanted = desired("stayed");
    wanted.connection_limit = Some(20);
    let secret = password("stayed");
    fixture.make(&*provider, "stays", &wanted, &secret).await;
    for sql in [
        "CREATE ROLE inspector LOGIN",
        "CREATE ROLE reader LOGIN",
        "GRANT CONNECT, TEMPORARY ON DATABASE stayed TO inspector WITH GRANT OPTION",
        "ALTER DATABASE stayed SET work_mem TO '3MB'",
        "ALTER ROLE stayed IN DATABASE stayed SET work_mem TO '4MB'",
        "ALTER ROLE stayed IN DATABASE stayed SET statement_timeout TO '70s'",
        "COMMENT ON DATABASE stayed IS 'before'",
    ] {
        fixture.run("postgres", sql).await;
    }
    fixture
        .run("stayed", "SET ROLE stayed; CREATE TABLE good ()")
        .await;
    let inspector = format!("{CANARY}-inspector");
    fixture.set_password("inspector", &inspector).await;
    let load = load("stays", &wanted, "back", LoadMode::Replace);
    let scratch = make_and_fill(fixture, &*provider, &load).await;
    done(provider.swap(&load, &scratch, MOST).await.unwrap());
    let session = fixture.session("inspector", &inspector, "stayed").await;
    sqlx::Connection::close(session.unwrap()).await.unwrap();
    for sql in [
        "REVOKE ALL ON DATABASE stayed FROM inspector CASCADE",
        "GRANT CONNECT ON DATABASE stayed TO reader",
        "ALTER DATABASE stayed RESET work_mem",
        "ALTER DATABASE stayed SET idle_in_transaction_session_timeout TO '9s'",
        "ALTER ROLE stayed IN DATABASE stayed SET work_mem TO '5MB'",
        "ALTER ROLE stayed IN DATABASE stayed RESET statement_timeout",
        "ALTER DATABASE stayed CONNECTION LIMIT 7",
        "COMMENT ON DATABASE stayed IS NULL",
        // A setting that the administrator may not make again.
        "ALTER DATABASE stayed SET log_statement TO 'all'",
    ] {
        fixture.run("postgres", sql).await;
    }
    let said = blocked(provider.undo(&load, MOST).await);
    assert!(said.contains("\"log_statement\""), "{said}");
    fixture
        .run("postgres", "ALTER DATABASE stayed RESET log_statement")
        .await;
    let before = properties(fixture, "stayed").await;
    done(provider.undo(&load, MOST).await.unwrap());
    assert_eq!(tables(fixture, "stayed").await, ["good"]);
    assert_eq!(properties(fixture, "stayed").await, before);
    fixture
        .session("inspector", &inspector, "stayed")
        .await
        .unwrap_err();
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    fixture.assert_no_membership_left().await;
    provider.close().await;
}
