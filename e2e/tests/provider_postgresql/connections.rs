//! Few connections, and what happens when they break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use db_operator::provider::{Extension, Fence, Login, ProviderError, SqlName, open};
use sqlx::Row;

use crate::fixture::{ADMINISTRATOR, CANARY, Fixture, desired, eventually, password};

pub(crate) async fn the_limit_is_never_exceeded(fixture: &mut Fixture) {
    const LIMIT: u32 = 3;
    let mut config = fixture.config();
    config.max_connections = LIMIT;
    let provider = open(config, Fence::new("limit", || true));
    provider.inspect().await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn({
        let stop = Arc::clone(&stop);
        let mut session = fixture.superuser("postgres").await;
        async move {
            // A server process that was told goodbye takes a moment to end, so what counts is whether one process was
            // there in two looks in a row with too many others.
            let (mut most, mut before, mut looks) = (0, Vec::new(), 0);
            while !stop.load(Ordering::SeqCst) {
                let rows = sqlx::query(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'db-operator'",
                )
                .fetch_all(&mut session)
                .await
                .unwrap();
                let now: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
                most = most.max(now.iter().filter(|pid| before.contains(*pid)).count());
                (before, looks) = (now, looks + 1);
            }
            (most, looks)
        }
    });
    let mut tasks = Vec::new();
    for n in 0..12 {
        let provider = Arc::clone(&provider);
        tasks.push(tokio::spawn(async move {
            let mut wanted = desired(&format!("limit-{n}"));
            wanted.postgresql.extensions = vec![Extension {
                name: SqlName::new("citext").unwrap(),
                schema: None,
                version: None,
            }];
            let secret = password(&format!("limit-{n}"));
            provider
                .ensure_role(&wanted, Some(&provider.verifier(&secret)))
                .await
                .unwrap();
            provider.ensure_database(&wanted).await.unwrap();
            provider.ensure_contents(&wanted).await.unwrap();
            assert_eq!(
                provider.login(&wanted.names, &secret).await.unwrap(),
                Login::Accepted
            );
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let (most, looks) = watching.await.unwrap();
    assert!(looks > 50, "{looks} looks");
    assert!(
        (2..=usize::try_from(LIMIT).unwrap()).contains(&most),
        "{most} connections at once"
    );
    fixture.assert_no_membership_left().await;

    provider.close().await;
    let count =
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'db-operator'";
    eventually("all are closed", async || {
        fixture.ask("postgres", count).await == ["0"]
    })
    .await;
    assert!(provider.survey().await.is_err(), "and stay closed");

    // Idle ones are closed after a while.
    let mut config = fixture.config();
    config.timeouts.idle = Duration::from_millis(200);
    let provider = open(config, Fence::new("limit-idle", || true));
    provider.inspect().await.unwrap();
    eventually("idle sessions are closed", async || {
        fixture.ask("postgres", count).await == ["0"]
    })
    .await;
    provider.inspect().await.unwrap();
    provider.close().await;

    // Waiting for a turn is bounded, and says so.
    let mut config = fixture.config();
    (config.max_connections, config.timeouts.acquire) = (1, Duration::from_millis(1));
    let provider = open(config, Fence::new("limit-one", || true));
    let names = desired("limit-0").names;
    let (one, other) = tokio::join!(provider.observe(&names), provider.observe(&names));
    let late = one.err().or(other.err()).unwrap();
    assert!(matches!(late, ProviderError::AllInUse { .. }), "{late}");
    provider.close().await;
}

pub(crate) async fn a_limited_role_counts_as_a_working_login(fixture: &mut Fixture) {
    let provider = fixture.provider("limited");
    let mut wanted = desired("limited");
    wanted.connection_limit = Some(1);
    let secret = password("limited");
    fixture.make(&*provider, "limited", &wanted, &secret).await;
    let held = fixture
        .session("limited", &format!("{CANARY}-limited"), "limited")
        .await
        .unwrap();
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::AtConnectionLimit
    );
    assert!(matches!(
        provider
            .login(&wanted.names, &password("no"))
            .await
            .unwrap(),
        Login::Refused(_)
    ));
    sqlx::Connection::close(held).await.unwrap();
    eventually("the slot is free", async || {
        provider.login(&wanted.names, &secret).await.unwrap() == Login::Accepted
    })
    .await;
    provider.close().await;
}

pub(crate) async fn a_restart_is_survived(fixture: &mut Fixture) {
    let provider = fixture.provider("restart");
    let wanted = desired("restart");
    fixture
        .make(&*provider, "restart", &wanted, &password("restart"))
        .await;

    // Idle sessions died with the server: the next call opens a new one and nobody notices.
    fixture.server.stop().unwrap();
    let started = Instant::now();
    let error = provider.observe(&wanted.names).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::Unreachable { .. }),
        "{error}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    fixture.server.start_again().unwrap();
    provider.observe(&wanted.names).await.unwrap();

    // In the middle of a statement, which waits for somebody else's change of the same row.
    let mut config = fixture.config();
    config.timeouts.lock = Duration::from_mins(1);
    let patient = open(config, Fence::new("restart-patient", || true));
    fixture
        .run("postgres", "ALTER DATABASE restart ALLOW_CONNECTIONS false")
        .await;
    let mut holder = fixture.superuser("postgres").await;
    crate::fixture::run(
        &mut holder,
        "BEGIN; ALTER DATABASE restart CONNECTION LIMIT 3",
    )
    .await
    .unwrap();
    let waiting = tokio::spawn({
        let (patient, wanted) = (Arc::clone(&patient), wanted.clone());
        async move { patient.ensure_database(&wanted).await }
    });
    let count = "SELECT count(*)::text FROM pg_stat_activity
        WHERE application_name = 'db-operator' AND wait_event_type = 'Lock'";
    eventually("the statement waits", async || {
        fixture.ask("postgres", count).await == ["1"]
    })
    .await;
    fixture.server.stop().unwrap();
    let result = waiting.await.unwrap();
    assert!(
        result.as_ref().is_err_and(ProviderError::is_retryable),
        "{result:?}"
    );
    fixture.server.start_again().unwrap();
    assert_eq!(
        provider.ensure_database(&wanted).await.unwrap().len(),
        1,
        "it is put right after the restart"
    );
    assert_eq!(
        provider
            .login(&wanted.names, &password("restart"))
            .await
            .unwrap(),
        Login::Accepted
    );
    patient.close().await;
    provider.close().await;
}

pub(crate) async fn a_rotated_password_is_followed(fixture: &mut Fixture) {
    let provider = fixture.provider("rotation");
    provider.inspect().await.unwrap();
    fixture.password = format!("{CANARY} p@ss/w:rd%#?&=+ '\"\\ é$1");
    fixture.set_administrators_password(&fixture.password).await;
    provider.inspect().await.unwrap();
    // New sessions need the new password; the old value says so, and the caller reads the Secret again.
    fixture.run("postgres", &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ADMINISTRATOR}'")).await;
    let error = async {
        loop {
            match provider.inspect().await {
                Err(error @ ProviderError::LoginRefused { .. }) => break error,
                Err(ProviderError::Unreachable { .. }) | Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(10), error)
        .await
        .unwrap();
    assert!(!error.to_string().contains(CANARY), "{error}");
    let renewed = fixture.provider("rotation");
    renewed.inspect().await.unwrap();
    renewed.close().await;
    provider.close().await;
}
