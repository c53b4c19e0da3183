//! Who holds up a session of a database's own user.

use std::time::Duration;

use db_operator::provider::{LockWait, Provider};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;

use crate::fixture::{Fixture, ask, desired, eventually, names, password, run, session_at};

/// Says of itself what a backup's dump tool does, and waits for a lock of the table.
async fn waits(fixture: &Fixture, name: &'static str) -> (i64, JoinHandle<()>) {
    let secret = password(name);
    let mut own = session_at(fixture.server.port, name, secret.expose_secret(), name)
        .await
        .unwrap();
    run(&mut own, "SET application_name = 'db-operator backup'")
        .await
        .unwrap();
    let pid = pid(&mut own).await;
    let waiting = tokio::spawn(async move {
        let lock = "BEGIN; LOCK TABLE orders IN ACCESS SHARE MODE; COMMIT";
        // It is ended with the database at the latest.
        let _ = run(&mut own, lock).await;
    });
    (pid, waiting)
}

async fn pid(session: &mut PgConnection) -> i64 {
    let pid = ask(session, "SELECT pg_backend_pid()::text").await;
    pid[0].parse().unwrap()
}

async fn first_wait(provider: &dyn Provider, name: &str) -> LockWait {
    let names = names(name, name);
    eventually("somebody waits", async || {
        !provider.lock_waits(&names).await.unwrap().is_empty()
    })
    .await;
    provider.lock_waits(&names).await.unwrap().remove(0)
}

pub(crate) async fn who_holds_up_a_backup_is_named(fixture: &mut Fixture) {
    let name = "heldup";
    let provider = fixture.provider(name);
    let secret = password(name);
    fixture
        .make(&*provider, name, &desired(name), &secret)
        .await;
    fixture
        .run(
            name,
            "CREATE TABLE orders (secret text); ALTER TABLE orders OWNER TO heldup",
        )
        .await;
    let names = names(name, name);
    // Nothing waits: one statement, and nothing to say.
    let mark = fixture.mark();
    assert_eq!(provider.lock_waits(&names).await.unwrap(), []);
    assert_eq!(fixture.statements_since(mark).len(), 1);

    // A forgotten transaction, and one that waits for it, behind which everybody else waits.
    let mut holder = session_at(fixture.server.port, name, secret.expose_secret(), name)
        .await
        .unwrap();
    run(
        &mut holder,
        "BEGIN; INSERT INTO orders VALUES ('a hidden word')",
    )
    .await
    .unwrap();
    let held_by = pid(&mut holder).await;
    let mut altering = fixture.superuser(name).await;
    let altered_by = pid(&mut altering).await;
    let alter = tokio::spawn(async move {
        let _ = run(&mut altering, "ALTER TABLE orders ADD COLUMN more int").await;
    });
    eventually("the change waits", async || {
        let waiting = "SELECT pid::text FROM pg_locks WHERE NOT granted";
        !fixture.ask("postgres", waiting).await.is_empty()
    })
    .await;
    let (waiter, waiting) = waits(fixture, name).await;
    let wait = first_wait(&*provider, name).await;
    assert_eq!(wait.session, waiter);
    let sessions: Vec<_> = wait.holders.iter().map(|holder| holder.session).collect();
    // Who is at the head of the queue comes first: ending that is enough.
    assert_eq!(sessions, [Some(held_by), Some(altered_by)]);
    let text = wait.to_string();
    assert!(text.contains("on table \"public\".\"orders\""), "{text}");
    assert!(
        text.contains(&format!(
            "session {held_by} (user \"heldup\", application \"fixture\""
        )),
        "{text}"
    );
    assert!(
        text.contains(&format!("SELECT pg_terminate_backend({held_by})")),
        "{text}"
    );
    assert!(!text.contains("hidden"), "{text}");
    run(&mut holder, "ROLLBACK").await.unwrap();
    for task in [alter, waiting] {
        tokio::time::timeout(Duration::from_secs(20), task)
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(provider.lock_waits(&names).await.unwrap(), []);
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

pub(crate) async fn a_prepared_transaction_holds_up_a_backup_too(fixture: &mut Fixture) {
    let name = "prepared_wait";
    let provider = fixture.provider(name);
    let secret = password(name);
    fixture
        .make(&*provider, name, &desired(name), &secret)
        .await;
    fixture
        .run(
            name,
            "CREATE TABLE orders (x int); ALTER TABLE orders OWNER TO prepared_wait",
        )
        .await;
    let mut holder = session_at(fixture.server.port, name, secret.expose_secret(), name)
        .await
        .unwrap();
    run(
        &mut holder,
        "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'it''s'",
    )
    .await
    .unwrap();
    let (_, waiting) = waits(fixture, name).await;
    let wait = first_wait(&*provider, name).await;
    assert_eq!(wait.holders[0].session, None);
    assert_eq!(wait.holders[0].remedy, "ROLLBACK PREPARED 'it''s'");
    run(&mut holder, &wait.holders[0].remedy).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap()
        .unwrap();
    provider.close().await;
}
