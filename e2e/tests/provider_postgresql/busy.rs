//! Who is named when a change waits for a lock in vain.

use db_operator::provider::{ProviderError, Removal, Removed, SqlName};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnection;

use crate::fixture::{Fixture, ask, desired, password, run, session_at};

async fn holding(mut session: PgConnection, statements: &str) -> (String, PgConnection) {
    run(&mut session, &format!("BEGIN; {statements}"))
        .await
        .unwrap();
    let pid = ask(&mut session, "SELECT pg_backend_pid()::text")
        .await
        .remove(0);
    (pid, session)
}

async fn as_tenant(fixture: &Fixture, name: &str, statements: &str) -> (String, PgConnection) {
    let secret = password(name);
    let session = session_at(fixture.server.port, name, secret.expose_secret(), name).await;
    holding(session.unwrap(), statements).await
}

fn assert_names(error: &ProviderError, named: &str, pid: &str) {
    let text = error.to_string();
    assert!(
        matches!(error.cause(), ProviderError::Busy { .. }),
        "{text}"
    );
    assert!(
        text.contains(&format!("session {pid} ({named}"))
            && text.contains(&format!("SELECT pg_terminate_backend({pid})")),
        "{text}"
    );
}

pub(crate) async fn who_holds_up_a_change_is_named(fixture: &mut Fixture) {
    let provider = fixture.provider("changing");
    let mut wanted = desired("changing");
    for name in ["changing", "neighbour"] {
        fixture
            .make(&*provider, "changing", &desired(name), &password(name))
            .await;
    }
    // Another tenant that changes its own password holds nothing that is waited for, but the server does not tell.
    let (stranger, neighbour) =
        as_tenant(fixture, "neighbour", "ALTER ROLE neighbour PASSWORD NULL").await;
    let (pid, mut holder) = holding(
        fixture.superuser("postgres").await,
        "ALTER ROLE changing VALID UNTIL 'infinity'",
    )
    .await;
    wanted.connection_limit = Some(3);
    let error = provider.ensure_role(&wanted, None).await.unwrap_err();
    assert_names(&error, "user \"super\", application \"fixture\"", &pid);
    let text = error.to_string();
    assert!(
        text.contains(&format!("session {stranger}")) && !text.contains("neighbour"),
        "{text}"
    );
    // It is the same as long as it is the same: a condition is not written anew each time.
    assert_eq!(provider.ensure_role(&wanted, None).await, Err(error));
    let removal = Removal {
        names: wanted.names.clone(),
        database: true,
        role: true,
    };
    let Removed::Blocked(text) = provider.remove(&removal).await.unwrap() else {
        panic!("it was removed")
    };
    assert!(
        text.contains(&format!("process {pid} (user \"super\"")) && !text.contains("neighbour"),
        "{text}"
    );
    run(&mut holder, "ROLLBACK").await.unwrap();
    drop(neighbour);
    provider.ensure_role(&wanted, None).await.unwrap();
    provider.ensure_database(&wanted).await.unwrap();

    // Inside the database.
    let (pid, mut holder) = as_tenant(fixture, "changing", "CREATE SCHEMA audit").await;
    wanted.postgresql.schemas = vec![SqlName::new("audit").unwrap()];
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    assert_names(&error, "user \"changing\", application \"fixture\"", &pid);
    run(
        &mut holder,
        "ROLLBACK; BEGIN; CREATE SCHEMA audit; PREPARE TRANSACTION 'half'",
    )
    .await
    .unwrap();
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("ROLLBACK PREPARED 'half'"), "{text}");
    run(&mut holder, "ROLLBACK PREPARED 'half'").await.unwrap();
    assert_eq!(provider.ensure_contents(&wanted).await.unwrap().len(), 1);
    fixture.assert_no_membership_left().await;
    provider.close().await;
}
